"""Input records, output records, and input records that are set aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
from msgspec.structs import replace

from service.core.model import Offset, Partition, Reason

Headers = list[tuple[str, str | bytes | None]]

RECORD_OVERHEAD: Final = 128
"""Of a batch of one record: 61 bytes of batch header, and lengths and deltas."""
HEADER_OVERHEAD: Final = 10
NOTES_BYTES: Final = 128
"""Room for the headers that say what was truncated."""


class InRecord(Protocol):
    """A record of the input: those methods of the client's message that the service calls."""

    def offset(self) -> Offset:
        """Its offset."""
        ...

    def key(self) -> bytes | None:
        """Its key."""
        ...

    def value(self) -> bytes | None:
        """Its value."""
        ...

    def headers(self) -> Headers | None:
        """Its headers.

        Raises:
            SystemError, UnicodeDecodeError: the name of one is not UTF-8.
        """
        ...

    def timestamp(self) -> tuple[int, int]:
        """The client's code for the type of its timestamp, and epoch milliseconds, -1 where it has none."""
        ...


class OutRecord(msgspec.Struct, frozen=True, gc=False):
    """A record to be produced."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None
    partition: int = -1
    """The partition to write to; -1: by the key."""
    timestamp_ms: int = 0
    """Its Kafka timestamp, epoch. 0: the time of writing, so that retention counts from there."""

    @property
    def size(self) -> int:
        """Bytes of key, value and headers, plus an estimate of Kafka's framing."""
        parts = len(self.key or b"") + len(self.value or b"") + RECORD_OVERHEAD
        return parts + sum(
            len(name.encode()) + len(value or b"") + HEADER_OVERHEAD for name, value in self.headers or ()
        )


@dataclass(frozen=True, slots=True)
class Source:
    """The input partition that a task reads."""

    topic: str
    partition: Partition


@dataclass(frozen=True, slots=True)
class Original:
    """An input record as the broker has it."""

    source: Source
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers | None
    timestamp_ms: int | None
    """The Kafka timestamp in epoch milliseconds; None where the record has none."""


def set_aside_record(topic: str, original: Original, reason: Reason, why: str, max_bytes: int) -> OutRecord:
    """Copy a record byte for byte, with added headers (Kafka Connect's names) that say where it was and what is wrong.

    Its Kafka timestamp becomes the header ``txwatch.timestamp``. The added headers come last: when a dead letter is
    replayed and rejected again, the last header of a name is the newest.

    A record that would be too large for the topic loses the end of its value, then of its key; the header
    ``txwatch.truncated_from`` says how many bytes it had. If its own headers are too large, they are dropped, and
    ``txwatch.headers_dropped`` says how many. A record that its topic refuses would stop the partition.
    """
    headers: Headers = [
        ("__connect.errors.topic", original.source.topic.encode()),
        ("__connect.errors.partition", str(original.source.partition).encode()),
        ("__connect.errors.offset", str(original.offset).encode()),
        ("__connect.errors.stage", b"TRANSFORMATION" if reason is Reason.LATE else b"VALUE_CONVERTER"),
        ("__connect.errors.exception.class.name", b"service.wire.Rejection"),
        ("__connect.errors.exception.message", why.encode()),
        ("txwatch.reason", reason.value.encode()),
    ]
    if original.timestamp_ms is not None:
        headers.append(("txwatch.timestamp", str(original.timestamp_ms).encode()))
    return cut_to_fit(OutRecord(topic, original.key, original.value, original.headers), headers, max_bytes)


def cut_to_fit(original: OutRecord, headers: Headers, max_bytes: int) -> OutRecord:
    """Add headers behind a record's own. One that would be larger than ``max_bytes`` is cut: see set_aside_record()."""
    own = original.headers or []
    record = replace(original, headers=[*own, *headers])
    if record.size > max_bytes and own and replace(record, key=None, value=None).size + NOTES_BYTES > max_bytes:
        headers.append(("txwatch.headers_dropped", str(len(own)).encode()))
    else:
        headers = [*own, *headers]
    record = replace(record, headers=headers)
    if record.size > max_bytes and original.value:
        headers.append(("txwatch.truncated_from", str(len(original.value)).encode()))
        record = replace(record, value=original.value[: max(0, len(original.value) - record.size + max_bytes)])
    if record.size > max_bytes and original.key:
        headers.append(("txwatch.key_truncated_from", str(len(original.key)).encode()))
        record = replace(record, key=original.key[: max(0, len(original.key) - record.size + max_bytes)])
    return record


def rekeyed_record(topic: str, transaction_id: str, original: Original) -> OutRecord:
    """The same record with the id as its key. Three added headers, the last ones, say where it was.

    Value, headers and Kafka timestamp are kept. A record without a timestamp gets the time of writing.
    """
    headers: Headers = [
        *(original.headers or []),
        ("txwatch.source.topic", original.source.topic.encode()),
        ("txwatch.source.partition", str(original.source.partition).encode()),
        ("txwatch.source.offset", str(original.offset).encode()),
    ]
    key = transaction_id.encode()
    return OutRecord(topic, key, original.value, headers, timestamp_ms=original.timestamp_ms or 0)
