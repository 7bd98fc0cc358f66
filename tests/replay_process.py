"""Runs the replay as its users do: in a process, for its exit code and its output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.forked import Forked

ROOT: Final = Path(__file__).resolve().parent.parent
EXAMPLE: Final = ROOT / "data" / "data.csv"
HEADER: Final = "transaction_id,timestamp,amount\n"
TIMEOUT_S: Final = 90


class Done(NamedTuple):
    """The exit code and the output of a finished replay."""

    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        """The last line of standard output."""
        found: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return found

    def counts(self, *names: str) -> tuple[Any, ...]:
        """Some of the summary's values."""
        return tuple(self.summary[name] for name in names)


def environment(variables: dict[str, str]) -> dict[str, str]:
    """These variables, and those that a process needs."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "COVERAGE_PROCESS_CONFIG") if name in os.environ}
    return {**kept, **variables}


FORKED: Final = Forked("producer", "producer.cli", environment({}))


def start(*arguments: str | Path, **variables: str) -> subprocess.Popen[bytes]:
    """Start it with these arguments and variables."""
    return subprocess.Popen(
        [sys.executable, "-m", "producer", *map(str, arguments)],
        env=environment(variables),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[bytes], text: str | bytes = "", timeout_s: float = TIMEOUT_S) -> Done:
    """Write the rest of its standard input and wait for its end."""
    data = text.encode() if isinstance(text, str) else text
    try:
        out, err = process.communicate(data, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Done(process.returncode, out.decode(), err.decode())


def run(*arguments: str | Path, text: str | bytes = "", **variables: str) -> Done:
    """Run it to its end. Its modules are loaded before; `start` loads them as users do."""
    data = text.encode() if isinstance(text, str) else text
    code, out, err = FORKED.run([str(one) for one in arguments], environment(variables), ROOT, data)
    return Done(code, out.decode(), err.decode())
