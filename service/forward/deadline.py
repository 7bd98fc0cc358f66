"""Bounds a whole exchange with a target: the look-up of its name, the connection, TLS, and the answer."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Self

Resolve = Callable[[str, int], list[tuple[Any, ...]]]
"""Gives the addresses of a host and port, as socket.getaddrinfo does; it may take any time."""


def resolve(host: str, port: int) -> list[tuple[Any, ...]]:
    """Ask the system for the addresses of a host.

    Raises:
        OSError: there is no such host, or no server that knows.
    """
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


class Deadline:
    """Ends an exchange after its time. A socket's own timeout is only for one read, so a slow sender could go on."""

    def __init__(self, timeout_s: float) -> None:
        """The time begins with the block."""
        self._timeout_s = timeout_s
        self._ends_s = 0.0
        self._sock: socket.socket | None = None
        self._timer = threading.Timer(timeout_s, self._cut)
        self._timer.daemon = True
        self.over = False
        """Whether the time is over."""
        self.missing = ""
        """What the exchange waits for."""

    def __enter__(self) -> Self:
        """Begin.

        Raises:
            OSError: the process cannot start a thread.
        """
        self._ends_s = time.monotonic() + self._timeout_s
        _start(self._timer)
        return self

    def __exit__(self, *_: object) -> None:
        """Cut nothing any more."""
        self._timer.cancel()

    def text(self) -> str:
        """What did not come in time."""
        return f"no {self.missing} within {self._timeout_s:g} s"

    def connect(self, host: str, port: int, tls: ssl.SSLContext | None, resolve: Resolve) -> socket.socket:
        """Open a connection to the first address that takes one; those that are left share the time that is left.

        Raises:
            TimeoutError: the time is over.
            OSError: there is no address, no address takes a connection, TLS fails, or no thread can start.
        """
        self.missing = "address of the host"
        addresses = self._addresses(host, port, resolve)
        problem: OSError = OSError("the host has no address")
        for number, (family, kind, protocol, _, address) in enumerate(addresses):
            self.missing = "connection"
            try:
                sock = self._connected(family, kind, protocol, address, len(addresses) - number)
            except OSError as error:
                problem = error
            else:
                return self._secured(sock, host, tls)
        raise problem

    def _connected(self, family: int, kind: int, protocol: int, address: Any, left: int) -> socket.socket:  # noqa: ANN401
        """Connect to one address, the first of ``left``. A kernel without IPv6 makes no socket for one of IPv6."""
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(self._left_s() / left)
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as HTTPConnection.connect() has it
        except OSError:
            sock.close()
            raise
        return sock

    def _addresses(self, host: str, port: int, resolve: Resolve) -> list[tuple[Any, ...]]:
        """Look the host up on a thread of its own: nothing can interrupt getaddrinfo()."""
        answers: SimpleQueue[list[tuple[Any, ...]] | Exception] = SimpleQueue()

        def look_up() -> None:
            try:
                answers.put(resolve(host, port))
            except (OSError, UnicodeError) as error:  # UnicodeError: no name in DNS can be like this
                answers.put(error)

        _start(threading.Thread(target=look_up, name="resolve", daemon=True))
        try:
            answer = answers.get(timeout=self._left_s())
        except Empty:
            raise TimeoutError from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _secured(self, sock: socket.socket, host: str, tls: ssl.SSLContext | None) -> socket.socket:
        if tls is not None:
            self.missing = "end of the TLS handshake"
            sock = tls.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        self._sock = sock
        try:
            sock.settimeout(self._left_s())  # the timer may have come just before it could cut this socket
            if isinstance(sock, ssl.SSLSocket):
                sock.do_handshake()
        except OSError:
            sock.close()
            raise
        self.missing = "answer"
        return sock

    def _left_s(self) -> float:
        left_s = self._ends_s - time.monotonic()
        if self.over or left_s <= 0:
            raise TimeoutError
        return left_s

    def _cut(self) -> None:
        """End the exchange, from the timer's thread."""
        self.over = True
        if (sock := self._sock) is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # SSLSocket's own breaks a read on another thread


def _start(thread: threading.Thread) -> None:
    """Start it. No thread is a fault of this process; the request has failed like any other, and is sent again."""
    try:
        thread.start()
    except RuntimeError as error:
        raise OSError(str(error)) from None
