"""Runs the service as its users do: in a process, controlled by environment, signals and HTTP."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Self

from confluent_kafka import Message

from brokerkit.client import HasBootstrapServers, read_all

ROOT: Final = Path(__file__).resolve().parent.parent
WINDOW_MS: Final = 1_000


def wait_until(what: Callable[[], Any], timeout_s: float = 30.0, every_s: float = 0.05, name: str = "") -> Any:  # noqa: ANN401
    """Calls `what` until its result is true, and returns that result.

    Raises:
        TimeoutError: it was not true in time.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        answer = what()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s} s: {name or what}")
        time.sleep(every_s)


class Names:
    """The topics and the group of one test."""

    def __init__(self, unique: Callable[[str], str]) -> None:
        """Make them from the test's prefix."""
        self.group = unique("group")
        self.transactions = unique("transactions")
        self.alerts = unique("alerts")
        self.aggregates = unique("aggregates")
        self.late = unique("late")
        self.dead_letter = unique("dead-letter")
        self.state = unique("state")
        self.shadow = unique("shadow")
        self.undelivered = unique("undelivered")

    def environment(self) -> dict[str, str]:
        """Returns the names as settings of the service."""
        return {
            "KAFKA_GROUP_ID": self.group,
            "TOPICS_TRANSACTIONS": self.transactions,
            "TOPICS_ALERTS": self.alerts,
            "TOPICS_AGGREGATES": self.aggregates,
            "TOPICS_LATE": self.late,
            "TOPICS_DEAD_LETTER": self.dead_letter,
            "TOPICS_STATE": self.state,
            "TOPICS_SHADOW": self.shadow,
            "TOPICS_UNDELIVERED": self.undelivered,
        }


class ServiceProcess:
    """`python -m service` with a free HTTP port; its log is kept and can be read while it runs."""

    def __init__(
        self,
        broker: HasBootstrapServers | str,
        names: Names,
        settings: Mapping[str, str] | None = None,
        *,
        module: str = "service",
        arguments: Sequence[str] = (),
    ) -> None:
        """Start it. `settings` are environment variables that replace the usual ones of tests.

        `arguments` are of the command line. A `module` other than the service's own talks with the test by its
        standard input and output.
        """
        servers = broker if isinstance(broker, str) else broker.bootstrap_servers
        self.names = names
        self._port: int | None = None
        self._log = tempfile.NamedTemporaryFile(prefix="txwatch-", suffix=".log")  # noqa: SIM115 - lives as long as this
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("KAFKA_", "TOPICS_", "WINDOW_", "LOG_"))},
            **names.environment(),
            "KAFKA_BOOTSTRAP_SERVERS": servers,
            "KAFKA_INSTANCE_ID": "one",
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": "0",
            "WINDOW_SIZE_MS": str(WINDOW_MS),
            "LOG_FORMAT": "json",
            **(settings or {}),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=self.environment,
            stderr=self._log,
            stdin=subprocess.DEVNULL if module == "service" else subprocess.PIPE,
            stdout=None if module == "service" else subprocess.PIPE,
        )

    @property
    def log(self) -> list[dict[str, Any]]:
        """Its log so far. A line that is no JSON appears as {"event": "raw", "line": …}."""
        entries: list[dict[str, Any]] = []
        for line in Path(self._log.name).read_text().splitlines():
            try:
                entries.append(json.loads(line))
            except ValueError:
                entries.append({"event": "raw", "line": line})
        return entries

    def events(self, name: str) -> list[dict[str, Any]]:
        """Returns the log entries of this name."""
        return [entry for entry in self.log if entry["event"] == name]

    def wait_for_event(self, name: str, count: int = 1, timeout_s: float = 30.0) -> dict[str, Any]:
        """Waits for the `count`-th log entry of this name, and returns it."""

        def seen() -> list[dict[str, Any]] | None:
            found = self.events(name)
            if len(found) < count and self.process.poll() is not None:
                raise AssertionError(f"the service ended with {self.process.returncode}: {self.log[-3:]}")
            return found if len(found) >= count else None

        found = wait_until(seen, timeout_s, name=f"log event {name}")
        return dict(found[count - 1])

    def get(self, path: str, accept: str = "") -> tuple[int, str]:
        """Returns the status and the body of a page."""
        if self._port is None:
            self._port = self.wait_for_event("http_listening")["port"]
        port = self._port
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Accept": accept})
        try:
            with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, series: str) -> float | None:
        """Returns the value of one series, named as in /metrics, or None where it is absent."""
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(series + " "):
                return float(line.rpartition(" ")[2])
        return None

    def status(self) -> dict[str, Any]:
        """Returns the content of /status."""
        return dict(json.loads(self.get("/status")[1]))

    def wait_ready(self, partitions: int | None = None, timeout_s: float = 40.0) -> Self:
        """Waits until it is ready, and has this number of partitions."""

        def ready() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the service ended with {self.process.returncode}: {self.log[-3:]}")
            if self.get("/readyz")[0] != 200:
                return False
            return partitions is None or len(self.status()["partitions"]) == partitions

        wait_until(ready, timeout_s, name=f"ready with {partitions} partitions")
        return self

    def stop(self, signal_number: int = signal.SIGTERM, timeout_s: float = 20.0) -> int:
        """Sends a signal and waits; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        return self.process.wait(timeout_s)

    def close_log(self) -> None:
        """Closes the log and the pipes to the process."""
        self._log.close()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def kill(self) -> None:
        """Sends SIGKILL, and waits."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def running(
    broker: HasBootstrapServers | str,
    names: Names,
    settings: Mapping[str, str] | None = None,
    *,
    arguments: Sequence[str] = (),
) -> Iterator[ServiceProcess]:
    """Runs a service for the block, and kills it afterwards."""
    service = ServiceProcess(broker, names, settings, arguments=arguments)
    try:
        yield service
    finally:
        service.process.send_signal(signal.SIGCONT)
        if service.process.poll() is None:
            service.kill()
        service.close_log()


def run_command(
    broker: HasBootstrapServers, names: Names, command: str, *arguments: str, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of the service to its end, with these settings beside its usual ones."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("KAFKA_", "TOPICS_"))}
    return subprocess.run(
        [sys.executable, "-m", "service", command, *arguments],
        cwd=ROOT,
        env={**kept, **names.environment(), "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, **more},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def payloads(broker: HasBootstrapServers, topic: str) -> list[dict[str, Any]]:
    """Returns the committed JSON payloads of a topic, with numbers as Decimal."""
    return [loads(message) for message in read_all(broker, topic)]


def loads(message: Message) -> dict[str, Any]:
    """Returns a record's JSON value, with numbers as Decimal."""
    value = message.value()
    assert value is not None
    return dict(json.loads(value, parse_float=Decimal))


def transaction(transaction_id: str, timestamp_ms: int, amount: str | float) -> tuple[str, str]:
    """Returns the key and the value of an input record."""
    return transaction_id, (
        f'{{"transaction_id":{json.dumps(transaction_id)},"timestamp":{timestamp_ms},"amount":{amount}}}'
    )
