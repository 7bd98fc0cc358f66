"""Client quotas on a real broker, which the client in Python has no call for: Kafka's AlterClientQuotas request."""

import socket
import struct
from typing import Final

from brokerkit.client import HasBootstrapServers

ALTER_CLIENT_QUOTAS: Final = 49
TIMEOUT_S: Final = 10.0


def set_quota(broker: HasBootstrapServers, client_id: str, **limits: float | None) -> None:
    """Set limits of one client id, as `producer_byte_rate=30_000` (bytes/s); None takes one away.

    Raises:
        RuntimeError: the broker refuses.
    """
    body = _array(_array(_string("client-id") + _string(client_id)) + _array(*map(_limit, limits.items()))) + b"\0"
    header = struct.pack(">hhi", ALTER_CLIENT_QUOTAS, 0, 1) + _string("tests.quotas")
    host, _, port = broker.bootstrap_servers.partition(",")[0].rpartition(":")
    with socket.create_connection((host, int(port)), TIMEOUT_S) as connection, connection.makefile("rb") as answers:
        connection.sendall(struct.pack(">i", len(header + body)) + header + body)
        (length,) = struct.unpack(">i", answers.read(4))
        answer = answers.read(length)
    # Correlation id, throttle time and the number of entries, then the error code of the only entry.
    (code,) = struct.unpack_from(">h", answer, 12)
    if code:
        raise RuntimeError(f"the broker refuses the quota of {client_id}: error {code}")


def _limit(named: tuple[str, float | None]) -> bytes:
    name, value = named
    return _string(name) + struct.pack(">d?", value or 0.0, value is None)


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text.encode())) + text.encode()


def _array(*items: bytes) -> bytes:
    return struct.pack(">i", len(items)) + b"".join(items)
