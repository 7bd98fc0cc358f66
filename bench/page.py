"""Puts figures and plots into docs/performance.md, each between its own two marks; the rest of the page stays."""

from __future__ import annotations

import re

from bench.plots import draw
from bench.report import Results
from brokerkit.service_process import ROOT

PAGE = ROOT / "docs" / "performance.md"
PICTURES = ROOT / "docs" / "pictures"


def fill_marks(text: str, name: str, body: str) -> str:
    """The text with ``body`` between ``<!-- NAME -->`` and the next ``<!-- end -->``."""
    marks = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    return marks.sub(lambda found: f"{found[1]}\n{body}\n\n{found[2]}", text)


def write_page(results: Results) -> None:
    """Fill every ``<!-- figure NAME -->`` whose figure there is."""
    pictures = {path.stem.removeprefix("bench-"): path.name for path in draw(results, PICTURES)}

    def filled(found: re.Match[str]) -> str:
        name = found[1]
        figure = results.figures.get(name)
        if figure is None:
            return found[0]
        picture = f"\n![{figure.title}](pictures/{pictures[name]})\n" if name in pictures else ""
        body = f"{figure.markdown()}\n\n{figure.note} Taken {results.taken[name]}.\n{picture}"
        return f"<!-- figure {name} -->\n\n{body}\n<!-- end -->"

    text = PAGE.read_text(encoding="utf-8")
    text = re.sub(r"<!-- figure (\w+) -->\n.*?<!-- end -->", filled, text, flags=re.DOTALL)
    found = results.machine
    machine = ", ".join(f"{name} {value}" for name, value in found.items())
    text = re.sub(r"<!-- machine -->.*?<!-- end -->", f"<!-- machine -->{machine}<!-- end -->", text, flags=re.DOTALL)
    PAGE.write_text(text, encoding="utf-8")
