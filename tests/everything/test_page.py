"""The page in a real headless Chromium: what it shows, hostile ids, many partitions and alerts, barriers, restarts."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from prometheus_client import CollectorRegistry

from brokerkit.broker import Broker
from brokerkit.client import produce
from brokerkit.files import free_ports
from brokerkit.service_process import Names, running, wait_until
from service.observe.http import HttpServer, Pages
from service.observe.live import CommittedAlert, Live, OpenEpisodeStatus, OpenWindowStatus
from service.observe.metrics import Metrics
from service.observe.page_data import PageData
from service.observe.status import PartitionStatus, Status, StatusBoard
from service.observe.streams import Streams
from tools import browser
from tools.browser import Browser

T0: Final = 1_715_392_810_000
HOSTILE: Final = [
    "<img src=x onerror=\"document.title='broken'\">",
    "<script>document.title='broken'</script>",
    "\u202egnp.exe\u2066",
    "a\x00b\x1b[31m\r\nc",
    "'\"><svg onload=alert(1)>",
    "x" * 5_000,
    "حساب-交易-🧾",
    "{{7*7}}${7*7}",
    " ",
]
TWENTY_FRAMES: Final = """new Promise((done) => {
    const began = performance.now();
    let drawn = 0;
    const one = () => ++drawn < 20 ? requestAnimationFrame(one) : done(performance.now() - began);
    one();
})"""
"""How many milliseconds they take."""
BARRIERS: Final = """axe.run(document).then(
    (found) => found.violations.map((one) => [one.id, one.nodes.map((node) => node.html)]))"""
FOCUSED: Final = """(() => {
    const one = document.activeElement;
    return one.getAttribute("aria-label") || one.id || one.textContent.trim();
})()"""


def now_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000


class Site:
    """The service's server with a loop that this test plays."""

    def __init__(self, clock: str = "processing") -> None:
        self.board = StatusBoard(time.monotonic)
        registry = CollectorRegistry()
        self.metrics = Metrics(registry, self.board, "1.2.3", "2.16.0", detectors={"threshold": False, "try": True})
        detector = {"type": "threshold", "of": "sum", "shadow": False, "episodes": True, "limit": "8000"}
        self.live = Live({
            "version": "1.2.3", "instance": "<b>one</b>", "group": "txwatch", "topic": "transactions", "clock": clock,
            "window_ms": 10_000, "lateness_ms": 1_000, "late_policy": "include",
            "detectors": [{"name": "threshold", **detector}, {"name": "try", **detector, "shadow": True}],
        })  # fmt: skip
        self.streams = Streams(self.live, PageData(self.live, self.board, self.metrics, now_ms))
        self.server = HttpServer("127.0.0.1", 0, Pages(registry, self.board, self.streams))
        self.url = f"http://127.0.0.1:{self.server.port}/"
        self._number = 0

    def post(self, partitions: int = 4, *, not_ready: str | None = None, **changed: Any) -> None:  # noqa: ANN401
        """What the loop posts every second."""
        now = now_ms()
        usual: dict[str, Any] = {"lag": 0, "watermark": now - 1_000, "idle": False, "open_keys": 3, **changed}
        shown = tuple(PartitionStatus("transactions", one, 7, **usual) for one in range(partitions))
        start = now // 10_000 * 10_000
        self.live.posted_ms, self.live.in_topic = now, 12
        self.live.windows = (OpenWindowStatus(start, start + 10_000, 3 * partitions, partitions),)
        self.board.beat()
        self.board.status = Status(not_ready, shown, None, {"threshold": len(self.live.episodes)})

    def commit(self, *ids: str, amount: str = "9000.0", **changed: object) -> None:
        """A txn with an alert for each of these ids."""
        alerts = []
        for transaction_id in ids:
            self._number += 1
            fields = {
                "alert_id": f"a{self._number}", "detector": "threshold", "transaction_id": transaction_id,
                "timestamp": T0, "amount": 0, "watermark": T0 - 1_000, "limit": 8000.0, "count": 2, "late_count": 1,
                "max_timestamp": T0, "window": {"start": T0, "end": T0 + 10_000, "clock": "processing"},
                "source": {"topic": "transactions", "partition": 0, "first_offset": 3, "last_offset": 4},
                "detected_at": now_ms(), **changed,
            }  # fmt: skip
            value = json.dumps(fields).replace('"amount": 0', f'"amount": {amount}')
            alerts.append(CommittedAlert(f"a{self._number}", value.encode()))
        self.live.committed(alerts, len(alerts), now_ms())


@pytest.fixture
def site() -> Iterator[Site]:
    """A server of one's own."""
    site = Site()
    site.post()
    yield site
    site.server.close()


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    """One browser for all; it forgets nothing but what open() replaces."""
    with Browser() as page:
        yield page


@pytest.fixture
def opened(page: Browser, site: Site) -> Browser:
    """The page of the site, with its first data."""
    page.complaints.clear()
    page.prefer(color_scheme="light")
    page.resize(1440, 1000)
    page.open(site.url)
    page.wait("document.querySelectorAll('#partitions tr').length > 0")
    return page


def test_it_shows_the_service_and_goes_on(opened: Browser, site: Site) -> None:
    assert opened.text("#whose") == "instance <b>one</b> · 4 of 12 partitions of transactions · group txwatch"
    assert (opened.text("#health-text"), opened.text("#link-text")) == ("Ready", "Live")
    marks = ("wall", "event", "watermark")
    assert [
        opened.run(f"document.querySelectorAll('#timeline .{mark}:not(.alert) line').length") for mark in marks
    ] == [1, 1, 1]
    site.metrics.records.labels("transactions", "1").inc(1_234)
    site.post(3, lag=7)
    opened.wait("document.querySelector('#lag').textContent === '21'")
    opened.wait("document.querySelector('#rate-sub').textContent.startsWith('1,234 records')")
    site.post(not_ready="waiting for broker <i>localhost</i>:9092")
    opened.wait("document.querySelector('#health-text').textContent === 'Not ready'")
    assert opened.text("#trouble") == "Not ready: waiting for broker <i>localhost</i>:9092"
    site.board.status = Status(None, (), "partition 3 has records and does not move")
    opened.wait("document.querySelector('#health-text').textContent === 'Not healthy'")
    assert opened.complaints == []


def test_the_watermark_trails_event_time_by_the_lateness_on_the_time_line(opened: Browser, site: Site) -> None:
    site.metrics.records.labels("transactions", "0").inc()
    until_s = time.monotonic() + 3
    while time.monotonic() < until_s:  # the marks glide to their places
        site.post()
        time.sleep(0.2)
    place = "Number(document.querySelector('#timeline .{} line').getAttribute('x1'))"
    width = opened.run("document.querySelector('#timeline').clientWidth")
    second = width / 37
    watermark, event, wall = (opened.run(place.format(mark)) for mark in ("watermark", "event", "wall"))
    assert second * 0.9 < event - watermark < second * 1.1
    assert abs(wall - event) < second


def test_an_alert_is_there_within_a_second_with_its_exact_sum(opened: Browser, site: Site) -> None:
    began_s = time.monotonic()
    site.commit("tx1", amount="12345678901234567.89")
    opened.wait("document.querySelectorAll('#alert-list .alert').length === 1", 1)
    assert time.monotonic() - began_s < 1.0
    assert opened.text("#alert-list .sum").replace("\u202f", "") == "12345678901234567.89"
    assert "window 2024-05-11" in opened.text("#alert-list .more")


def test_hostile_ids_are_text(opened: Browser, site: Site) -> None:
    site.commit(*HOSTILE)
    site.live.episodes = tuple(
        OpenEpisodeStatus(f"e{at}", "threshold", at % 2 > 0, one, 0, 2, 1, "1", "2", "3", None, (T0, T0 + 1))
        for at, one in enumerate(HOSTILE)
    )
    site.post()
    opened.wait(f"document.querySelectorAll('#episodes .episode').length === {len(HOSTILE)}")
    shown = opened.run("[...document.querySelectorAll('#alert-list .id')].map((one) => one.textContent)")
    assert shown[::-1] == [
        "".join(f"\\u{ord(one):04x}" if one in "\u202e\u2066\x00\x1b\r\n" else one for one in text) for text in HOSTILE
    ]
    assert opened.run("document.querySelectorAll('.id *').length") == 0
    assert "broken" not in opened.run("document.title")
    assert opened.run("document.documentElement.scrollWidth <= innerWidth")
    assert opened.complaints == []


def test_inline_script_is_refused(opened: Browser) -> None:
    opened.run(
        "(() => { const one = document.createElement('script'); one.textContent = 'window.broken = 1';"
        "document.body.append(one); })()"
    )
    assert opened.run("window.broken") is None


def test_three_hundred_partitions_and_ten_thousand_alerts(opened: Browser, site: Site) -> None:
    site.post(300)
    for begin in range(0, 10_000, 500):
        site.commit(*(f"tx{number}" for number in range(begin, begin + 500)))
        time.sleep(0.02)
    opened.wait("document.querySelector('#alert-count').textContent === '10,000'")
    opened.wait("document.querySelectorAll('#alert-list .alert').length === 200")
    opened.wait("document.querySelector('#alert-list .id').textContent === 'tx9999'")
    assert opened.run("document.querySelectorAll('#partitions tr').length") == 300
    site.post(300, lag=2)
    opened.wait("document.querySelector('#lag').textContent === '600'", 3)
    assert opened.run(TWENTY_FRAMES) < 4_000
    opened.run("document.querySelector('#only').click()")
    assert opened.run("document.querySelectorAll('#partitions tr').length") == 300
    site.post(300)
    opened.wait("document.querySelectorAll('#partitions tr').length === 0")


def test_by_event_time_the_open_windows_are_side_by_side(page: Browser) -> None:
    site = Site("event")
    site.post()
    start = now_ms() // 10_000 * 10_000
    site.live.windows = tuple(OpenWindowStatus(start + d, start + d + 10_000, 5, 4) for d in (0, 10_000, 20_000))
    page.open(site.url)
    page.wait("document.querySelectorAll('#windows li').length === 3")
    tops = page.run("[...document.querySelectorAll('#windows li')].map((one) => one.getBoundingClientRect().top)")
    assert len(set(tops)) == 1
    site.server.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_it_has_no_barrier(opened: Browser, site: Site, width: int, scheme: str) -> None:
    opened.resize(width, 900)
    opened.prefer(color_scheme=scheme, reduced_motion="reduce")
    site.commit("tx1", "tx2", status="open", episode_id="x")
    site.commit("tx3")
    site.commit("tx4", status="resolved", episode_id="x", windows=2, peak=9000.0)
    site.live.episodes = (
        OpenEpisodeStatus("e", "threshold", bool(width), "tx1", 0, 2, 1, "1", "2", "3", T0, (T0, T0 + 10_000)),
    )
    site.post(not_ready="away", lag=3, blocked_ms=5, waits_for="another producer's open txn in the input")
    opened.wait("document.querySelectorAll('.episode').length === 1 && !document.querySelector('#trouble').hidden")
    opened.ask("Page.setBypassCSP", enabled=True)
    opened.run(f"(0, eval)({json.dumps(browser.axe())})")
    found = opened.run(BARRIERS)
    assert found == []
    assert opened.run("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"


def test_everything_is_reached_by_the_keyboard(opened: Browser) -> None:
    reached = []
    for _ in range(14):
        for kind in ("keyDown", "keyUp"):
            opened.ask("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.append(opened.run(FOCUSED))
    expected = ["Skip to the latest alerts", "List of the latest alerts", "List of open episodes", "only", "metrics"]
    assert [one for one in expected if one not in reached] == []


def test_with_reduced_motion_nothing_is_animated(opened: Browser, site: Site) -> None:
    opened.prefer(reduced_motion="reduce")
    site.commit("tx1")
    opened.wait("document.querySelectorAll('#alert-list .alert').length === 1")
    assert opened.run("document.getAnimations().length") == 0


def test_ten_open_pages_cost_little(site: Site, page: Browser) -> None:
    page.open("about:blank")
    readers = [reader(site) for _ in range(10)]
    time.sleep(1)
    (thread,) = (one for one in threading.enumerate() if one.name == "events" and one is site.streams._thread)
    clock = time.pthread_getcpuclockid(thread.ident or 0)
    began_s, used_s = time.monotonic(), time.clock_gettime(clock)
    for _ in range(6):
        site.post()
        time.sleep(1)
    share = (time.clock_gettime(clock) - used_s) / (time.monotonic() - began_s)
    for stop in readers:
        stop()
    assert share < 0.02


def reader(site: Site) -> Callable[[], None]:
    """A reader of what a page reads; returns what ends it."""
    client = socket.create_connection(("127.0.0.1", site.server.port), timeout=30)
    client.sendall(b"GET /live HTTP/1.0\r\n\r\n")

    def read() -> None:
        with client:
            while client.recv(65_536):
                continue

    thread = threading.Thread(target=read)
    thread.start()

    def stop() -> None:
        client.shutdown(socket.SHUT_RDWR)
        thread.join()

    return stop


def test_with_real_kafka_alerts_come_after_their_commit_and_a_restart_is_survived(
    broker: Broker, unique: Callable[[str], str], page: Browser
) -> None:
    names, (port,) = Names(unique), free_ports(1)
    settings = {"HTTP_PAGE": "true", "HTTP_PORT": str(port), "KAFKA_INSTANCE_ID": "first"}
    page.complaints.clear()

    def pay(transaction_id: str, amount: float) -> None:
        value = {"transaction_id": transaction_id, "timestamp": now_ms(), "amount": amount}
        produce(broker, names.transactions, [(transaction_id, json.dumps(value))])

    with running(broker, names, settings) as service:
        wait_until(lambda: service.get("/readyz")[0] == 200)
        page.open(f"http://127.0.0.1:{port}/")
        page.wait("document.querySelector('#health-text').textContent === 'Ready'")
        pay("tx1", 9_000.25)
        wait_until(lambda: service.get("/metrics")[1].find('anomalies_total{detector="threshold"} 1.0') > 0)
        page.wait("document.querySelectorAll('#alert-list .alert').length === 1", 1)
        assert page.text("#alert-list .id") == "tx1"
        assert page.text("#alert-list .sum").replace("\u202f", "") == "9000.25"
        service.stop()
    page.wait("document.body.classList.contains('stale')")
    assert page.text("#link-text") == "Reconnecting…"
    assert "connects again by itself" in page.text("#trouble")
    with running(broker, names, {**settings, "KAFKA_INSTANCE_ID": "second"}) as service:
        page.wait("!document.body.classList.contains('stale')", 30)
        page.wait("document.querySelector('#link-text').textContent.includes('restarted')", 5)
        wait_until(lambda: service.get("/readyz")[0] == 200)
        page.wait("document.querySelector('#whose').textContent.startsWith('instance second')")
        pay("tx2", 9_000)
        page.wait("document.querySelector('#alert-list .id')?.textContent === 'tx2'", 20)
