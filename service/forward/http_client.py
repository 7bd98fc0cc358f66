"""Sends one request and reads what is needed of the answer, within one bound of time and one of size."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

from service.forward.templates import Body
from service.forward.verdicts import Answer

MOST_BYTES: Final = 65_536
"""Of an answer's body are read: enough to end it in order. What is longer is cut off; only the status counts."""
_DRAIN: Final = 4_096


class HttpTarget:
    """Where alerts are sent. Each request has a connection of its own, so any thread may send."""

    def __init__(self, url: str, headers: Mapping[str, str], timeout_s: float) -> None:
        """``timeout_s`` bounds the whole exchange, not each read.

        Raises:
            ValueError: the URL cannot be used; the text does not show it.
        """
        self._parts = checked_url(url)
        self._headers = dict(headers)
        self._timeout_s = timeout_s
        self._tls = ssl.create_default_context() if self._parts.scheme == "https" else None

    def send(self, body: Body, idempotency_key: str) -> Answer:
        """POST the body; a redirect is an answer as any other. It never raises for what the target does."""
        connection = self._connection()
        cut = threading.Timer(self._timeout_s, _cut, (connection,))
        cut.daemon = True
        cut.start()
        try:
            path = self._parts.path or "/"
            query = f"?{self._parts.query}" if self._parts.query else ""
            headers = {"Content-Type": body.content_type, "Idempotency-Key": idempotency_key, "User-Agent": "txwatch"}
            connection.request("POST", f"{path}{query}", body.data, {**headers, **self._headers, "Connection": "close"})
            response = connection.getresponse()
            self._drain(response)
        except (OSError, http.client.HTTPException, ValueError) as error:
            timed_out = not cut.is_alive() or isinstance(error, TimeoutError)
            why = f"no answer within {self._timeout_s:g} s" if timed_out else _why(error)
            return Answer(None, why)
        finally:
            cut.cancel()
            connection.close()
        return Answer(
            response.status, f"{response.status} {' '.join(response.reason.split())[:100]}".strip(),
            response.getheader("Retry-After"),
        )  # fmt: skip

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._tls is None:
            return http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        return http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=self._tls)

    @staticmethod
    def _drain(response: http.client.HTTPResponse) -> None:
        """Read the body to its end, or so much of it. The status line has come, so a fault here changes nothing."""
        read = 0
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            while read < MOST_BYTES and (piece := response.read1(_DRAIN)):
                read += len(piece)


def checked_url(url: str) -> SplitResult:
    """The parts of an http or https URL.

    Raises:
        ValueError: it is none; the text does not show it, for it may hold a secret.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("is not a URL http://… or https://…")
    if "@" in parts.netloc:
        raise ValueError("has a user in it: use a header of Authorization")
    return parts


def _cut(connection: http.client.HTTPConnection) -> None:
    """End the exchange from another thread."""
    sock = connection.sock
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    if isinstance(error, http.client.RemoteDisconnected | http.client.IncompleteRead):
        return "the target closed the connection"
    return " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())[:200]
