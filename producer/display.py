"""What people see on standard error: lines, and on a terminal a progress bar below them."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from producer.replay import NS_PER_MS, NS_PER_S
from service.process.stdout import OutputError, print_line

PROGRAM: Final = "txwatch-replay"
REDRAW_NS: Final = 250 * NS_PER_MS


@dataclass(frozen=True, slots=True)
class View:
    """A moment of the replay."""

    now_ns: int
    """A time that never jumps."""
    elapsed_ns: int
    """Time since the first row was due."""
    position: int
    """Bytes read."""
    total: int | None
    """Bytes to read in all passes, where that is known."""
    rows: int
    event_time_ms: int | None
    lag_ns: int
    waits: str
    """What the replay waits for, in words. Empty: for nothing."""


class Display(Protocol):
    """Where lines and progress go."""

    def say(self, line: str) -> None:
        """Print one line."""
        ...

    def show(self, view: View) -> None:
        """Show the progress."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was."""
        ...


def say(line: str) -> None:
    """Print one line for people, after the program's name as Unix tools do."""
    print(f"{PROGRAM}: {line}", file=sys.stderr, flush=True)  # noqa: T201  standard error is the output here


def print_last(line: str) -> str | None:
    """Print the last line of standard output; returns why it cannot be written. A reader that has left is no fault."""
    try:
        print_line(line)
    except OutputError as error:
        return error.fault
    return None


class Lines:
    """Lines alone, for pipes, files and logs."""

    def say(self, line: str) -> None:
        """Print one line."""
        say(line)

    def show(self, view: View) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Do nothing."""


class Bar:
    """A progress bar. The loop itself redraws it, so no thread of rich takes time from the loop."""

    def __init__(self, name: str, zone: tzinfo) -> None:
        """Show the progress through the input ``name``, with event times in ``zone``."""
        self._zone = zone
        self._last: View | None = None
        self._drawn: View | None = None
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[numbers]}", markup=False),
            console=Console(stderr=True, force_terminal=True),
            auto_refresh=False,
        )
        self._task: TaskID = self._progress.add_task(name, total=None, numbers="")
        self._progress.start()

    def say(self, line: str) -> None:
        """Print one line above the bar."""
        self._progress.console.print(f"{PROGRAM}: {line}", markup=False, highlight=False, soft_wrap=True)

    def show(self, view: View) -> None:
        """Redraw, unless the last time was less than `REDRAW_NS` ago."""
        self._last = view
        if self._drawn is None or view.now_ns - self._drawn.now_ns >= REDRAW_NS:
            self._draw(view)

    def close(self) -> None:
        """Draw the last view, if it was not drawn, and leave the bar as it is."""
        if self._last is not None and self._last is not self._drawn:
            self._draw(self._last)
        self._progress.stop()

    def _draw(self, view: View) -> None:
        self._drawn = view
        rate = view.rows * NS_PER_S // view.elapsed_ns if view.elapsed_ns else 0
        numbers = f"{view.rows:,} rows  {rate:,}/s  lag {view.lag_ns / NS_PER_MS:.1f} ms"
        if view.event_time_ms is not None:
            with suppress(ValueError, OverflowError):  # the end of year 9999 may be in year 10000 here
                reached = datetime.fromtimestamp(view.event_time_ms / 1000, self._zone)
                numbers += f"  at {reached:%Y-%m-%d %H:%M:%S}"
        if view.waits:
            numbers += f"  {view.waits}"
        self._progress.update(self._task, completed=view.position, total=view.total, numbers=numbers)
        self._progress.refresh()
