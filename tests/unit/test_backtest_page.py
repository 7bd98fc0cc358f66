"""docs/backtest.md: the example prints what the page says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.unit.test_cli_service import Txwatch

PAGE = Path(__file__).parents[2] / "docs" / "backtest.md"


def test_the_example_prints_what_the_page_says(tmp_path: Path) -> None:
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    kinds = [kind for kind, _ in blocks]
    assert kinds == ["csv", "toml", "toml", "sh", "text"]
    csv, new, old, command, shown = (text for _, text in blocks)
    for name, text in (("payments.csv", csv), ("new.toml", new), ("old.toml", old)):
        (tmp_path / name).write_text(text)
    program, *words = shlex.split(command)
    assert program == "txwatch"
    done = Txwatch(tmp_path)(*words, COLUMNS="80")
    assert (done.code, done.err) == (0, "")
    assert done.out == shown
