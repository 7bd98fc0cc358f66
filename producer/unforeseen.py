"""One line for an error that nobody had foreseen."""

from __future__ import annotations

import traceback
from pathlib import PurePath


def one_line(error: BaseException) -> str:
    """Say what it is and where it arose."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({PurePath(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"unforeseen {type(error).__name__}: {' '.join(str(error).split())}{where}"
