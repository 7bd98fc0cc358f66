"""Sends one request, and reads of the answer what is needed: bounded in time and in size."""

from __future__ import annotations

import contextlib
import http.client
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

from service.forward.deadline import Deadline, Resolve, resolve
from service.forward.templates import Body
from service.forward.verdicts import Answer

MOST_BYTES: Final = 65_536
"""So much of an answer's body is read at most: the status alone counts."""
_DRAIN: Final = 4_096
_PORTS: Final = {"http": 80, "https": 443}


class HttpTarget:
    """Where alerts are sent. Each request has a connection of its own, so any thread may send."""

    def __init__(self, url: str, headers: Mapping[str, str], timeout_s: float, resolve: Resolve = resolve) -> None:
        """``timeout_s`` bounds the whole exchange, not each read. ``resolve`` looks up the host's addresses.

        Raises:
            ValueError: the URL cannot be used; the text does not show it.
        """
        self._parts = checked_url(url)
        self._headers = dict(headers)
        self._timeout_s = timeout_s
        self._resolve = resolve
        self._tls = ssl.create_default_context() if self._parts.scheme == "https" else None

    def send(self, body: Body, idempotency_key: str) -> Answer:
        """POST the body; a redirect is an answer like any other. It never raises for what the target does."""
        parts, host = self._parts, self._parts.hostname or ""
        port = parts.port or _PORTS[parts.scheme]
        connection = http.client.HTTPConnection(host, port)
        deadline = Deadline(self._timeout_s)
        try:
            with deadline, contextlib.closing(connection):
                connection.sock = deadline.connect(host, port, self._tls, self._resolve)
                path = f"{parts.path or '/'}?{parts.query}".removesuffix("?")
                connection.request("POST", path, body.data, self._all_headers(body, idempotency_key))
                response = connection.getresponse()
                self._drain(response)
        except (OSError, http.client.HTTPException, ValueError) as error:
            timed_out = deadline.over or isinstance(error, TimeoutError)
            return Answer(None, deadline.text() if timed_out else _why(error))
        return Answer(
            response.status, f"{response.status} {' '.join(response.reason.split())[:100]}".strip(),
            response.getheader("Retry-After"),
        )  # fmt: skip

    def _all_headers(self, body: Body, idempotency_key: str) -> dict[str, str]:
        return {
            "Host": self._parts.netloc,
            "Content-Type": body.content_type,
            # An alert_id of ours is hexadecimal. A foreign one may hold what no header can.
            "Idempotency-Key": quote(idempotency_key, safe="!#$&'()*+,/:;=?@[] ", errors="replace"),
            "User-Agent": "txwatch",
            **self._headers,
            "Connection": "close",
        }

    @staticmethod
    def _drain(response: http.client.HTTPResponse) -> None:
        """Read the body up to the bound. A fault here changes nothing: the status line has come."""
        read = 0
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            while read < MOST_BYTES and (piece := response.read1(_DRAIN)):
                read += len(piece)


def checked_url(url: str) -> SplitResult:
    """The parts of an http or https URL.

    Raises:
        ValueError: it is none; the text does not show it, because it may hold a secret.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")  # refuses what no name in DNS can be
        usable = parts.scheme in _PORTS and bool(host) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("is not a URL http://… or https://…")
    if "@" in parts.netloc:
        raise ValueError("has a user in it: use a header of Authorization")
    return parts


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    if isinstance(error, http.client.RemoteDisconnected | http.client.IncompleteRead):
        return "the target closed the connection"
    return " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())[:200]
