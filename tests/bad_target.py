"""An HTTP target on loopback that does to each request what the test asks for, and keeps what came."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Behaviour = Callable[[socket.socket], None]


@dataclass
class Request:
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class BadTarget:
    """Behaves as ``behave`` says, which tests change at any time."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    behave: Callable[[Request], Behaviour] = field(default=lambda _: status(200))

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/hook?x=1"


def status(code: int, *headers: str, body: bytes = b"ok") -> Behaviour:
    """An answer in order."""
    lines = [f"HTTP/1.1 {code} Any", f"Content-Length: {len(body)}", *headers, "", ""]
    return lambda sock: sock.sendall("\r\n".join(lines).encode() + body)


def silence(sock: socket.socket) -> None:
    """No answer."""
    with contextlib.suppress(OSError):
        sock.recv(1)


def closes_at_once(_sock: socket.socket) -> None:
    """The connection ends without an answer."""


def closes_mid_answer(sock: socket.socket) -> None:
    """It ends within the status line."""
    sock.sendall(b"HTTP/1.1 20")


def a_byte_a_while(sock: socket.socket) -> None:
    """Each byte comes in time, and the whole never."""
    for each in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1_000:
        sock.sendall(bytes([each]))
        time.sleep(0.05)


def a_gigabyte(sock: socket.socket) -> None:
    """A body that is far too long."""
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    for _ in range(1_000):
        sock.sendall(b"x" * 1_000_000)


def endless_headers(sock: socket.socket) -> None:
    """Headers without an end."""
    sock.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        sock.sendall(b"X-More: " + b"x" * 1_000 + b"\r\n")


def rubbish(sock: socket.socket) -> None:
    """No HTTP."""
    sock.sendall(b"\x00\xff rubbish\r\n\r\n")


@contextlib.contextmanager
def bad_target(tls: ssl.SSLContext | None = None) -> Iterator[BadTarget]:
    """Runs one."""
    target, listener = BadTarget(), socket.create_server(("127.0.0.1", 0))
    target.port = listener.getsockname()[1]

    def serve(sock: Any) -> None:  # noqa: ANN401
        with contextlib.suppress(OSError), contextlib.closing(sock), contextlib.ExitStack() as closed:
            if tls is not None:
                sock = closed.enter_context(tls.wrap_socket(sock, server_side=True))
            request = _read(sock)
            target.requests.append(request)
            target.behave(request)(sock)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield target
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _read(sock: socket.socket) -> Request:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (piece := sock.recv(65_536)):
            raise ConnectionResetError
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    line, *rest = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in rest)}
    while len(body) < int(headers.get("content-length", "0")):
        body += sock.recv(65_536)
    return Request(line, headers, body)
