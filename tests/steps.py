"""Counts the interpreter's instructions, which do not depend on the machine's speed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def steps_of(function: Callable[[], object]) -> int:
    """How many instructions of the interpreter a call takes."""
    count = 0

    def each(frame: FrameType, event: str, _argument: object) -> Any:  # noqa: ANN401
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return each

    before = sys.gettrace()
    sys.settrace(each)
    try:
        function()
    finally:
        sys.settrace(before)
    return count
