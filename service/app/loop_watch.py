"""Finds a loop that stands still, logs where, and ends the process if the loop does not go on."""

from __future__ import annotations

import os.path
import sys
import threading
from collections.abc import Callable
from typing import Final

from structlog.typing import FilteringBoundLogger

from service.observe.status import STALLED_AFTER_S, StatusBoard

END_AFTER_S: Final = 2 * STALLED_AFTER_S
"""After this time the process ends, because only a restart helps."""


class LoopWatch:
    """Checks once a second, on a thread of its own, whether the loop has advanced.

    It counts its checks instead of reading a clock: a paused process (SIGSTOP, a frozen container) makes no checks, so
    afterwards the loop has its full time.
    """

    def __init__(
        self, board: StatusBoard, log: FilteringBoundLogger, end: Callable[[int], object], thread: int | None = None
    ) -> None:
        """``end`` ends the process with an exit code; ``thread`` is the loop's, by default the caller's."""
        self._board = board
        self._log = log
        self._end = end
        self._loop: Final = threading.get_ident() if thread is None else thread
        self._beat_s = board.beat_s
        self._looks = 0
        """Checks since the loop last advanced, which is about seconds."""

    def look(self) -> None:
        """Check once; never blocks."""
        if self._board.beat_s != self._beat_s:
            if self._looks >= STALLED_AFTER_S:
                self._log.warning("loop_goes_on", stood_s=self._looks)
            self._beat_s, self._looks = self._board.beat_s, 0
            return
        self._looks += 1
        if self._looks == STALLED_AFTER_S:
            self._log.error("loop_stands_still", stood_s=self._looks, waits_in=self.where())
        elif self._looks >= END_AFTER_S:
            self._log.critical("fatal", error=f"the loop has stood still for {self._looks} s", waits_in=self.where())
            self._end(1)

    def where(self) -> str:
        """The innermost function of the service in the loop's thread, with file and line."""
        frame = sys._current_frames().get(self._loop)  # noqa: SLF001 - the documented way
        while frame is not None:
            name = frame.f_globals.get("__name__", "")
            if name.startswith("service."):
                code = frame.f_code
                return f"{code.co_qualname} ({os.path.basename(code.co_filename)}:{frame.f_lineno})"  # noqa: PTH119
            frame = frame.f_back
        return "unknown"
