"""The metadata of a committed offset: the watermark, what was read ahead, the instance that committed, its rules."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from service.core.model import ClockName, EventTimeMs, LatePolicy, Offset, Progress, ReadAhead

# Version 1 is only a watermark: no record from the offset on has been emitted or set aside.
# Version 2 adds what was read ahead of the offset. A program that knows only version 1 finds no watermark in it.

_Ms = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Size = Annotated[int, msgspec.Meta(ge=1)]
_Natural = Annotated[int, msgspec.Meta(ge=0)]


class _Plain(msgspec.Struct, omit_defaults=True):
    txwatch: Literal[1]
    watermark: _Ms | None
    by: str = ""
    partitions: _Size | None = None
    rules: str | None = None


class _Ahead(msgspec.Struct, omit_defaults=True):
    txwatch: Literal[2]
    watermark: _Ms | None
    read: _Natural
    read_watermark: _Ms | None
    closed_to: int | None  # the end of a window, which may lie beyond any event time
    clock: ClockName
    size: _Size
    lateness: _Natural
    max_future: _Natural
    late: LatePolicy
    horizons: tuple[tuple[_Natural, _Ms], ...]
    by: str = ""
    partitions: _Size | None = None
    rules: str | None = None


class _Writer(msgspec.Struct):
    txwatch: int
    by: str = ""


_encode = msgspec.json.Encoder().encode
_decode_plain = msgspec.json.Decoder(_Plain).decode
_decode_ahead = msgspec.json.Decoder(_Ahead).decode
_decode_writer = msgspec.json.Decoder(_Writer).decode
MAX_NAME_BYTES: Final = 256
"""In JSON. Longer instance names are omitted."""


def encode_progress(progress: Progress, instance: str = "") -> str:
    """Make the metadata. Kafka allows 4,096 bytes; this is 40, or 220 and the horizons.

    Args:
        progress: what to commit.
        instance: the name of the instance that commits it.
    """
    ahead = progress.ahead
    by = instance if len(_encode(instance)) <= MAX_NAME_BYTES + len('""') else ""
    if ahead is None:
        return _encode(_Plain(1, progress.watermark_ms, by, progress.partitions, progress.rules)).decode()
    carried = _Ahead(
        2,
        progress.watermark_ms,
        ahead.read,
        ahead.watermark_ms,
        ahead.closed_to_ms,
        ahead.clock,
        ahead.window_size_ms,
        ahead.lateness_ms,
        ahead.max_future_ms,
        ahead.late_policy,
        ahead.horizons,
        by,
        progress.partitions,
        progress.rules,
    )
    return _encode(carried).decode()


def decode_progress(offset: Offset, metadata: str | None) -> Progress:
    """Parse the metadata of a committed offset. Another program's metadata gives no watermark."""
    text = metadata or ""
    try:
        carried = _decode_ahead(text)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return _plain(offset, text)
    ahead = ReadAhead(
        Offset(carried.read),
        _event_time(carried.read_watermark),
        carried.closed_to,
        carried.clock,
        carried.size,
        carried.lateness,
        carried.max_future,
        carried.late,
        tuple((Offset(first), horizon_ms) for first, horizon_ms in carried.horizons),
    )
    return Progress(offset, _event_time(carried.watermark), ahead, carried.partitions, carried.rules)


def writer_of(metadata: str) -> str:
    """The name of the instance that committed this metadata; empty where it is not there."""
    try:
        return _decode_writer(metadata).by
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return ""


def _plain(offset: Offset, text: str) -> Progress:
    try:
        carried = _decode_plain(text)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return Progress(offset, None)
    return Progress(offset, _event_time(carried.watermark), None, carried.partitions, carried.rules)


def _event_time(ms: int | None) -> EventTimeMs | None:
    return None if ms is None else EventTimeMs(ms)
