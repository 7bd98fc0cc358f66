"""Serves the pages over HTTP, on threads of their own: metrics, health, status, and the live page where it is on."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import json
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from service.observe import page
from service.observe.status import StatusBoard
from service.observe.streams import HEAD, Streams

REQUEST_TIMEOUT_S: Final = 5.0
"""A client that takes longer to send its request is disconnected."""
CONNECTION_TIMEOUT_S: Final = 10.0
"""The limit for the whole exchange. Event streams have limits of their own."""
MAX_CONNECTIONS: Final = 32
"""One more disconnects the oldest, so that slow clients cannot block a health check."""


@dataclass(frozen=True, slots=True)
class Response:
    """A page's answer."""

    status: HTTPStatus
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


STREAMS: Final = {"/events": False, "/live": True}
"""The paths of event streams, and whether a reader gets the state of the service, too."""


class Pages:
    """The pages by path, without the network."""

    def __init__(self, registry: CollectorRegistry, board: StatusBoard, streams: Streams | None = None) -> None:
        """``registry`` and ``board`` are what the pages show. Without ``streams`` the live page is off."""
        self._registry = registry
        self._board = board
        self.streams: Final = streams
        by_path: dict[str, Callable[[str], Response]] = {
            "/metrics": self.metrics,
            "/healthz": self.healthz,
            "/readyz": self.readyz,
            "/status": self.status,
        }
        if streams is None:
            by_path["/"] = self.names
        else:
            by_path |= {path: partial(_file, *of) for path, of in page.FILES.items()}
        self.by_path: Final = by_path

    def names(self, _accept: str) -> Response:
        """What there is, one path a line."""
        about = {
            "/metrics": "for Prometheus",
            "/healthz": "200 while the loop turns",
            "/readyz": "200 while records are read and could be committed",
            "/status": "each partition, as JSON",
        }
        lines = [f"{path:<10}{what}" for path, what in about.items()]
        return _text(HTTPStatus.OK, "\n".join(["txwatch", *lines, "HTTP_PAGE=true shows a live page here."]))

    def metrics(self, accept: str) -> Response:
        """The metrics as Prometheus' text or OpenMetrics, as the Accept header asks for."""
        encode, content_type = choose_encoder(accept)
        return Response(HTTPStatus.OK, content_type, encode(self._registry))

    def healthz(self, _accept: str) -> Response:
        """Liveness: the loop advances, and so does each partition that has records."""
        if not self._board.alive:
            why = f"the loop has stood still for {self._board.silent_s():.0f} s"
            return _text(HTTPStatus.SERVICE_UNAVAILABLE, why)
        stuck = self._board.status.stuck
        return _text(HTTPStatus.OK, "ok") if stuck is None else _text(HTTPStatus.SERVICE_UNAVAILABLE, stuck)

    def readyz(self, _accept: str) -> Response:
        """Readiness: records are read and could be committed."""
        why = self._board.status.not_ready
        return _text(HTTPStatus.OK, "ready") if why is None else _text(HTTPStatus.SERVICE_UNAVAILABLE, why)

    def status(self, _accept: str) -> Response:
        """The service and each assigned partition, as JSON."""
        status = self._board.status
        body = {
            "ready": status.not_ready is None,
            "reason": status.not_ready,
            "throttled": self._board.throttled(),
            "watermark": status.watermark,
            "open_episodes": status.open_episodes,
            "partitions": [asdict(partition) for partition in status.partitions],
        }
        return Response(HTTPStatus.OK, "application/json", json.dumps(body, indent=1).encode() + b"\n")


def _file(name: str, content_type: str, _accept: str) -> Response:
    return Response(HTTPStatus.OK, content_type, page.read(name), page.HEADERS)


def _text(status: HTTPStatus, line: str) -> Response:
    return Response(status, "text/plain; charset=utf-8", line.encode() + b"\n")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, family: socket.AddressFamily, address: tuple[Any, ...], pages: Pages) -> None:
        self.address_family = family
        self.pages: Final = pages
        self._open: dict[socket.socket, None] = {}
        """Open connections, oldest first."""
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        host = str(self.server_address[0])
        if self.address_family == socket.AF_INET6 and ipaddress.ip_address(host).is_unspecified:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # :: takes IPv4, too
        super().server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        with self._lock:
            self._open[request] = None
            if len(self._open) > MAX_CONNECTIONS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                self._cut(oldest)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        # The handler's timeout is for each read: a client that sends a byte now and then would never reach it.
        deadline = threading.Timer(CONNECTION_TIMEOUT_S, self._cut, (request,))
        deadline.daemon = True
        deadline.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            deadline.cancel()
            with self._lock:
                self._open.pop(request, None)

    @staticmethod
    def _cut(request: socket.socket) -> None:
        with contextlib.suppress(OSError):  # already disconnected
            request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Log nothing: a client that disconnects early is not an event."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_TIMEOUT_S
    server_version = "txwatch"
    sys_version = ""

    def do_GET(self) -> None:
        path, pages = self.path.partition("?")[0], self.server.pages
        if pages.streams is not None and path in STREAMS:
            self._stream(pages.streams, whole=STREAMS[path])
        elif (made := pages.by_path.get(path)) is None:
            known = " ".join(pages.by_path)
            self._answer(_text(HTTPStatus.NOT_FOUND, f"no such page; the pages are {known}"))
        else:
            self._answer(made(self.headers.get("Accept", "")))

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        self.close_connection = True  # the body is not read
        self._answer(_text(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are allowed"), Allow="GET, HEAD")

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_POST  # noqa: N815

    def _stream(self, streams: Streams, *, whole: bool) -> None:
        """Hand the connection over: it is none of this server's any more, and none of its limits cuts it."""
        self.close_connection = True
        if self.command == "HEAD":
            self.wfile.write(HEAD)
            return
        connection = socket.socket(fileno=self.connection.detach())
        streams.add(connection, self.headers.get("Last-Event-ID", ""), whole=whole)

    def _answer(self, response: Response, **headers: str) -> None:
        self.send_response(response.status)
        for name, value in {**headers, **response.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401
        """Log nothing: a scrape every few seconds is not an event."""


Info = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]
"""An answer of getaddrinfo(): family, kind, protocol, canonical name, address."""


def preferred(found: Sequence[Info]) -> Info:
    """The first IPv4 address that a name has, or else the first: `localhost` means 127.0.0.1 to most clients."""
    return min(found, key=lambda info: info[0] != socket.AF_INET)


def why_not(error: Exception) -> str:
    """Why the server cannot listen at the address, in words for the operator."""
    if isinstance(error, OSError) and error.errno in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:
        return f"{error}: this machine has no such address; 0.0.0.0 means every IPv4 address"
    return str(error)


def authority(host: str, port: int) -> str:
    """Host and port as a URL has them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class HttpServer:
    """Serves the pages from construction until close()."""

    def __init__(self, host: str, port: int, pages: Pages) -> None:
        """Listen; port 0 means a free port. Of a name with IPv4 and IPv6 addresses, the IPv4 address is used.

        Raises:
            OSError: the address cannot be used.
        """
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = preferred(found)
        self._server = _Server(family, address, pages)
        self._streams = pages.streams
        self.port: Final[int] = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if self._streams is not None:
            self._streams.close()
