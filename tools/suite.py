"""What `./test` runs: every check (suite with its coverage limits, lint, format, types, arrows), or what is asked for.

Usage: `python -m tools.suite CALLER [--quick | --everything | ARGUMENT…]`; other arguments go to pytest alone.

--quick       core and unit tests but the slow ones, lint, format, types, arrows: for the loop of work
--everything  what CI runs: `./test`, and tests/everything, which needs more than Python

Most of the suite waits for brokers and sessions, so it runs in two halves that take about as long, side by side. Tests
that measure time, or look at what all runs share, are marked `alone` and come after them.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from brokerkit.processes import spawn
from tools.setup import ROOT, VENV
from tools.signals import Stopped, stopped_by_signals

PYTEST: Final = ("-m", "coverage", "run", "-m", "pytest")
HALF, OTHER_HALF = ("tests/integration",), ("tests/exactly_once", "tests/core", "tests/unit")
CORE_PERCENT: Final = 100  # the rest's is in pyproject.toml
CHECKS: Final = {
    "lint": ("ruff", "check"),
    "format": ("ruff", "format", "--check"),
    "types": ("mypy",),
    "arrows": ("lint-imports",),
}


def main(arguments: list[str]) -> int:
    """Returns pytest's exit code for its own arguments, else 1 if a check failed.

    Raises:
        Stopped: somebody asked for an end.
    """
    # Before pytest, which would hide how far the download is.
    if prepared := _python("-m", "tools.broker", "--prepare"):
        return prepared
    if arguments == ["--quick"]:
        return _all_checks(_quick)
    if arguments and arguments != ["--everything"]:
        os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])  # noqa: S606  # pytest, as asked for
    return _all_checks(_everything if arguments else _suite)


def _all_checks(tests: Callable[[], int]) -> int:
    """Run all of them, and say at the end which ones failed."""
    failed = ["tests"] if tests() else []
    for name, (program, *arguments) in CHECKS.items():
        print(f"\n== {name}", flush=True)
        if _wait(spawn([str(Path(sys.executable).with_name(program)), *arguments], cwd=ROOT)):
            failed.append(name)
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nall checks passed", flush=True)
    return 1 if failed else 0


def _quick() -> int:
    """Core and unit tests in two halves side by side."""
    files = [str(path) for path in sorted((ROOT / "tests" / "unit").glob("test_*.py"))]
    marks = ("-m", "pytest", "-q", "-m", "not alone and not slow", "-p", "no:cacheprovider")
    other = _start(*marks, *files[1::2])
    try:
        tests = _python(*marks, "tests/core", *files[::2])
    except Stopped:
        other.send_signal(signal.SIGINT)
        other.wait()
        raise
    return other.wait() or tests


def _suite() -> int:
    """The whole suite with its coverage limits."""
    data = VENV / "coverage"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    os.environ["COVERAGE_FILE"] = str(data / "data")
    with (data / "other-half.txt").open("w+b") as output:
        other = _start(*PYTEST, *OTHER_HALF, "-m", "not alone", output=output)
        try:
            tests = _python(*PYTEST, *HALF, "-m", "not alone")
            print(f"\n== the other half: {', '.join(OTHER_HALF)}", flush=True)
            tests = other.wait() or tests
        except Stopped:
            other.send_signal(signal.SIGINT)
            other.wait()
            raise
        output.seek(0)
        sys.stdout.buffer.write(output.read())
    print("\n== tests that run alone", flush=True)
    tests = _python(*PYTEST, "-m", "alone") or tests
    _python("-m", "coverage", "combine", "--quiet")
    overall = _python("-m", "coverage", "report")
    core = _python("-m", "coverage", "report", "--include", "service/core/*", "--fail-under", str(CORE_PERCENT))
    return tests or overall or core


def _everything() -> int:
    """The suite, and what needs more than Python."""
    tests = _suite()
    print("\n== tests that need more than Python", flush=True)
    return _python("-m", "pytest", "tests/everything") or tests


def _start(*arguments: str, output: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    """Starts Python with these arguments."""
    stderr = None if output is None else subprocess.STDOUT
    return spawn([sys.executable, *arguments], cwd=ROOT, stdout=output, stderr=stderr)


def _python(*arguments: str) -> int:
    """Runs Python with these arguments to its end."""
    return _wait(_start(*arguments))


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Waits for its end.

    Raises:
        Stopped: somebody asked for an end, and the process has ended.
    """
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
