"""The HTTP pages over a real socket: what they say, which requests are refused, and that no client can hold them up."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import errno
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from service.observe.http import (
    CONNECTION_TIMEOUT_S,
    MAX_CONNECTIONS,
    REQUEST_TIMEOUT_S,
    HttpServer,
    Info,
    Pages,
    authority,
    preferred,
    why_not,
)
from service.observe.metrics import Metrics
from service.observe.status import STALLED_AFTER_S, PartitionStatus, Status, StatusBoard

PARTITION = PartitionStatus("transactions", 0, 7, 3, 1_715_392_809_000, idle=False, open_keys=2)
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PATHS = ["/metrics", "/healthz", "/readyz", "/status"]


class Site:
    """A server with a board to post on and a clock to move."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.now_s = 0.0
        self.board = StatusBoard(lambda: self.now_s)
        registry = CollectorRegistry()
        Metrics(registry, self.board, "1.2.3", "2.16.0")
        self.server = HttpServer(host, 0, Pages(registry, self.board))

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
        """Status, content type and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, response.getheader("Content-Type", ""), response.read().decode()
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """A connection that has said nothing yet."""
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=30)


@pytest.fixture(scope="module")
def shared_site() -> Iterator[Site]:
    """One server for all: closing one takes half a second."""
    site = Site()
    yield site
    site.server.close()


@pytest.fixture
def site(shared_site: Site) -> Site:
    """The site as it is at the start."""
    shared_site.now_s = 0.0
    shared_site.board.beat()
    shared_site.board.status = Status("starting")
    return shared_site


@pytest.mark.parametrize("path", PATHS)
def test_a_page_has_its_length_and_ends_with_its_line(site: Site, path: str) -> None:
    site.board.status = Status(None)
    status, _, body = site.ask(path)
    assert 200 == status
    assert body.endswith("\n")


@pytest.mark.parametrize("path", PATHS)
def test_a_head_is_a_get_without_its_body(site: Site, path: str) -> None:
    status, content_type, _ = site.ask(path)
    assert (status, content_type, "") == site.ask(path, "HEAD")


def test_a_head_has_no_body_on_the_wire(site: Site) -> None:
    with site.connect() as connection:
        connection.sendall(b"HEAD /metrics HTTP/1.0\r\n\r\n")
        with connection.makefile("rb") as answer:
            head, _, body = answer.read().partition(b"\r\n\r\n")
    assert (True, b"") == (b"Content-Length: " in head, body)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused_with_the_allowed_ones(site: Site, method: str) -> None:
    with site.connect() as client, client.makefile("rb") as answer:
        client.sendall(f"{method} /metrics HTTP/1.1\r\nHost: txwatch\r\n\r\n".encode())
        head = answer.read().partition(b"\r\n\r\n")[0]
    assert (b"405", True) == (head.split()[1], b"\r\nAllow: GET, HEAD" in head)


def test_what_is_no_method_is_refused(site: Site) -> None:
    assert 501 == site.ask("/metrics", "NONSENSE")[0]


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "/METRICS", "/../etc/passwd", "/metrics%00"])
def test_an_unknown_page_is_not_found_and_the_others_are_named(site: Site, path: str) -> None:
    status, _, body = site.ask(path)
    assert 404 == status
    assert [] == [known for known in PATHS if known not in body]


def test_a_query_makes_no_difference(site: Site) -> None:
    assert 200 == site.ask("/metrics?name=x")[0]


def test_metrics_are_prometheus_text_unless_asked_otherwise(site: Site) -> None:
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "text/plain"}, {"Accept": "text/html"}):
        status, content_type, body = site.ask("/metrics", **headers)
        assert (200, True) == (status, content_type.startswith("text/plain"))
        assert "txwatch_build_info" in {family.name for family in parse(body)}


def test_metrics_are_openmetrics_where_that_is_asked_for(site: Site) -> None:
    status, content_type, body = site.ask("/metrics", Accept=OPENMETRICS)
    assert (200, True) == (status, content_type.startswith("application/openmetrics-text"))
    assert body.endswith("# EOF\n")
    assert "txwatch_build_info" in {family.name for family in parse_openmetrics(body)}  # type: ignore[no-untyped-call]


def test_it_is_not_ready_until_the_loop_says_so_and_tells_why(site: Site) -> None:
    assert (503, "starting\n") == site.ask("/readyz")[::2]
    site.board.status = Status("waiting for broker localhost:9092")
    assert (503, "waiting for broker localhost:9092\n") == site.ask("/readyz")[::2]
    site.board.status = Status(None)
    assert (200, "ready\n") == site.ask("/readyz")[::2]


def test_it_is_healthy_while_the_loop_advances(site: Site) -> None:
    site.now_s = STALLED_AFTER_S - 0.001
    assert 200 == site.ask("/healthz")[0]
    site.now_s = STALLED_AFTER_S
    assert (503, "the loop has stood still for 30 s\n") == site.ask("/healthz")[::2]
    site.board.beat()
    assert 200 == site.ask("/healthz")[0]


def test_it_may_be_healthy_and_not_ready(site: Site) -> None:
    assert (200, 503) == (site.ask("/healthz")[0], site.ask("/readyz")[0])


def test_the_status_shows_each_partition(site: Site) -> None:
    site.board.status = Status(None, (PARTITION,))
    status, content_type, body = site.ask("/status")
    expected: dict[str, Any] = {
        "ready": True,
        "reason": None,
        "throttled": None,
        "watermark": 1_715_392_809_000,
        "open_episodes": {},
        "partitions": [
            {
                "topic": "transactions",
                "partition": 0,
                "position": 7,
                "lag": 3,
                "watermark": 1_715_392_809_000,
                "idle": False,
                "open_keys": 2,
                "blocked_ms": None,
                "waits_for": None,
                "state_keys": None,
            }
        ],
    }
    assert (200, "application/json", expected) == (status, content_type, json.loads(body))


def test_the_status_says_why_it_is_not_ready_and_null_for_no_watermark(site: Site) -> None:
    shown = json.loads(site.ask("/status")[2])
    assert {
        "ready": False, "reason": "starting", "throttled": None, "watermark": None, "open_episodes": {},
        "partitions": [],
    } == shown  # fmt: skip


def test_the_versions_of_its_parts_are_not_shown(site: Site) -> None:
    connection = site.connect()
    connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
    with connection.makefile("rb") as answer:
        assert b"Python" not in answer.read()
    connection.close()


def test_nonsense_is_answered_and_the_next_one_is_served(site: Site) -> None:
    for nonsense in (b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 3):
        with site.connect() as connection:
            connection.sendall(nonsense)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(10_000)
    assert 200 == site.ask("/healthz")[0]


def test_a_client_that_hangs_up_is_no_event(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(10):
        with site.connect() as connection:
            connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    assert 200 == site.ask("/healthz")[0]
    assert ("", "") == capfd.readouterr()


def test_a_taken_port_is_said_at_once(site: Site) -> None:
    with pytest.raises(OSError, match="Address already in use"):
        HttpServer("127.0.0.1", site.server.port, Pages(CollectorRegistry(), site.board))


def test_a_closed_server_frees_its_port() -> None:
    site = Site()
    port = site.server.port
    assert 200 == site.ask("/healthz")[0]
    site.server.close()
    again = HttpServer("127.0.0.1", port, Pages(CollectorRegistry(), site.board))
    again.close()
    with pytest.raises(ConnectionRefusedError):
        site.connect()


def test_one_connection_too_many_cuts_off_the_oldest_and_all_others_are_served() -> None:
    site = Site()
    oldest, *others = [site.connect() for _ in range(MAX_CONNECTIONS)]
    others.append(site.connect())
    assert b"" == oldest.recv(1)
    oldest.close()
    for connection in others:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        with connection.makefile("rb") as answer:
            assert answer.read().startswith(b"HTTP/1.0 200")
        connection.close()
    site.server.close()


@pytest.mark.slow
def test_a_crowd_of_silent_clients_keeps_no_other_out(site: Site) -> None:
    crowd = [site.connect() for _ in range(5 * MAX_CONNECTIONS)]
    began_s = time.monotonic()
    assert 200 == site.ask("/healthz")[0]
    assert time.monotonic() - began_s < REQUEST_TIMEOUT_S / 2
    for connection in crowd:
        connection.close()


def test_a_place_that_is_left_can_be_taken_again(site: Site) -> None:
    for _ in range(3 * MAX_CONNECTIONS):
        with site.connect() as connection:
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            with connection.makefile("rb") as answer:
                assert answer.read().startswith(b"HTTP/1.0 200")


class SlowClients:
    """Two slow clients at the same time, and after how long each of them was cut off."""

    def __init__(self) -> None:
        self.site = Site()
        self.cut_off_s: dict[str, float] = {}
        self._connected = threading.Barrier(3)
        clients = [threading.Thread(target=client) for client in (self._silent, self._dribbling)]
        for client in clients:
            client.start()
        self._connected.wait(30)
        began_s = time.monotonic()
        self.others = self.site.ask("/healthz")[0]
        self.others_waited_s = time.monotonic() - began_s
        for client in clients:
            client.join()
        self.site.server.close()

    def _silent(self) -> None:
        began_s = time.monotonic()
        with self.site.connect() as connection:
            self._connected.wait(30)
            connection.recv(1)
        self.cut_off_s["silent"] = time.monotonic() - began_s

    def _dribbling(self) -> None:
        began_s = time.monotonic()
        with self.site.connect() as connection:
            connection.settimeout(0.5)
            connection.sendall(b"GET /metrics HTTP/1.0\r\n")
            self._connected.wait(30)
            while time.monotonic() - began_s < 3 * CONNECTION_TIMEOUT_S:
                try:
                    connection.sendall(b"X-Slow: yes\r\n")
                    if connection.recv(1) == b"":
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
        self.cut_off_s["dribbling"] = time.monotonic() - began_s


@pytest.fixture(scope="module")
def slow_clients() -> SlowClients:
    """They take ten seconds, once."""
    return SlowClients()


@pytest.mark.slow
def test_a_client_that_says_nothing_is_cut_off(slow_clients: SlowClients) -> None:
    assert REQUEST_TIMEOUT_S - 1 < slow_clients.cut_off_s["silent"] < CONNECTION_TIMEOUT_S - 1


@pytest.mark.slow
def test_a_client_that_dribbles_is_cut_off(slow_clients: SlowClients) -> None:
    assert CONNECTION_TIMEOUT_S - 1 < slow_clients.cut_off_s["dribbling"] < CONNECTION_TIMEOUT_S + 2


@pytest.mark.slow
def test_slow_clients_do_not_hold_up_others(slow_clients: SlowClients) -> None:
    assert 200 == slow_clients.others
    assert slow_clients.others_waited_s < REQUEST_TIMEOUT_S / 2


# ---- addresses ----------------------------------------------------------------------------------------------


def answers_at(host: str, port: int) -> bool:
    """Whether there are pages."""
    connection = http.client.HTTPConnection(host, port, timeout=30)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def has_ipv6() -> bool:
    """Whether this machine has IPv6's own loopback address; in many containers it is switched off."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("host", "by_ipv4", "by_ipv6"),
    [
        ("0.0.0.0", True, False),  # noqa: S104
        ("127.0.0.1", True, False),
        ("localhost", True, False),
        ("::", True, True),
        ("0:0:0:0:0:0:0:0", True, True),
        ("::1", False, True),
    ],
)
def test_it_listens_on_the_given_address_and_nowhere_else(host: str, *, by_ipv4: bool, by_ipv6: bool) -> None:
    if host == "::1" and not has_ipv6():
        with pytest.raises(OSError, match="Errno") as refused:
            Site(host)
        assert "this machine has no such address" in why_not(refused.value)
        return
    site = Site(host)
    try:
        found = answers_at("127.0.0.1", site.server.port), answers_at("::1", site.server.port)
        assert (by_ipv4, by_ipv6 and has_ipv6()) == found
    finally:
        site.server.close()


def test_a_name_of_both_kinds_is_its_first_ipv4_address() -> None:
    def info(family: socket.AddressFamily, host: str) -> Info:
        return family, socket.SOCK_STREAM, 6, "", (host, 80)

    four, other = info(socket.AF_INET, "127.0.0.1"), info(socket.AF_INET, "127.0.0.2")
    six = info(socket.AF_INET6, "::1")
    assert (four, four, six) == (preferred([six, four, other]), preferred([four, other, six]), preferred([six]))


def test_an_address_of_another_machine_is_refused_with_a_hint() -> None:
    with pytest.raises(OSError, match="Errno") as refused:
        Site("2001:db8::1")
    assert "this machine has no such address; 0.0.0.0 means every IPv4 address" in why_not(refused.value)


def test_a_machine_without_ipv6_says_so() -> None:
    error = OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
    assert "this machine has no such address" in why_not(error)


def test_what_is_wrong_with_a_taken_port_is_not_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use") as refused:
        HttpServer("127.0.0.1", taken.getsockname()[1], Pages(CollectorRegistry(), StatusBoard(lambda: 0.0)))
    assert "no such address" not in why_not(refused.value)


@pytest.mark.parametrize(
    ("host", "shown"), [("::1", "[::1]:80"), ("fe80::1%eth0", "[fe80::1%eth0]:80"), ("127.0.0.1", "127.0.0.1:80")]
)
def test_an_ipv6_address_has_brackets_before_its_port(host: str, shown: str) -> None:
    assert shown == authority(host, 80)
