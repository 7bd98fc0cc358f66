"""What a person sees on standard error: lines, and on a terminal a progress bar below them."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from producer.replay import NS_PER_MS, NS_PER_S

PROGRAM: Final = "txwatch-replay"
REDRAW_NS: Final = 250 * NS_PER_MS


@dataclass(frozen=True, slots=True)
class View:
    """A moment of the replay."""

    elapsed_ns: int
    position: int
    """Bytes read."""
    total: int | None
    """Bytes to read in all passes, where known."""
    rows: int
    event_time_ms: int | None
    lag_ns: int


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
    """Print one line for people, with the program's name as Unix tools do."""
    with suppress(OSError):  # nobody reads it: no reason to lose rows
        print(f"{PROGRAM}: {line}", file=sys.stderr, flush=True)  # noqa: T201  standard error is the output here


def print_last(line: str) -> str | None:
    """Print the last line of standard output; returns why that cannot be. A reader that has gone is no failure."""
    try:
        print(line, flush=True)  # noqa: T201  it is what is asked for
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's end would complain
        return None if isinstance(error, BrokenPipeError) else f"standard output: {error.strerror}"
    return None


class Lines:
    """Lines alone: for pipes, files and logs."""

    def say(self, line: str) -> None:
        """Print one line."""
        say(line)

    def show(self, view: View) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Do nothing."""


class Bar:
    """A progress bar, redrawn by the loop itself: no thread of rich's competes with it."""

    def __init__(self, name: str, zone: tzinfo) -> None:
        """Show the progress through the input ``name``, event times in ``zone``."""
        self._zone = zone
        self._drawn_ns = -REDRAW_NS
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
        """Redraw, unless that was just done."""
        if view.elapsed_ns - self._drawn_ns >= REDRAW_NS:
            self._drawn_ns = view.elapsed_ns
            self._draw(view)

    def close(self) -> None:
        """Leave the bar as it was last drawn."""
        self._progress.stop()

    def _draw(self, view: View) -> None:
        rate = view.rows * NS_PER_S // view.elapsed_ns if view.elapsed_ns else 0
        numbers = f"{view.rows:,} rows  {rate:,}/s  lag {view.lag_ns / NS_PER_MS:.1f} ms"
        if view.event_time_ms is not None:
            with suppress(ValueError, OverflowError):  # the end of year 9999 may be in year 10000 here
                reached = datetime.fromtimestamp(view.event_time_ms / 1000, self._zone)
                numbers += f"  at {reached:%Y-%m-%d %H:%M:%S}"
        self._progress.update(self._task, completed=view.position, total=view.total, numbers=numbers)
        self._progress.refresh()
