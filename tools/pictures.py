"""Makes the pictures of README.md: the page, the terminal, and how the parts fit together.

    .venv/bin/python -m tools.pictures [NAME …]

The names are `page` (which needs Chromium, and takes two minutes), `terminal` and `architecture`; without a name, all.
tests/unit/test_pictures.py holds the last two current.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tools import architecture_picture, page_picture, terminal_picture
from tools.setup import ROOT

FOLDER: Final = ROOT / "docs" / "pictures"
DRAWN: Final[dict[str, Callable[[], str]]] = {
    "terminal": terminal_picture.svg,
    "architecture": architecture_picture.svg,
}
"""Those that are the same each time."""
WRONG_USAGE: Final = 2


def path_of(name: str) -> Path:
    """Where a picture that is drawn lies."""
    return FOLDER / f"{name}.svg"


def main(names: list[str]) -> int:
    """Make them; returns the exit code."""
    if unknown := [name for name in names if name != "page" and name not in DRAWN]:
        sys.stderr.write(f"there is no picture {unknown[0]}; there are page, {', '.join(DRAWN)}\n")
        return WRONG_USAGE
    for name, draw in DRAWN.items():
        if name in names or not names:
            path_of(name).write_text(draw(), encoding="utf-8")
            sys.stderr.write(f"{name}.svg written: {path_of(name).stat().st_size // 1024} KiB\n")
    return page_picture.main() if "page" in names or not names else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
