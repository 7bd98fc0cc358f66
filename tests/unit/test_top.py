"""`txwatch top`: instances over real sockets, what it shows of them, and those that are none."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from prometheus_client import CollectorRegistry
from rich.console import Console

from service.observe.http import HttpServer, Pages
from service.observe.instances import Instance, Seen, parsed
from service.observe.live import CommittedAlert, Live
from service.observe.metrics import Metrics
from service.observe.page_data import PageData
from service.observe.status import PartitionStatus, Status, StatusBoard
from service.observe.streams import Streams
from service.observe.top_view import LONG, duration, moment, view


class Site:
    """A server of the pages."""

    def __init__(self, *, page: bool = True) -> None:
        self.board = StatusBoard(time.monotonic)
        registry = CollectorRegistry()
        self.metrics = Metrics(registry, self.board, "1.2.3", "2.16", detectors={"threshold": False, "try": True})
        self.live = Live({})
        streams = Streams(self.live, PageData(self.live, self.board, self.metrics, lambda: 0)) if page else None
        self.server = HttpServer("127.0.0.1", 0, Pages(registry, self.board, streams))
        self.url = f"http://127.0.0.1:{self.server.port}/"

    def post(self, count: int = 2, **changed: int | None) -> None:
        partitions = [
            PartitionStatus("t", one, 9, 5, 1_715_392_809_500, idle=False, open_keys=7) for one in range(count)
        ]
        if changed:
            partitions[-1] = PartitionStatus("t", count - 1, 9, None, None, idle=True, open_keys=0, **changed)  # type: ignore[arg-type]
        self.board.status = Status(None, tuple(partitions))


@pytest.fixture
def site() -> Iterator[Site]:
    """A server of one's own."""
    site = Site()
    site.post()
    yield site
    site.server.close()


def shown(*instances: Instance, lines: int = LONG, width: int = 120) -> str:
    """What a terminal would show."""
    console = Console(file=io.StringIO(), width=width, height=40, color_system=None)
    console.print(view(instances, lines))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def asked(url: str) -> Instance:
    """An instance that has been asked once."""
    instance = Instance(url)
    instance.ask()
    return instance


def test_it_shows_what_an_instance_says(site: Site) -> None:
    site.post(2, blocked_ms=45_000)
    site.metrics.late.labels("t", "0").inc(3)
    site.metrics.anomalies.labels("threshold").inc(1_234)
    text = shown(asked(site.url))
    for one in ("● ready", "lag 5", "late 3", "anomalies 1,234 (threshold 1,234, try 0)", "2024-05-11 02:00:09.5",
                "catching up", "blocked for 45.0 s"):  # fmt: skip
        assert one in text


def test_the_rate_is_the_increase_between_two_answers_and_none_after_a_restart(site: Site) -> None:
    instance = Instance(site.url)
    site.metrics.records.labels("t", "0").inc(100)
    instance.ask()
    assert instance.rate("txwatch_records_total") is None
    site.metrics.records.labels("t", "0").inc(100)
    instance.ask()
    before, seen = instance.before, instance.seen
    assert before is not None
    assert seen is not None
    assert pytest.approx(100 / max(0.1, seen.at_s - before.at_s)) == instance.rate("txwatch_records_total")
    instance.seen = Seen(seen.at_s + 1, 0, seen.status, {"txwatch_records_total": 1.0})
    assert instance.rate("txwatch_records_total") is None


def test_one_that_does_not_answer_is_said_and_the_others_are_shown(site: Site) -> None:
    text = shown(asked("http://127.0.0.1:1"), asked(site.url), Instance("http://[::1]:8000"))
    assert [True] * 4 == [one in text for one in ("no answer", "● ready", "http://[::1]:8000", "asking …")]


def test_one_that_is_not_ready_says_why(site: Site) -> None:
    site.board.status = Status("waiting for [bold]broker[/bold]\x1b[31m")
    text = shown(asked(site.url))
    assert ("● not ready" in text, "waiting for [bold]broker[/bold]\\u001b[31m" in text) == (True, True)


@pytest.mark.parametrize("body", ["{}", "[]", "null", "<html>", '{"ready": true, "partitions": [{}]}', "\xff"])
def test_a_stranger_is_no_instance(body: str) -> None:
    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode("latin-1"))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        text = shown(asked(f"http://127.0.0.1:{server.server_port}"))
        server.shutdown()
        thread.join()
    assert "what answers there is not txwatch" in text or "codec can't decode" in text


def test_alerts_come_by_the_stream_newest_first_with_their_exact_sums(site: Site) -> None:
    instance = Instance(site.url)
    instance.start()
    for number, amount in enumerate(("9000.5", "12345678901234567.89")):
        fields = {"transaction_id": f"tx{number}\u202e", "amount": 0, "limit": 8000.0, "watermark": None,
                  "detector": "threshold", "detected_at": number}  # fmt: skip
        value = json.dumps(fields).replace('"amount": 0', f'"amount": {amount}').encode()
        site.live.committed([CommittedAlert(f"a{number}", value)], 1, 0)
    until_s = time.monotonic() + 5
    while len(instance.alerts) < 2 or instance.seen is None:
        assert time.monotonic() < until_s
        time.sleep(0.05)
    text = shown(instance)
    assert text.index("tx1\\u202e") < text.index("tx0")
    assert "12345678901234567.89" in text
    instance.close()


def test_without_the_page_it_says_where_alerts_would_come_from() -> None:
    site = Site(page=False)
    instance = Instance(site.url)
    instance.start()
    until_s = time.monotonic() + 5
    while instance.has_alerts:
        assert time.monotonic() < until_s
        time.sleep(0.05)
    assert "HTTP_PAGE" in shown(instance)
    instance.close()
    site.server.close()


def test_of_many_partitions_those_that_need_a_look_are_shown(site: Site) -> None:
    site.post(300, blocked_ms=1_000)
    text = shown(asked(site.url), lines=40)
    assert len(text.splitlines()) <= 40
    assert ("blocked for 1.0 s" in text, "more" in text) == (True, True)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://x", "http://", "http://a:b", "http://a:99999"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"http|port|Port"):
        parsed(url)


@pytest.mark.parametrize(("ms", "text"), [(999, "1.0 s"), (-90_000, "2 min"), (7_200_000, "2 h"), (10**11, "1,157 d")])
def test_a_span_is_in_its_largest_units(ms: int, text: str) -> None:
    assert text == duration(ms)


def test_a_missing_time_is_a_dash() -> None:
    assert ("-", "1970-01-01 00:00:00.0") == (moment(None), moment(0))


def test_the_command_prints_once_on_a_pipe(site: Site) -> None:
    def run(*urls: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "service", "top", *urls]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout, done.stderr

    code, out, err = run(site.url)
    assert (0, True, "") == (code, "● ready" in out, err)
    assert (1, "") == run("http://127.0.0.1:1")[::2]
    assert (2, "", "txwatch: nonsense: write it as http://HOST:PORT\n") == run("nonsense")
