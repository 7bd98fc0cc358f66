"""A pipe that takes no more bytes, as one has that a reader has left open and does not read."""

from __future__ import annotations

import contextlib
import os
from typing import Final

FILLER: Final = "x" * 127 + "\n"
"""A part of a page: a pipe without room for this has no room for a shorter line either."""


def fill(descriptor: int) -> None:
    """Write to a pipe until it takes no more."""
    os.set_blocking(descriptor, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(descriptor, FILLER.encode()):
            pass
    os.set_blocking(descriptor, True)
