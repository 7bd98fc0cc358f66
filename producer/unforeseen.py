"""Turns an unforeseen error into one line."""

from __future__ import annotations

import traceback
from pathlib import PurePath


def one_line(error: BaseException) -> str:
    """Return the error's type and text, and the file and line where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({PurePath(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"unforeseen {type(error).__name__}: {' '.join(str(error).split())}{where}"
