"""Server-sent events, on one thread for all readers. A reader that is slow or hangs delays no other one.

The loop knows nothing of readers: this thread looks at what the loop has assigned. A reader has its place in the ring
of recent alerts and at most one batch that its socket has not taken yet.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Final

from service.observe.live import CommittedAlert, Live
from service.observe.page_data import PageData

MOST_READERS: Final = 16
"""One more disconnects the oldest."""
TICK_S: Final = 0.1
"""The time between looks for new alerts."""
STATUS_S: Final = 1.0
"""The time between two states of the service, unless the loop posts one sooner."""
KEEP_ALIVE_S: Final = 15.0
"""After this time without an event there is a comment, so that proxies keep the connection."""
STUCK_S: Final = 20.0
"""A reader that takes nothing for this time is disconnected."""
SEND_BUFFER: Final = 256 * 1024

HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-store\r\n"
    b"X-Content-Type-Options: nosniff\r\nX-Accel-Buffering: no\r\nConnection: close\r\n\r\n"
)
RETRY: Final = b"retry: 1000\n\n"


@dataclass(slots=True, eq=False)
class _Reader:
    socket: socket.socket
    whole: bool
    """Whether it gets the state of the service, too, and not only alerts."""
    seen: int
    """How many alerts it has got, or missed."""
    moved_s: float
    """When its socket last took something, or had nothing to take."""
    waiting: bytearray = field(default_factory=bytearray)
    """What the socket has not taken."""


class Streams:
    """Sends events from construction until close()."""

    def __init__(self, live: Live, data: PageData) -> None:
        """``data`` is what a page is sent beside the alerts of ``live``."""
        self._live = live
        self._data = data
        self._readers: list[_Reader] = []
        """Oldest first."""
        self._new: list[tuple[socket.socket, bool, str]] = []
        """Put here by other threads; appending to a list and replacing it are atomic."""
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._wake.settimeout(0.0)
        self._woken.settimeout(0.0)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._closing = False
        self._status_s, self._posted = 0.0, data.posted
        self._about = live.about
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    def add(self, connection: socket.socket, last_id: str, *, whole: bool) -> None:
        """Send events to this connection from now on; ``last_id`` is the alert that the reader got last, or empty."""
        self._new.append((connection, whole, last_id))
        self._rouse()

    def close(self) -> None:
        """Disconnect all."""
        self._closing = True
        self._rouse()
        self._thread.join()

    def _rouse(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it has been woken and has not looked yet
            self._wake.send(b"!")

    # ---- on the thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing:
            for key, mask in self._selector.select(TICK_S if self._readers else STATUS_S):
                if key.data is None:
                    self._woken.recv(4_096)
                elif mask & selectors.EVENT_READ:
                    self._hear(key.data)
                else:
                    self._flush(key.data, time.monotonic())
            self._look(time.monotonic())
        for reader in self._readers:
            reader.socket.close()
        for connection, _, _ in self._new:
            connection.close()
        self._selector.close()
        self._wake.close()
        self._woken.close()

    def _look(self, now_s: float) -> None:
        new, self._new = self._new, []
        waited_s, posted = now_s - self._status_s, self._data.posted
        status_is_due = waited_s >= (STATUS_S + TICK_S if posted is self._posted else 2 * TICK_S)
        if status_is_due or new:
            self._data.sample()
        for connection, whole, last_id in new:
            self._greet(connection, last_id, now_s, whole=whole)
        status = b""
        if status_is_due:
            self._status_s, self._posted = now_s, posted
            if any(reader.whole for reader in self._readers):
                status = _event("status", self._data.status())
        if (about := self._live.about) is not self._about:
            self._about, status = about, _event("about", self._data.about()) + status
        for reader in tuple(self._readers):
            self._serve(reader, status, now_s)

    def _greet(self, connection: socket.socket, last_id: str, now_s: float, *, whole: bool) -> None:
        while len(self._readers) >= MOST_READERS:
            self._drop(self._readers[0])
        reader = _Reader(connection, whole, self._live.alerts.number_of(last_id), now_s)
        try:
            connection.settimeout(0.0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            self._selector.register(connection, selectors.EVENT_READ, reader)
        except OSError:  # it has been disconnected meanwhile
            connection.close()
            return
        self._readers.append(reader)
        reader.waiting += HEAD + RETRY
        if whole:
            reader.waiting += _event("hello", self._data.hello()) + self._alerts(reader)
            reader.waiting += _event("status", self._data.status())
        self._flush(reader, now_s)

    def _serve(self, reader: _Reader, status: bytes, now_s: float) -> None:
        """Send a reader what is new, unless it has not taken what was new before."""
        if reader.waiting:
            if now_s - reader.moved_s >= STUCK_S:
                self._drop(reader)
            return
        reader.waiting += self._alerts(reader)
        if reader.whole:
            reader.waiting += status
        if not reader.waiting and now_s - reader.moved_s >= KEEP_ALIVE_S:
            reader.waiting += b":\n\n"
        if reader.waiting:
            self._flush(reader, now_s)

    def _alerts(self, reader: _Reader) -> bytes:
        recent = self._live.alerts
        if recent.total == reader.seen:
            return b""
        missed, alerts = recent.after(reader.seen)
        reader.seen = recent.total
        left_out = f": {missed} alerts are left out\n\n".encode() if missed else b""
        return left_out + b"".join(_alert(one, named=reader.whole) for one in alerts)

    def _flush(self, reader: _Reader, now_s: float) -> None:
        try:
            sent = reader.socket.send(reader.waiting)
        except BlockingIOError:
            sent = 0
        except OSError:  # it is gone
            self._drop(reader)
            return
        if sent:
            reader.moved_s = now_s
            del reader.waiting[:sent]
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if reader.waiting else 0)
        if self._selector.get_key(reader.socket).events != wanted:
            self._selector.modify(reader.socket, wanted, reader)

    def _hear(self, reader: _Reader) -> None:
        """Read what a reader says after its request, which means nothing; an end is one."""
        try:
            if reader.socket.recv(4_096):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._drop(reader)

    def _drop(self, reader: _Reader) -> None:
        self._readers.remove(reader)
        self._selector.unregister(reader.socket)
        reader.socket.close()


def _event(name: str, data: bytes) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def _alert(alert: CommittedAlert, *, named: bool) -> bytes:
    name = b"event: alert\n" if named else b""
    return name + b"id: " + alert.alert_id.encode() + b"\ndata: " + alert.value + b"\n\n"
