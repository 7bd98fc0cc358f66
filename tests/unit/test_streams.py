"""Event streams over real sockets: what a reader gets, and that none can hold up others, the pages or the loop."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from service.observe import page, streams
from service.observe.http import MAX_CONNECTIONS, HttpServer, Pages
from service.observe.live import MOST_ALERTS, MOST_BYTES, CommittedAlert, Live, RecentAlerts
from service.observe.metrics import Metrics
from service.observe.page_data import PageData
from service.observe.status import PartitionStatus, Status, StatusBoard
from service.observe.streams import MOST_READERS, Streams

WITHIN_S = 1.0
"""An alert is shown within this time of its commit."""


def alert(number: int, size: int = 0) -> CommittedAlert:
    """A committed alert."""
    return CommittedAlert(f"a{number}", json.dumps({"transaction_id": f"tx{number}", "note": "x" * size}).encode())


class Site:
    """A server with the page on."""

    def __init__(self) -> None:
        self.board = StatusBoard(time.monotonic)
        registry = CollectorRegistry()
        self.metrics = Metrics(registry, self.board, "1.2.3", "2.16.0", detectors={"threshold": False, "try": True})
        self.live = Live({"instance": "one"})
        self.streams = Streams(self.live, PageData(self.live, self.board, self.metrics, lambda: 1_000))
        self.server = HttpServer("127.0.0.1", 0, Pages(registry, self.board, self.streams))
        self.readers: list[Reader] = []

    def read(self, path: str = "/events", **headers: str) -> Reader:
        """Another reader, which has got the head."""
        reader = Reader(self.server.port, path, headers)
        self.readers.append(reader)
        return reader

    def commit(self, *alerts: CommittedAlert) -> None:
        self.live.committed(alerts, len(alerts), 900)

    def close(self) -> None:
        for reader in self.readers:
            reader.close()
        self.server.close()


class Reader:
    """A client of an event stream."""

    def __init__(self, port: int, path: str, headers: dict[str, str]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        lines = [f"GET {path} HTTP/1.1", "Host: txwatch", *(f"{name}: {value}" for name, value in headers.items())]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self.stream = self.socket.makefile("rb")
        self.head = [line.decode().strip() for line in iter(self.stream.readline, b"\r\n")]

    def next(self) -> dict[str, str]:
        """The next event by field, comments as the field ''; empty where the stream has ended."""
        fields: dict[str, str] = {}
        for line in iter(self.stream.readline, b""):
            if line == b"\n":
                if fields.keys() - {"retry"}:
                    return fields
                fields = {}
                continue
            name, _, value = line.decode().rstrip("\n").partition(":")
            fields[name] = value.removeprefix(" ")
        return fields

    def until(self, name: str) -> dict[str, Any]:
        """The data of the next event of this name."""
        while (event := self.next()).get("event") != name:
            assert event, f"the stream ended before {name}"
        data: dict[str, Any] = json.loads(event["data"])
        return data

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


@pytest.fixture
def site() -> Iterator[Site]:
    """A server of one's own."""
    site = Site()
    yield site
    site.close()


def test_an_alert_comes_within_a_second_of_its_commit_as_it_is_in_the_topic(site: Site) -> None:
    reader = site.read()
    assert "HTTP/1.1 200 OK" == reader.head[0]
    assert "Content-Type: text/event-stream; charset=utf-8" in reader.head
    began_s = time.monotonic()
    site.commit(alert(1))
    assert {"id": "a1", "data": alert(1).value.decode()} == reader.next()
    assert time.monotonic() - began_s < WITHIN_S


def test_a_reader_first_gets_what_is_kept_or_what_came_after_the_last_it_knows(site: Site) -> None:
    site.commit(alert(1), alert(2))
    site.commit(alert(3))
    everything, rest, unknown = site.read(), site.read(**{"Last-Event-ID": "a2"}), site.read(**{"Last-Event-ID": "zz"})
    assert ["a1", "a2", "a3"] == [everything.next()["id"] for _ in range(3)]
    assert ["a3"] == [rest.next()["id"]]
    assert ["a1"] == [unknown.next()["id"]]


def test_the_page_gets_its_begin_then_alerts_and_the_state_again_and_again(site: Site) -> None:
    site.commit(alert(1))
    site.board.status = Status(None, (PartitionStatus("transactions", 2, 7, 3, 5_000, idle=False, open_keys=4),))
    site.metrics.records.labels("transactions", "2").inc(10)
    site.metrics.late.labels("transactions", "2").inc(3)
    site.metrics.shadow_anomalies.labels("try").inc(5)
    reader = site.read("/live")
    assert "one" == reader.until("hello")["instance"]
    assert "tx1" == reader.until("alert")["transaction_id"]
    status = reader.until("status")
    assert (True, None, 5_000, 1, 900) == tuple(
        status[name] for name in ("ready", "reason", "watermark", "alerts", "committed")
    )
    assert {"threshold": 0, "try": 5} == status["found"]
    assert {
        "partition": 2, "watermark": 5_000, "lag": 3, "idle": False, "keys": 4, "blocked_ms": None, "waits_for": None,
        "late": 3,
    } == status["partitions"][0]  # fmt: skip
    site.board.status = Status("away")
    while (status := reader.until("status"))["ready"]:
        continue
    assert "away" == status["reason"]


def test_one_reader_too_many_disconnects_the_oldest(site: Site) -> None:
    oldest, *others = [site.read("/live" if number % 2 else "/events") for number in range(MOST_READERS)]
    others.append(site.read())
    assert {} == oldest.next()
    site.commit(alert(1))
    for reader in others:
        while (event := reader.next()).get("id") != "a1":
            assert event


def test_readers_leave_every_place_to_other_requests(site: Site) -> None:
    readers = [site.read() for _ in range(MOST_READERS)]
    for _ in range(2 * MAX_CONNECTIONS):
        assert site.read("/healthz").head[0].endswith("200 OK")
    site.commit(alert(1))
    assert ["a1"] * MOST_READERS == [reader.next()["id"] for reader in readers]


def test_a_reader_that_takes_nothing_holds_up_no_other_and_is_disconnected(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "STUCK_S", 1.0)
    hanging, lively = site.read(), site.read()
    slowest_s, number = 0.0, 0
    for _ in range(12):
        began_s = time.monotonic()
        site.commit(*(alert(number := number + 1, 9_000) for _ in range(100)))
        slowest_s = max(slowest_s, time.monotonic() - began_s)
        while lively.next().get("id") != f"a{number}":
            continue
    assert slowest_s < 0.1, "the loop waited for a reader"
    time.sleep(1.5)
    site.commit(alert(-1))
    assert "a-1" == lively.next()["id"]
    got = 0
    while hanging.next():
        got += 1
    assert got < number


def test_a_reader_that_is_too_slow_hears_how_many_it_has_missed(site: Site) -> None:
    reader = site.read()
    site.commit(*(alert(number) for number in range(MOST_ALERTS + 500)))
    missed = reader.next()
    assert {"": "500 alerts are left out"} == missed
    assert "a500" == reader.next()["id"]


def test_a_reader_that_leaves_is_forgotten(site: Site) -> None:
    for _ in range(3 * MOST_READERS):
        site.read().close()
    reader = site.read()
    site.commit(alert(1))
    assert "a1" == reader.next()["id"]
    until_s = time.monotonic() + 5
    while len(site.streams._readers) > 1:
        assert time.monotonic() < until_s
        time.sleep(0.05)


def test_a_quiet_stream_is_kept_alive(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "KEEP_ALIVE_S", 0.3)
    assert {"": ""} == site.read().next()


def test_a_stream_outlives_the_limit_of_an_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.observe.http.CONNECTION_TIMEOUT_S", 0.2)
    site = Site()
    reader = site.read()
    time.sleep(0.6)
    site.commit(alert(1))
    assert "a1" == reader.next()["id"]
    site.close()


def test_the_end_of_the_service_ends_the_streams_and_their_thread(site: Site) -> None:
    reader = site.read("/live")
    site.server.close()
    while reader.next():
        continue
    assert "events" not in {thread.name for thread in threading.enumerate()}
    site.server = HttpServer("127.0.0.1", 0, Pages(CollectorRegistry(), site.board))


@pytest.mark.parametrize("path", ["/events", "/live"])
def test_a_head_of_a_stream_ends(site: Site, path: str) -> None:
    with socket.create_connection(("127.0.0.1", site.server.port), timeout=10) as client, client.makefile("rb") as got:
        client.sendall(f"HEAD {path} HTTP/1.0\r\n\r\n".encode())
        assert got.read() == streams.HEAD


@pytest.mark.parametrize("path", page.FILES)
def test_the_pages_files_forbid_what_is_not_their_own(site: Site, path: str) -> None:
    head = dict(line.split(": ", 1) for line in site.read(path).head[1:])
    policy = head["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in policy
    assert ("nosniff", "no-referrer", "no-store", page.FILES[path][1]) == tuple(
        head[name] for name in ("X-Content-Type-Options", "Referrer-Policy", "Cache-Control", "Content-Type")
    )


def test_the_pages_files_name_nothing_elsewhere() -> None:
    own = "http://www.w3.org/2000/svg"
    for name, _ in page.FILES.values():
        text = page.read(name).decode().replace(own, "")
        assert [] == [word for word in ("http:", "https:", "url(//", 'src="//', "innerHTML", "eval(") if word in text]


@pytest.mark.parametrize("path", ["/events", "/live", "/page.js"])
def test_without_the_page_there_is_no_stream_and_no_file(path: str) -> None:
    server = HttpServer("127.0.0.1", 0, Pages(CollectorRegistry(), StatusBoard(lambda: 0.0)))
    reader = Reader(server.port, path, {})
    assert reader.head[0].endswith("404 Not Found")
    reader.close()
    plain = Reader(server.port, "/", {})
    assert (True, True) == (plain.head[0].endswith("200 OK"), "Content-Type: text/plain; charset=utf-8" in plain.head)
    text = plain.stream.read().decode()
    assert [] == [path for path in ("/metrics", "/healthz", "/readyz", "/status", "HTTP_PAGE") if path not in text]
    plain.close()
    server.close()


# ---- the ring -------------------------------------------------------------------------------------------------


def test_the_ring_keeps_the_newest_by_number() -> None:
    recent = RecentAlerts()
    for number in range(MOST_ALERTS + 7):
        recent = recent.plus([alert(number)], 1)
    assert (MOST_ALERTS + 7, MOST_ALERTS, "a7") == (recent.total, len(recent.kept), recent.kept[0].alert_id)


def test_the_ring_keeps_the_newest_by_size() -> None:
    recent = RecentAlerts().plus([alert(number, MOST_BYTES // 4) for number in range(6)], 6)
    assert (6, ["a3", "a4", "a5"]) == (recent.total, [one.alert_id for one in recent.kept])
    assert (9, ()) == ((more := recent.plus([alert(8, 2 * MOST_BYTES)], 3)).total, more.kept)


def test_what_came_after_a_number_is_found_and_what_is_missing_is_counted() -> None:
    recent = RecentAlerts().plus([alert(4), alert(5)], 5)
    assert [(3, 2), (1, 2), (0, 1), (0, 0)] == [
        (missed, len(found)) for missed, found in map(recent.after, (0, 2, 4, 5))
    ]
    assert (4, 5, 3) == tuple(map(recent.number_of, ("a4", "a5", "")))
