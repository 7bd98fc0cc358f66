"""A progress bar on standard error, where that is a terminal."""

from __future__ import annotations

import sys
import time
from typing import Final, Self

REDRAW_S: Final = 0.25


class Bar:
    """Shows how much is done, how fast, and the time that is left. The caller's loop draws it: there is no thread."""

    def __init__(self, what: str) -> None:
        """``what`` is the unit that is counted, in the plural."""
        self._what = what
        self._on = sys.stderr.isatty()
        self._began_s = self._drawn_s = time.monotonic()

    def __enter__(self) -> Self:
        if self._on:
            from rich.console import Console  # noqa: PLC0415 - takes 50 ms to load
            from rich.progress import (  # noqa: PLC0415
                BarColumn,
                Progress,
                TaskProgressColumn,
                TextColumn,
                TimeRemainingColumn,
            )

            columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[numbers]}"), TimeRemainingColumn())
            console = Console(stderr=True)
            self._progress = Progress(*columns, console=console, auto_refresh=False, transient=True)
            self._task = self._progress.add_task("", total=None, numbers="")
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._on:
            self._progress.stop()

    def show(self, done: int, total: int | None, count: int) -> None:
        """Draw it, unless it was drawn a moment ago."""
        now_s = time.monotonic()
        if not self._on or now_s - self._drawn_s < REDRAW_S:
            return
        self._drawn_s = now_s
        rate = int(count / (now_s - self._began_s))
        numbers = f"{count:,} {self._what}  {rate:,}/s"
        self._progress.update(self._task, completed=done, total=total, numbers=numbers)
        self._progress.refresh()
