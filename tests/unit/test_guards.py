"""Each guard against a fault of client or broker begins with the fault, what we do, and when the guard can go."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

GUARDS: Final = sorted((Path(__file__).parents[2] / "service" / "kafka" / "guards").glob("[!_]*.py"))
FORM: Final = re.compile(
    r"Guard: [^\n]+\.\n\n"
    r"Seen \([^)]*\d[^)]*\): .+?\.\n"
    r"What we do: .+?\.\n"
    r"It (can go|stays)\b.+?\.\n"
    r"docs/decisions/\w+\.md, \"[^\"\n]+\".*\.\n",
    re.DOTALL,
)


@pytest.mark.parametrize("path", GUARDS, ids=lambda path: path.stem)
def test_a_guard_names_its_fault_and_when_it_can_go(path: Path) -> None:
    begins = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert FORM.fullmatch(f"{begins}\n")


def test_the_guards_are_found() -> None:
    assert {"dead_owners", "hanging_calls", "missing_topics", "topic_id", "txn_failure"} <= {
        path.stem for path in GUARDS
    }
