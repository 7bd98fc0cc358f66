"""The pictures: small, shown somewhere, self-contained, and current where they are the same each time."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.unit.test_pages import links
from tools import pictures
from tools.setup import ROOT

MOST_BYTES = 200_000
FILES = sorted(pictures.FOLDER.iterdir())
PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
EACH = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


def shown(page: Path) -> set[Path]:
    """The pictures of a page."""
    text = page.read_text(encoding="utf-8")
    return {(page.parent / one).resolve() for one in links(text)} & set(FILES)


@EACH
def test_a_picture_is_small(file: Path) -> None:
    assert MOST_BYTES > file.stat().st_size


def test_every_picture_is_shown_and_readme_shows_the_page_the_terminal_and_the_parts() -> None:
    assert set(FILES) == set().union(*map(shown, PAGES))
    assert {"page.png", "terminal.svg", "architecture.svg"} == {one.name for one in shown(ROOT / "README.md")}


def test_what_one_sees_is_on_readmes_first_screen() -> None:
    first = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:8]
    assert any(line.startswith("![") and "docs/pictures/page.png" in line for line in first)


@pytest.mark.parametrize("name", pictures.DRAWN)
def test_a_picture_that_is_drawn_is_current(name: str) -> None:
    drawn = pictures.DRAWN[name]()
    assert drawn == pictures.DRAWN[name]()
    assert drawn == pictures.path_of(name).read_text(encoding="utf-8"), f"run: python -m tools.pictures {name}"


@pytest.mark.parametrize("name", pictures.DRAWN)
def test_a_picture_that_is_drawn_needs_nothing_from_elsewhere_and_has_a_title(name: str) -> None:
    text = pictures.path_of(name).read_text(encoding="utf-8")
    root = ET.fromstring(text)  # noqa: S314 - we have written it
    assert root.findtext("{http://www.w3.org/2000/svg}title")
    assert [] == re.findall(r"url\((?!#)|href=|src[=:]|@import|@font-face|<script|<foreignObject", text)


def test_a_name_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert pictures.main(["terminl"]) == pictures.WRONG_USAGE
    assert "there is no picture terminl; there are page, terminal, architecture\n" == capsys.readouterr().err
