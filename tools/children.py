"""The programs that the demo starts: the service, the reader of alerts, the replay."""

import collections
import contextlib
import http.client
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Final, Self

from brokerkit.processes import spawn
from tools.setup import ROOT

STOP_TIMEOUT_S: Final = 10.0
READY_TIMEOUT_S: Final = 60.0
# The caller's variables are about another Kafka than the demo's.
FOREIGN: Final = ("KAFKA_", "TOPICS_", "LOG_", "HTTP_HOST", "HTTP_PORT")


class DemoError(Exception):
    """The demo can't go on; the text is one line for a person."""


class Child:
    """A module of txwatch as a process. Its output is read line by line, by threads.

    Args:
        name: what people call it.
        arguments: what follows `python`.
        settings: environment variables, besides the caller's.
    """

    def __init__(self, name: str, arguments: list[str], settings: Mapping[str, str]) -> None:
        self.name = name
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.complaints: collections.deque[str] = collections.deque(maxlen=1000)
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
        self._process = spawn(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=inherited | {"PYTHONUNBUFFERED": "1"} | dict(settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._readers = [
            _read(self._process.stdout, self.lines.put),
            _read(self._process.stderr, self._complain),
        ]

    def _complain(self, line: str) -> None:
        self.complaints.append(line)

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def finish(self) -> int:
        """Waits for its end and for its last lines."""
        code = self._process.wait()
        for reader in self._readers:
            reader.join(STOP_TIMEOUT_S)
        return code

    def check(self) -> None:
        """Raises `DemoError` if it has ended."""
        if self.exit_code is not None:
            how = how_it_ended(self.finish())
            raise DemoError(f"the {self.name} {how}; its last line: {self.last_complaint()}")

    def last_complaint(self) -> str:
        """Its last line on standard error; of a JSON log line the event and its details."""
        line = next((line for line in reversed(self.complaints) if line.strip()), "it said nothing")
        with contextlib.suppress(ValueError, AttributeError):
            entry = json.loads(line)
            details = (f"{key}={value}" for key, value in entry.items() if key not in {"event", "level", "timestamp"})
            return " ".join((entry["event"], *details))
        return line.removeprefix("txwatch-replay: ").removeprefix("txwatch: ")

    def stop(self) -> None:
        """SIGTERM, and SIGKILL where that doesn't help."""
        if self.exit_code is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_S)
            self._process.kill()
        self.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Service(Child):
    """`python -m service`, with its HTTP server on a free port."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.port: int | None = None
        http_settings = {
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": "0",
            "HTTP_PAGE": "true",
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "info",
        }
        super().__init__("service", ["-m", "service"], {**settings, **http_settings})

    def _complain(self, line: str) -> None:
        super()._complain(line)
        if self.port is None and "http_listening" in line:
            with contextlib.suppress(ValueError, KeyError):
                self.port = int(json.loads(line)["port"])

    @property
    def address(self) -> str:
        """HOST:PORT of its pages."""
        return f"127.0.0.1:{self.port}"

    def wait_until_ready(self) -> None:
        """Waits until it has joined its group.

        Raises:
            DemoError: it ended, or isn't ready in time.
        """
        deadline = time.monotonic() + READY_TIMEOUT_S
        status, body = 0, "its HTTP server does not answer"
        while status != http.client.OK:
            self.check()
            if time.monotonic() > deadline:
                raise DemoError(f"the service was not ready within {READY_TIMEOUT_S:.0f} s: {body.strip()}")
            time.sleep(0.05)
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, body = self.get("/readyz")

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of one of its pages; by http.client, which no proxy setting diverts."""
        if self.port is None:
            raise ConnectionRefusedError(self.name)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metric(self, name: str) -> list[str]:
        """The lines of one metric, as Prometheus would see them; none where the page can't be had."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            page = self.get("/metrics")[1].splitlines()
            return [line for line in page if line.startswith((f"{name}{{", f"{name} "))]
        return []

    def total(self, name: str) -> float:
        """A metric's sum over its labels."""
        return sum(float(line.rpartition(" ")[2]) for line in self.metric(name))


def how_it_ended(code: int) -> str:
    """An exit code in words."""
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _read(stream: IO[bytes] | None, take: Callable[[str], None]) -> threading.Thread:
    def read() -> None:
        for line in stream or ():
            take(line.decode(errors="replace").rstrip("\n"))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread
