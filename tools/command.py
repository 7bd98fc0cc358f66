"""Runs the programs of the setup, with their progress on one line and their errors in one line."""

import contextlib
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from brokerkit.processes import spawn

LARGE_MB: Final = 3.0


class SetupError(Exception):
    """The environment can't be made; the text is one line for a person."""


class Display:
    """Turns pip's lines into one line that changes, on a terminal, or into a few lines, on a pipe."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._seen = 0
        self._text = ""
        self._since = time.monotonic()
        self._terminal = sys.stderr.isatty()
        if not self._terminal:
            say(f"installing {total} packages")

    def line(self, line: str) -> None:
        """Takes one line of pip's; an empty one only moves the clock."""
        if not line:
            self.tick()
        elif match := re.match(r"(?:Collecting|Requirement already satisfied:) (\S+?)==(\S+)", line):
            self._seen += 1
            self._show(f"{match[1]} {match[2]}")
        elif match := re.match(r"\s+Downloading (\S+) \(([\d.]+) MB\)", line):
            self._show(f"{match[1]}, {match[2]} MB")
            if not self._terminal and float(match[2]) >= LARGE_MB:
                say(f"  downloading {match[1]}, {match[2]} MB")
        elif match := re.match(r"Progress (\d+) of (\d+)", line):
            self._show(f"{self._text.partition(':')[0]}: {int(match[1]) * 100 // max(int(match[2]), 1)} %")
        elif "connection broken" in line or "Retrying" in line:
            self._show("the package index doesn't answer, trying again")
        elif line.startswith("Installing collected packages"):
            self._show("unpacking")

    def _show(self, text: str) -> None:
        if text.partition(":")[0] != self._text.partition(":")[0]:
            self._since = time.monotonic()
        self._text = text
        self.tick()

    def tick(self) -> None:
        """Shows that it goes on."""
        if self._terminal and self._text:
            seconds = time.monotonic() - self._since
            clock = f"  {seconds:.0f} s" if seconds >= 1 else ""
            columns = shutil.get_terminal_size().columns
            sys.stderr.write(f"\r\033[K{f'  [{self._seen}/{self._total}] {self._text}{clock}'[: columns - 1]}")
            sys.stderr.flush()

    def end(self) -> None:
        """Leaves the line empty."""
        if self._terminal:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


def run(command: list[str], failure: str, log: Path | None, display: Display | None = None) -> None:
    """Runs a command, its output going to the log and the display.

    Raises:
        SetupError: it failed; says `failure` and the command's last error.
        Stopped: a signal asked for an end; the command has ended by then.
    """
    seen: list[str] = []
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    process = spawn(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        for line in lines_of(process):
            if line:
                seen.append(line)
            if display:
                display.line(line)
        process.wait()
    finally:
        process.kill()  # after a signal it may be half-way
        process.wait()
        if display:
            display.end()
    if log:
        # A full disk is no reason to hide the error itself.
        with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in seen if not line.startswith("Progress "))
    if process.returncode:
        raise SetupError(f"{failure}: {last_error(seen)}" + (f" (all of pip's output: {log})" if log else ""))


def lines_of(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """The lines that a process writes, as they come; an empty one twice a second while it is silent."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line.decode(errors="replace").rstrip())
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=0.5)
        except queue.Empty:
            line = ""
        if line is None:
            return
        yield line


def last_error(lines: list[str]) -> str:
    """The line of pip's output that says what went wrong."""
    if any("connection broken" in line for line in lines):
        return "no connection to the package index"
    marked = [line for line in lines if re.match(r"\s*error:|.*\bErrno\b", line, flags=re.IGNORECASE)]
    noise = r"^\s*error:\s*(could not install packages due to an \w+: )?"
    return re.sub(noise, "", (marked or lines or ["it said nothing"])[-1], flags=re.IGNORECASE)[:300]


def say(text: str) -> None:
    """Prints a line to standard error; standard output belongs to results."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
