"""The drawn pictures in a real browser: no text leaves its box, at any width, light or dark."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import pytest

from tools import pictures
from tools.browser import Browser

OUTSIDE: Final = """(() => {
    const within = (inner, outer) => inner.x >= outer.x - 1 && inner.right <= outer.right + 1
        && inner.y >= outer.y - 1 && inner.bottom <= outer.bottom + 1;
    const boxes = [...document.querySelectorAll("svg > rect")].map((one) => one.getBoundingClientRect());
    const found = [];
    for (const text of document.querySelectorAll("svg > text")) {
        const words = text.getBoundingClientRect(), x = words.x + words.width / 2, y = words.y + words.height / 2;
        const around = boxes.filter((one) => one.x <= x && x <= one.right && one.y <= y && y <= one.bottom);
        if (!around.length || !around.every((one) => within(words, one))) found.push(text.textContent);
    }
    return found;
})()"""
"""The texts that are not within every box in which their middle is."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all."""
    with Browser() as browser:
        yield browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_no_text_of_the_architecture_leaves_its_box(browser: Browser, width: int, scheme: str) -> None:
    browser.resize(width, 1000)
    browser.prefer(color_scheme=scheme)
    browser.open(pictures.path_of("architecture").as_uri())
    assert browser.run("document.querySelectorAll('svg > text').length") > 25
    assert browser.run(OUTSIDE) == []
    background, ink = (
        browser.run(f"getComputedStyle(document.querySelector({json.dumps(of)})).fill") for of in (".page", ".name")
    )
    assert (background == "rgb(255, 255, 255)", ink == "rgb(27, 31, 42)") == (scheme == "light", scheme == "light")


def test_a_text_that_leaves_its_box_is_found(browser: Browser) -> None:
    browser.open(pictures.path_of("architecture").as_uri())
    browser.run("void (document.querySelector('svg > .topic').textContent = 'x'.repeat(90))")
    assert browser.run(OUTSIDE) == ["x" * 90]


def test_no_text_of_the_terminal_leaves_it(browser: Browser) -> None:
    browser.resize(860, 1000)
    browser.open(pictures.path_of("terminal").as_uri())
    wide = browser.run("document.documentElement.getBoundingClientRect().right")
    assert (
        browser.run(
            "Math.max(...[...document.querySelectorAll('text')].map((one) => one.getBoundingClientRect().right))"
        )
        < wide
    )
