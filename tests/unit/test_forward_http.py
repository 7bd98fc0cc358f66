"""What a target can do to a request of `forward`: each ends in time, with an answer or the reason why there is none."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from service.forward.deadline import Deadline, resolve
from service.forward.http_client import HttpTarget
from service.forward.lane import Lane
from service.forward.sender import Sender
from service.forward.templates import Body
from service.forward.verdicts import (
    Answer,
)
from tests.bad_target import (
    BadTarget,
    Behaviour,
    a_byte_a_while,
    a_gigabyte,
    bad_target,
    closes_at_once,
    closes_mid_answer,
    endless_headers,
    rubbish,
    silence,
    status,
)

BODY = Body("application/json", b"{}")


def test_a_request_is_a_post_with_its_headers() -> None:
    with bad_target() as target:
        answer = HttpTarget(target.url, {"Authorization": "Bearer x"}, 5).send(BODY, "id-1")
        (request,) = target.requests
    assert (answer.status, answer.text) == (200, "200 Any")
    assert (request.line, request.body) == ("POST /hook?x=1 HTTP/1.1", b"{}")
    assert (request.headers["idempotency-key"], request.headers["authorization"]) == ("id-1", "Bearer x")


@pytest.mark.parametrize(
    ("behave", "code", "within_s"),
    [
        (silence, None, 1.5), (a_byte_a_while, None, 1.5), (endless_headers, None, 1.5), (closes_at_once, None, 0.5),
        (closes_mid_answer, None, 0.5), (rubbish, None, 0.5), (a_gigabyte, 200, 1.5),
        (status(302, "Location: http://127.0.0.1:1/"), 302, 0.5), (status(503, "Retry-After: 9"), 503, 0.5),
    ],
)  # fmt: skip
def test_whatever_a_target_does_the_request_ends_in_time(behave: Behaviour, code: int | None, within_s: float) -> None:
    with bad_target() as target:
        target.behave = lambda _: behave
        began_s = time.monotonic()
        answer = HttpTarget(target.url, {}, 0.5).send(BODY, "id")
        took_s = time.monotonic() - began_s
        assert len(target.requests) == 1
    assert answer.status == code
    assert answer.text
    assert took_s < within_s
    assert answer.retry_after == ("9" if code == 503 else None)


def test_of_a_gigabyte_little_is_read_however_much_time_there_is() -> None:
    sent: list[int] = []

    def sends(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        for _ in range(1_000):
            sock.sendall(b"x" * 1_000_000)
            sent.append(1_000_000)

    with bad_target() as target:
        target.behave = lambda _: sends
        assert HttpTarget(target.url, {}, 60).send(BODY, "id").status == 200
    assert sum(sent) < 100_000_000


def test_nobody_at_the_address_is_no_answer() -> None:
    with bad_target() as target:
        url = target.url
    assert HttpTarget(url, {}, 1).send(BODY, "id") == Answer(None, "Connection refused")


def test_an_address_of_a_family_that_the_kernel_lacks_is_passed_over() -> None:
    lacking = (255, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("::1", 1, 0, 0))
    with bad_target() as target:
        there = HttpTarget(target.url, {}, 5, lambda host, port: [lacking, *resolve(host, port)])
        assert there.send(BODY, "id").status == 200
    assert HttpTarget(target.url, {}, 5, lambda *_: [lacking]).send(BODY, "id").text.startswith("Address family")


def test_a_small_request_does_not_wait_for_the_acknowledgement_of_another_packet() -> None:
    with bad_target() as target, Deadline(5) as deadline:
        sock = deadline.connect("127.0.0.1", target.port, None, resolve)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        sock.close()


@pytest.mark.parametrize("kind", ["resolve", "Timer"])
def test_no_thread_left_is_no_answer(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def refusing(thread: threading.Thread) -> None:
        if kind in {thread.name, type(thread).__name__}:
            raise RuntimeError("can't start new thread")
        start(thread)

    with bad_target() as target:
        monkeypatch.setattr(threading.Thread, "start", refusing)
        assert HttpTarget(target.url, {}, 5).send(BODY, "id") == Answer(None, "can't start new thread")
        monkeypatch.undo()


@contextlib.contextmanager
def tls_target(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BadTarget]:
    """One with a certificate of this name; its authority is trusted from now on."""
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(tls)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    with bad_target(tls) as target:
        yield target


def secure(target: BadTarget) -> str:
    return target.url.replace("http:", "https:")


def test_a_certificate_of_a_trusted_authority_and_the_right_name_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tls_target("127.0.0.1", tmp_path, monkeypatch) as target:
        assert HttpTarget(secure(target), {}, 5).send(BODY, "id").status == 200
        assert len(target.requests) == 1


@pytest.mark.parametrize(
    ("name", "trusted", "says"),
    [("127.0.0.1", False, "unable to get local issuer certificate"), ("other.example", True, "IP address mismatch")],
)
def test_to_an_unknown_authority_or_a_wrong_name_no_alert_is_sent(
    name: str,
    trusted: bool,  # noqa: FBT001 - a column of the table
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tls_target(name, tmp_path, monkeypatch) as target:
        if not trusted:
            monkeypatch.delenv("SSL_CERT_FILE")
        answer = HttpTarget(secure(target), {}, 5).send(BODY, "id")
        assert target.requests == []
    assert answer.status is None
    assert answer.text.startswith("TLS: ")
    assert says in answer.text


@contextlib.contextmanager
def listening(behave: Behaviour) -> Iterator[int]:
    """A port whose connections are treated so from their first byte on, for what happens before a request."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    threading.Thread(target=treat, args=(sock,), daemon=True).start()

        def treat(sock: socket.socket) -> None:
            with contextlib.suppress(OSError), sock:
                behave(sock)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def no_word(sock: socket.socket) -> None:
    while sock.recv(65_536):
        pass


def a_handshake_a_byte_a_while(sock: socket.socket) -> None:
    for each in b"\x16\x03\x03\x40\x00" + b"x" * 1_000:
        sock.sendall(bytes([each]))
        time.sleep(0.05)


@pytest.mark.parametrize("behave", [no_word, a_handshake_a_byte_a_while])
def test_a_tls_handshake_ends_in_time(behave: Behaviour) -> None:
    with listening(behave) as port:
        began_s = time.monotonic()
        answer = HttpTarget(f"https://127.0.0.1:{port}/", {}, 0.5).send(BODY, "id")
    assert answer == Answer(None, "no end of the TLS handshake within 0.5 s")
    assert time.monotonic() - began_s < 1.5


def test_a_name_server_that_does_not_answer_ends_the_request_in_time() -> None:
    released = threading.Event()

    def never(_host: str, _port: int) -> list[tuple[Any, ...]]:
        released.wait(60)
        return []

    began_s = time.monotonic()
    answer = HttpTarget("http://slow.example/", {}, 0.5, never).send(BODY, "id")
    released.set()
    assert answer == Answer(None, "no address of the host within 0.5 s")
    assert time.monotonic() - began_s < 1.5


def test_an_address_that_is_looked_up_too_late_gets_no_request() -> None:
    with bad_target() as target:

        def late(_host: str, port: int) -> list[tuple[Any, ...]]:
            time.sleep(0.4)
            return resolve("127.0.0.1", port)

        url = f"http://late.example:{target.port}/"
        assert HttpTarget(url, {}, 0.2, late).send(BODY, "id").status is None
        time.sleep(0.5)
        assert target.requests == []


def test_addresses_that_do_not_answer_share_the_time_and_the_next_one_is_tried() -> None:
    with (
        bad_target() as target,
        socket.create_server(("127.0.0.1", 0), backlog=0) as full,
        contextlib.ExitStack() as held,
    ):
        for _ in range(3):  # until the kernel answers no more of them
            sock = held.enter_context(socket.socket())
            sock.settimeout(0)
            sock.connect_ex(full.getsockname())
        hanging, refused = resolve("127.0.0.1", full.getsockname()[1]), resolve("127.0.0.1", 1)
        good = resolve("127.0.0.1", target.port)

        def several(_host: str, _port: int) -> list[tuple[Any, ...]]:
            return [*hanging, *refused, *good]

        assert HttpTarget("http://several.example/", {}, 1.5, several).send(BODY, "id").status == 200
        began_s = time.monotonic()
        answer = HttpTarget("http://several.example/", {}, 0.5, lambda *_: hanging * 3).send(BODY, "id")
    assert answer == Answer(None, "no connection within 0.5 s")
    assert time.monotonic() - began_s < 1.5


@pytest.mark.parametrize(("url", "host"), [("http://h.example:{}/", "h.example:{}"), ("http://[::1]:{}", "[::1]:{}")])
def test_the_target_gets_the_name_of_the_url(url: str, host: str) -> None:
    with bad_target() as target:
        answer = HttpTarget(url.format(target.port), {}, 5, lambda _, port: resolve("127.0.0.1", port)).send(BODY, "id")
        (request,) = target.requests
    assert answer.status == 200
    assert request.headers["host"] == host.format(target.port)


@pytest.mark.parametrize(("alert_id", "sent"), [("0a1b", "0a1b"), ("a\r\nX: b", "a%0D%0AX: b"), ("é\ud800", "%C3%A9?")])
def test_an_alert_id_that_no_header_can_hold_is_quoted(alert_id: str, sent: str) -> None:
    with bad_target() as target:
        assert HttpTarget(target.url, {}, 5).send(BODY, alert_id).status == 200
        (request,) = target.requests
    assert request.headers["idempotency-key"] == sent


class Wrong:
    """A target with a bug."""

    def send(self, body: Body, idempotency_key: str) -> Answer:
        raise RuntimeError(f"a bug {body.data!r} {idempotency_key}")


def test_a_target_that_raises_is_not_waited_for_in_silence() -> None:
    sender = Sender(Wrong())
    sender.send(Lane(0), BODY, "id")
    deadline_s = time.monotonic() + 10
    while sender.bug is None and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert str(sender.bug) == "a bug b'{}' id"


def checked(url: str) -> Callable[[], object]:
    return lambda: HttpTarget(url, {}, 1)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "ftp://x",
        "http://",
        "http://x:0",
        "http://x:99999",
        "http://x/\n",
        "http://x y",
        f"http://{'a' * 64}.example",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match=r"^is not a URL http://… or https://…$"):
        checked(url)()
