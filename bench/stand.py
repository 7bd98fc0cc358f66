"""What every figure needs: a broker, sizes by patience, runs of floor and service, and progress lines."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bench.drain import environment, fill, write
from brokerkit.broker import Broker
from brokerkit.client import create_topics


@dataclass
class Stand:
    """Handed to each figure."""

    broker: Broker
    quick: bool
    rounds: int
    say: Callable[[str], None]
    """Called before each step, with what it is."""
    count: int = 0

    def new(self, name: str) -> str:
        """A name that no other step has."""
        self.count += 1
        return f"{name}-{self.count}"

    def records(self, many: int) -> int:
        """So many records, or a fifth of them with --quick."""
        return many // 5 if self.quick else many

    def topic(self, records: int, keys: int = 1_000, **how: Any) -> str:  # noqa: ANN401 - fill()'s own
        """A filled topic."""
        name = self.new("input")
        self.say(f"writing {records:,} records")
        fill(self.broker, name, records, keys, **how)
        return name

    def refill(self, topic: str, records: int) -> None:
        """More records of the usual kind."""
        write(self.broker, topic, records, size=90)

    def outputs(self, topic: str, run: str) -> dict[str, str]:
        """Output topics of a run's own, made beforehand, so that no run waits for them."""
        names = {
            "TOPICS_ALERTS": f"{run}.alerts",
            "TOPICS_LATE": f"{run}.late",
            "TOPICS_DEAD_LETTER": f"{run}.dead",
        }
        create_topics(self.broker, *names.values(), config={"max.message.bytes": 2_097_152})
        return {**environment(self.broker, topic, run), **names}


class Running:
    """A service, its log lines and its pages."""

    def __init__(self, process: subprocess.Popen[str], began_s: float) -> None:
        """Wait until it has said its port."""
        assert process.stderr is not None, "a pipe was asked for"  # noqa: S101
        self.process = process
        self.began_s = began_s
        self.lines: Iterator[dict[str, Any]] = map(json.loads, process.stderr)
        self.port = int(self.wait_for("http_listening")["port"])

    def wait_for(self, event: str) -> dict[str, Any]:
        """The next log line of this name."""
        return next(line for line in self.lines if line["event"] == event)

    def get(self, path: str) -> str:
        """A page."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}") as response:
            return str(response.read().decode())

    def partitions(self) -> int:
        """How many it has."""
        return len(json.loads(self.get("/status"))["partitions"])


@contextlib.contextmanager
def service(env: dict[str, str]) -> Iterator[Running]:
    """Run a service within the block."""
    began_s = time.monotonic()
    with subprocess.Popen([sys.executable, "-m", "service"], env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield Running(process, began_s)
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            if process.stderr is not None:
                process.stderr.read()
