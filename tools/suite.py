"""What `./test` runs: the whole suite with its coverage limits, or what the arguments say, without limits.

Usage: `python -m tools.suite CALLER [ARGUMENT…]`; the arguments are pytest's.

Most of the suite waits for brokers and sessions, so it runs in two halves side by side. Tests that measure time, or
look at what all runs share, are marked `alone` and come after them.
"""

import os
import shutil
import signal
import subprocess
import sys
from typing import IO, Final

from brokerkit.processes import spawn
from tools.setup import ROOT, VENV
from tools.signals import Stopped, stopped_by_signals

PYTEST: Final = ("coverage", "run", "-m", "pytest")
HISTORIES: Final = "tests/exactly_once"
CORE_PERCENT: Final = 100  # the rest's is in pyproject.toml


def main(arguments: list[str]) -> int:
    """Returns pytest's exit code, or that of the coverage limits.

    Raises:
        Stopped: somebody asked for an end.
    """
    # Before pytest, which would hide how far the download is.
    if prepared := _python("tools.broker", "--prepare"):
        return prepared
    if arguments:
        os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])  # noqa: S606  # pytest, as asked for
    data = VENV / "coverage"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    os.environ["COVERAGE_FILE"] = str(data / "data")
    with (data / "histories.txt").open("w+b") as output:
        histories = _start(*PYTEST, HISTORIES, "-m", "not alone", output=output)
        try:
            tests = _python(*PYTEST, "--ignore", HISTORIES, "-m", "not alone")
            print(f"\n== the other half: {HISTORIES}", flush=True)
            tests = histories.wait() or tests
        except Stopped:
            histories.send_signal(signal.SIGINT)
            histories.wait()
            raise
        output.seek(0)
        sys.stdout.buffer.write(output.read())
    print("\n== tests that run alone", flush=True)
    tests = _python(*PYTEST, "-m", "alone") or tests
    _python("coverage", "combine", "--quiet")
    overall = _python("coverage", "report")
    core = _python("coverage", "report", "--include", "service/core/*", "--fail-under", str(CORE_PERCENT))
    return tests or overall or core


def _start(*arguments: str, output: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    """Starts a module."""
    stderr = None if output is None else subprocess.STDOUT
    return spawn([sys.executable, "-m", *arguments], cwd=ROOT, stdout=output, stderr=stderr)


def _python(*arguments: str) -> int:
    """Runs a module to its end.

    Raises:
        Stopped: somebody asked for an end, and the module has ended.
    """
    process = _start(*arguments)
    try:
        return process.wait()
    except Stopped:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise


if __name__ == "__main__":
    try:
        with stopped_by_signals():
            sys.exit(main(sys.argv[2:]))
    except Stopped as stopped:
        sys.exit(stopped.exit_code)
