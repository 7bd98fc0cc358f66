"""Lines on standard output, for a reader that may leave before the last one."""

from __future__ import annotations

import os
import sys
import traceback


class OutputError(Exception):
    """Standard output takes no more lines.

    ``fault`` is one line that says why. It is None where the reader has closed its end, as head(1) does: no fault.
    """

    def __init__(self, fault: str | None) -> None:
        super().__init__(fault or "standard output: its reader has closed it")
        self.fault = fault


def print_line(line: str) -> None:
    """Print a line at once. Without a standard output, do nothing.

    Raises:
        OutputError: it could not be written. Later output goes to /dev/null, so that no other write can fail.
    """
    try:
        print(line, flush=True)  # noqa: T201 - this is what the commands are for
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        closed = isinstance(error, BrokenPipeError)
        raise OutputError(None if closed else f"standard output: {error.strerror}") from None


def fault_of_echo(error: OSError) -> str | None:
    """One line where click could not print --help, --version or a completion; None for an error from elsewhere."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return f"standard output: {error.strerror}" if frame.f_globals.get("__name__") == "click.utils" else None
