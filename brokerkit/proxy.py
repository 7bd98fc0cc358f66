"""A TCP proxy between a client and a broker, for what networks do: silence, delay, cut connections."""

import contextlib
import socket
import threading
import time
from typing import Final, Self

ADDRESS: Final = "127.0.0.1"
CHUNK: Final = 65_536
LOOK_EVERY_S: Final = 0.02


class Proxy:
    """Forwards connections to `target_port` on this machine.

    While `silent`, connections are accepted and stay open, and not a byte passes (as when a firewall drops packets);
    what was sent meanwhile arrives afterwards, as TCP has it. `delay_s` holds back each chunk in each direction.
    While `deaf`, what the broker says is lost. What is `changed` in what it says: these bytes become those, as many.
    """

    def __init__(self, port: int, target_port: int) -> None:
        """Listens nowhere yet."""
        self.port: Final = port
        self.silent = False
        self.deaf = False
        self.delay_s = 0.0
        self.changed: dict[bytes, bytes] = {}
        self._target = target_port
        self._listener: socket.socket | None = None
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()

    def open(self) -> Self:
        """Listens, and forwards what comes."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, self.port))
        listener.listen()
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return self

    def refuse(self) -> None:
        """Stops listening and cuts every connection. New ones are refused until open()."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # or accept() would go on
            self._listener.close()
            self._listener = None
        self.cut()

    def cut(self) -> None:
        """Ends every open connection; bytes on their way are lost."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # closed
                return
            try:
                server = socket.create_connection((ADDRESS, self._target), 5)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._pairs.add((client, server))
            threading.Thread(target=self._pump, args=(client, server), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client), kwargs={"back": True}, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, *, back: bool = False) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(CHUNK):
                time.sleep(self.delay_s)
                while self.silent:
                    time.sleep(LOOK_EVERY_S)
                if back and self.deaf:
                    continue
                for this, that in self.changed.items() if back else ():
                    chunk = chunk.replace(this, that)
                sink.sendall(chunk)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.silent = False
        self.refuse()
