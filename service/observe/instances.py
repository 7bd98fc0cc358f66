"""Asks running instances over HTTP what they show, for `txwatch top`. One that does not answer delays no other."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from prometheus_client.parser import text_string_to_metric_families

ASK_EVERY_S: Final = 1.0
TIMEOUT_S: Final = 3.0
SILENT_S: Final = 40.0
"""A stream of events sends at least a comment in 15 s."""
MOST_ALERTS: Final = 50
MOST_BYTES: Final = 16 << 20
"""An answer that is longer is not read: it is no instance of this service."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What an instance last said."""

    at_s: float
    """When, by the monotonic clock."""
    now_ms: int
    """The wall clock here at that time."""
    status: dict[str, Any] = field(default_factory=dict)
    totals: dict[str, float] = field(default_factory=dict)
    """Counters, added up over their labels."""
    by_detector: dict[str, float] = field(default_factory=dict)
    fault: str | None = None
    """Why there was no answer."""


class Instance:
    """One instance, asked once a second on a thread of its own until close()."""

    def __init__(self, url: str) -> None:
        """``url`` is where its pages are.

        Raises:
            ValueError: this is no such URL; the text says why.
        """
        self.url: Final = url.rstrip("/")
        self._parts = parsed(url)
        self.seen: Seen | None = None
        self.before: Seen | None = None
        """The answer before the last one, for rates."""
        self.alerts: deque[dict[str, Any]] = deque(maxlen=MOST_ALERTS)
        """The newest last. Empty where its page is off."""
        self.has_alerts = True
        """Whether it has a stream of alerts; False where its page is off."""
        self._closing = threading.Event()

    def start(self) -> None:
        """Ask from now on."""
        for work in (self._ask_again, self._follow_again):
            threading.Thread(target=work, daemon=True).start()

    def close(self) -> None:
        """Ask no more."""
        self._closing.set()

    def rate(self, name: str) -> float | None:
        """A counter's increase a second between the last two answers; None where there are not two."""
        old, new = self.before, self.seen
        if old is None or new is None or name not in old.totals or new.totals.get(name, -1) < old.totals[name]:
            return None
        return (new.totals[name] - old.totals[name]) / max(0.1, new.at_s - old.at_s)

    def ask(self) -> None:
        """Ask once, and wait for the answer."""
        at_s, now_ms = time.monotonic(), time.time_ns() // 1_000_000
        try:
            status = _status(self._get("/status"))
            totals, by_detector = _counters(self._get("/metrics"))
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.before, self.seen = None, Seen(at_s, now_ms, fault=str(error) or type(error).__name__)
        else:
            self.before, self.seen = self.seen, Seen(at_s, now_ms, status, totals, by_detector)

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        secure = self._parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        return kind(self._parts.hostname or "", self._parts.port, timeout=timeout_s)

    def _get(self, path: str) -> str:
        connection = self._connect(TIMEOUT_S)
        with contextlib.closing(connection):
            connection.request("GET", self._parts.path.rstrip("/") + path)
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                raise ValueError(f"{path} is answered by {answer.status}")
            return answer.read(MOST_BYTES).decode()

    def _ask_again(self) -> None:
        while not self._closing.is_set():
            self.ask()
            self._closing.wait(ASK_EVERY_S)

    def _follow_again(self) -> None:
        last_id = ""
        while not self._closing.is_set() and self.has_alerts:
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                last_id = self._follow(last_id)
            self._closing.wait(ASK_EVERY_S)

    def _follow(self, last_id: str) -> str:
        """Read alerts until the stream ends; returns the id of the last one."""
        connection = self._connect(SILENT_S)
        with contextlib.closing(connection):
            headers = {"Last-Event-ID": last_id} if last_id else {}
            connection.request("GET", self._parts.path.rstrip("/") + "/events", headers=headers)
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                self.has_alerts = answer.status != http.client.NOT_FOUND
                return last_id
            for line in iter(answer.readline, b""):
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "id":
                    last_id = value
                elif name == "data":
                    self.alerts.append(json.loads(value, parse_float=str))
                if self._closing.is_set():
                    break
        return last_id


def parsed(url: str) -> SplitResult:
    """The parts of an instance's URL.

    Raises:
        ValueError: it is none; the text says why.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{url}: write it as http://HOST:PORT")
    try:
        _ = parts.port
        parts.hostname.encode("idna")
    except (ValueError, UnicodeError) as error:
        raise ValueError(f"{url}: {error}") from None
    return parts


def _status(text: str) -> dict[str, Any]:
    try:
        status: dict[str, Any] = json.loads(text)
        needed = {"partition", "watermark", "lag", "idle", "open_keys", "blocked_ms", "waits_for"}
        if "ready" in status and all(needed <= one.keys() for one in status["partitions"]):
            return status
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    raise ValueError("what answers there is not txwatch")


def _counters(text: str) -> tuple[dict[str, float], dict[str, float]]:
    totals: dict[str, float] = {}
    by_detector: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.endswith("_total"):
                totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
            if sample.name in {"txwatch_anomalies_total", "txwatch_shadow_anomalies_total"} and sample.labels:
                by_detector[sample.labels["detector"]] = sample.value
    return totals, by_detector
