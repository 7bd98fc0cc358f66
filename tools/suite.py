"""What `./test` runs: every check (suite, lint, format, types, arrows), or what is asked for.

Usage: `python -m tools.suite CALLER [--quick | --everything | ARGUMENT…]`; other arguments go to pytest alone.

--quick       while you work: core and unit tests without the slow ones, lint, format, types, arrows
--everything  what CI runs: more faults in each history, the limits of coverage, which take half as long again, and
              tests/everything, which needs more than Python

Most tests wait for brokers and sessions, so several runs of pytest share the suite, and the other checks run beside
them. Tests that measure time, or look at what all runs share, are marked `alone` and come after them.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from coverage import CoverageData
from coverage.exceptions import DataError

from brokerkit.processes import spawn
from tools.setup import ROOT, VENV
from tools.signals import Stopped, stopped_by_signals

LANES: Final = 3  # most of their tests wait; with a fourth that waits, limits of time become tight
COMPUTING: Final = ("tests/core", "tests/unit")  # these tests wait for nothing, so one more run has them to do
QUICK_LANES: Final = 2  # these tests wait for nothing, and the machine that this is meant for has two cores
PLAIN: Final = ("-m", "pytest")
COVERED: Final = ("-m", "coverage", "run", "-m", "pytest")
CORE_PERCENT: Final = 100  # the rest's is in pyproject.toml
CHECKS: Final = {
    "lint": ("ruff", "check"),
    "format": ("ruff", "format", "--check"),
    "types": ("mypy",),
    "arrows": ("lint-imports",),
}


@dataclass
class Job:
    """A program that runs; its output is shown as it comes, or in one piece at its end."""

    name: str
    process: subprocess.Popen[bytes]
    output: IO[bytes] | None = None


class Jobs:
    """Programs that run side by side; each one that fails is remembered by its name."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self._running: list[Job] = []

    def check(self, name: str) -> None:
        """Start one of the checks."""
        program, *arguments = CHECKS[name]
        self._start(name, [str(Path(sys.executable).with_name(program)), *arguments], shown=False)

    def python(self, name: str, *arguments: str, shown: bool = True) -> None:
        """Start Python with these arguments; its output is `shown` as it comes."""
        self._start(name, [sys.executable, *arguments], shown=shown)

    def _start(self, name: str, command: list[str], *, shown: bool) -> None:
        output = None if shown else tempfile.TemporaryFile()  # noqa: SIM115  # closed when it has been shown
        stderr = None if shown else subprocess.STDOUT
        self._running.append(Job(name, spawn(command, cwd=ROOT, stdout=output, stderr=stderr), output))

    def finish(self) -> None:
        """Wait for all of them, one after the other, and show what was not shown.

        Raises:
            Stopped: a signal asked for an end, and all of them have ended.
        """
        try:
            while self._running:
                self._finish(self._running[0])
                del self._running[0]
        except Stopped:
            for job in self._running:
                job.process.send_signal(signal.SIGINT)
            for job in self._running:
                job.process.wait()
            raise

    def _finish(self, job: Job) -> None:
        code = job.process.wait()
        if job.output is not None:
            with job.output as output:
                output.seek(0)
                print(f"\n== {job.name}", flush=True)
                shutil.copyfileobj(output, sys.stdout.buffer)
                sys.stdout.buffer.flush()
        if code and job.name not in self.failed:
            self.failed.append(job.name)


def main(arguments: list[str]) -> int:
    """Returns pytest's exit code for its own arguments, else 1 if a check failed.

    Raises:
        Stopped: a signal asked for an end.
    """
    jobs = Jobs()
    # Before pytest, which would hide how far the download is.
    jobs.python("broker", "-m", "tools.broker", "--prepare")
    jobs.finish()
    if jobs.failed:
        return 1
    match arguments:
        case ["--quick"]:
            _quick(jobs)
        case [] | ["--everything"]:
            _suite(jobs, everything=bool(arguments))
            if arguments:
                print("\n== tests that need more than Python", flush=True)
                jobs.python("tests/everything", "-m", "pytest", "tests/everything")
                jobs.finish()
        case _:
            os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])  # noqa: S606  # as asked for
    print(f"\nfailed: {', '.join(jobs.failed)}" if jobs.failed else "\nall checks passed", flush=True)
    return 1 if jobs.failed else 0


def _quick(jobs: Jobs) -> None:
    """The checks beside core and unit tests."""
    arguments = ("-q", "-m", "not alone and not slow", "-p", "no:cacheprovider", *COMPUTING)
    with tempfile.TemporaryDirectory() as claims:
        _lanes(jobs, QUICK_LANES, claims, PLAIN, arguments)


def _suite(jobs: Jobs, *, everything: bool) -> None:
    """The checks beside all tests, and then the tests that run alone."""
    if everything:
        with _covered(jobs):
            _tests(jobs, COVERED, "--long")
    else:
        _tests(jobs, PLAIN)


def _tests(jobs: Jobs, python: tuple[str, ...], *arguments: str) -> None:
    with tempfile.TemporaryDirectory() as claims:
        beside = ("--from-the-end", *COMPUTING)
        _lanes(jobs, LANES, claims, python, ("-m", "not alone", *arguments), beside=beside)
    print("\n== tests that run alone", flush=True)
    files = (
        str(path) for path in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.alone" in path.read_text("utf-8")
    )
    jobs.python("tests", *python, "-m", "alone", *arguments, *files)
    with _timed("tests that run alone"):
        jobs.finish()


@contextlib.contextmanager
def _covered(jobs: Jobs) -> Iterator[None]:
    """Check the limits of coverage after the tests."""
    data = VENV / "coverage"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    os.environ["COVERAGE_FILE"] = str(data / "data")
    yield
    drop_half_files(data)
    jobs.python("coverage", "-m", "coverage", "combine", "--quiet")
    jobs.finish()
    jobs.python("coverage", "-m", "coverage", "report")
    jobs.finish()
    core = ("report", "--include", "service/core/*", "--fail-under", str(CORE_PERCENT))
    jobs.python("coverage of the core", "-m", "coverage", *core)
    jobs.finish()


def _lanes(
    jobs: Jobs,
    lanes: int,
    claims: str,
    python: tuple[str, ...],
    arguments: tuple[str, ...],
    *,
    beside: tuple[str, ...] = (),
) -> None:
    """Runs of pytest that share the tests, the first one shown as it goes, and the checks; `beside` is one more run."""
    for name in CHECKS:
        jobs.check(name)
    shared = ("-p", "tools.lanes", f"--claims={claims}", *arguments)  # in one piece: pytest takes a folder for its root
    for lane in range(lanes):
        jobs.python("tests", *python, *shared, shown=not lane)
    if beside:
        jobs.python("tests", *python, *shared, *beside, shown=False)
    with _timed("tests and checks"):
        jobs.finish()


def drop_half_files(folder: Path) -> None:
    """Remove the data of processes that were killed while they wrote it: it counts as that of any killed process."""
    for path in folder.iterdir():
        if path.name.endswith("-journal"):  # SQLite's own: it shows that the file beside it is not whole
            continue
        try:
            CoverageData(str(path), read_only=True).read()
        except DataError:
            path.unlink()


@contextlib.contextmanager
def _timed(what: str) -> Iterator[None]:
    """Say how long it took, and how long processors worked for it."""
    began_s, before = time.monotonic(), os.times()
    yield
    after = os.times()
    worked_s = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"\n{what}: {time.monotonic() - began_s:.0f} s, {worked_s:.0f} s of processor time", flush=True)


if __name__ == "__main__":
    try:
        with stopped_by_signals():
            sys.exit(main(sys.argv[2:]))
    except Stopped as stopped:
        sys.exit(stopped.exit_code)
