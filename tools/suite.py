"""What `./test` runs: the whole suite with its coverage limits, or what the arguments say, without limits.

Usage: `python -m tools.suite CALLER [ARGUMENT…]`; the arguments are pytest's.
"""

import os
import shutil
import signal
import sys
from typing import Final

from tests.processes import spawn
from tools.setup import ROOT, VENV
from tools.signals import Stopped, stopped_by_signals

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
    tests = _python("coverage", "run", "-m", "pytest")
    _python("coverage", "combine", "--quiet")
    overall = _python("coverage", "report")
    core = _python("coverage", "report", "--include", "service/core/*", "--fail-under", str(CORE_PERCENT))
    return tests or overall or core


def _python(*arguments: str) -> int:
    """Runs a module to its end.

    Raises:
        Stopped: somebody asked for an end, and the module has ended.
    """
    process = spawn([sys.executable, "-m", *arguments], cwd=ROOT)
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
