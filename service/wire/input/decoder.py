"""The decoder of a mapping: JSON records of any shape, compiled once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from service.core.model import EventTimeMs, Reason, Transaction
from service.wire.decoder import Decoded, Rejection
from service.wire.input.columns import (
    ID,
    MAPPED_ID,
    TIMES,
    TimestampFormat,
    amounts,
    checked_times,
    ids_of_keys,
    join_ids,
)
from service.wire.input.paths import KEY, TIMESTAMP, MappingError, Path, parse_amount, parse_id, parse_timestamp, shown
from service.wire.input.shape import Getter, Shape, decode_object
from service.wire.input.where import Where, parse_where
from service.wire.records import InRecord
from service.wire.transactions import not_utf8

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

_REFUSED: Final = (Rejection, msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""What reading a batch raises if a record is refused."""


@dataclass(frozen=True, slots=True)
class InputMapping:
    """The settings of the input, as they are written. The defaults are those of txwatch's own records."""

    transaction_id: str = "transaction_id"
    timestamp: str = "timestamp"
    timestamp_format: TimestampFormat = TimestampFormat.EPOCH_MS
    amount: str = "amount"
    amount_format: str = "number"
    where: str = ""
    ignore_tombstones: bool = False


OWN: Final = InputMapping()
"""txwatch's own records, which JsonDecoder decodes."""


@dataclass(frozen=True, slots=True)
class _Field:
    """What a transaction takes from a record: an id, a time or an amount."""

    name: str
    """As a reason names it."""
    wanted: Sequence[tuple[Path, Any]]
    """The paths in the record's value, with the types that are read there."""
    convert: Callable[[list[list[Any]], Sequence[InRecord]], list[Any]]
    """Makes the field's column from those of the paths and from the records.

    Raises:
        Rejection: a value is refused; the text does not name the field.
    """


def _id_field(name: str, paths: Sequence[Path | None]) -> _Field:
    # The fine print of the contract: txwatch's own records have ids of text only.
    leaf = ID if name == OWN.transaction_id else MAPPED_ID

    def convert(columns: list[list[Any]], records: Sequence[InRecord]) -> list[str]:
        each = iter(columns)
        parts = [
            ids_of_keys([record.key() for record in records]) if path is None else list(map(str, next(each)))
            for path in paths
        ]
        return parts[0] if len(parts) == 1 else join_ids(parts)

    return _Field(name, [(path, leaf) for path in paths if path is not None], convert)


def _time_field(mapping: InputMapping) -> _Field:
    path = parse_timestamp(mapping.timestamp)
    if path is None:
        return _Field(TIMESTAMP, [], lambda _, records: checked_times([record.timestamp()[1] for record in records]))
    leaf, to_ms = TIMES[mapping.timestamp_format]
    return _Field(shown(path), [(path, leaf)], lambda columns, _: checked_times(to_ms(columns[0])))


def _amount_field(mapping: InputMapping) -> _Field:
    path = parse_amount(mapping.amount)
    leaf, convert = amounts(mapping.amount_format)
    if path is None:
        return _Field("amount", [], lambda _, records: [1.0] * len(records))
    return _Field(shown(path), [(path, leaf)], lambda columns, _: convert(columns[0]))


class _Fields:
    """Reads some fields of records, column by column."""

    def __init__(self, *fields: _Field) -> None:
        """Compile their paths.

        Raises:
            MappingError: the paths do not fit together.
        """
        self._shape = shape = Shape([one for field in fields for one in field.wanted])
        getters = iter(shape.getters)
        self._fields: list[tuple[_Field, list[Getter]]] = [
            (field, [next(getters) for _ in field.wanted]) for field in fields
        ]

    def read(self, records: Sequence[InRecord]) -> list[list[Any]]:
        """The column of each field.

        Raises:
            Rejection, msgspec.MsgspecError, RecursionError, UnicodeDecodeError: a record is refused.
        """
        values = [record.value() for record in records]
        if None in values:
            raise Rejection(Reason.EMPTY_VALUE, "the record has no value")
        roots = self._shape.read(values)  # type: ignore[arg-type]
        return [field.convert([list(map(get, roots)) for get in getters], records) for field, getters in self._fields]


class MappedJsonDecoder:
    """Decodes JSON objects by a mapping.

    A batch is read column by column, in calls into C. Where that fails, the batch is halved until the bad records are
    alone, so that a few bad records cost little.
    """

    def __init__(self, mapping: InputMapping) -> None:
        """Compile the mapping.

        Raises:
            MappingError: a part of it cannot be parsed, or the paths do not fit together; then ``field`` is the last
                field that does not.
        """
        with _naming("where"):
            clauses = parse_where(mapping.where)
            self._where = Where(clauses) if clauses else None
        self._ignore_tombstones: Final = mapping.ignore_tombstones
        ids = parse_id(mapping.transaction_id)
        id_field = _id_field(mapping.transaction_id, ids)
        self._time = time_field = _time_field(mapping)
        amount_field = _amount_field(mapping)
        with _naming("transaction_id"):
            _Fields(id_field)
        with _naming("timestamp"):
            _Fields(id_field, time_field)
        with _naming("amount"):
            self._all = _Fields(id_field, time_field, amount_field)
        self._time_alone = _Fields(time_field)
        parts = [_id_field(KEY if path is None else shown(path), [path]) for path in ids]
        self._apart = [(one.name, _Fields(one)) for one in (*parts, id_field, time_field, amount_field)]
        self._not_finite = _not_finite(parse_amount(mapping.amount))
        wanted = [*id_field.wanted, *time_field.wanted, *amount_field.wanted]
        self.paths: Final[tuple[Path, ...]] = (*(path for path, _ in wanted), *(one.path for one in clauses))
        """What is read of a record's value."""

    def decode(self, records: Sequence[InRecord]) -> Decoded:
        """Decode a batch of records."""
        filtered: dict[int, EventTimeMs | None] = {}
        indexes: Sequence[int] = range(len(records))
        if self._where is not None or self._ignore_tombstones:
            left_out = self._left_out(records)
            if any(left_out):
                out = [index for index in indexes if left_out[index]]
                filtered = dict(zip(out, self._times_of([records[index] for index in out]), strict=True))
                indexes = [index for index in indexes if not left_out[index]]
                records = [records[index] for index in indexes]
        rejections: dict[int, Rejection] = {}

        def refuse(record: InRecord, at: int) -> list[Transaction]:
            rejections[indexes[at]] = self._diagnose(record)
            return []

        return Decoded(_each(self._transactions, records, refuse) if records else [], rejections, filtered)

    def _transactions(self, records: Sequence[InRecord]) -> list[Transaction]:
        return list(map(Transaction, *self._all.read(records)))

    def _left_out(self, records: Sequence[InRecord]) -> list[bool]:
        """Whether each record is an ignored tombstone, or does not match the conditions."""
        values = [record.value() for record in records]
        if self._where is None:
            return [value is None for value in values]
        matches_one = self._where.matches_one
        there = [b"{}" if value is None else value for value in values]
        matches = _each(self._where.matches, there, lambda value, _: [matches_one(value)])
        return [
            self._ignore_tombstones if value is None else not match
            for value, match in zip(values, matches, strict=True)
        ]

    def _times_of(self, records: Sequence[InRecord]) -> list[EventTimeMs | None]:
        """The event time of each record that is left out; None where it cannot be read."""
        time = self._time
        if not time.wanted:
            return _each(lambda part: time.convert([], part), records, lambda *_: [None])
        return _each(lambda part: self._time_alone.read(part)[0], records, lambda *_: [None])

    def _diagnose(self, record: InRecord) -> Rejection:
        """Find the reason why a record was refused. Slow, and never raises."""
        if (found := self._fault_of_value(record.value())) is not None:
            return found
        for name, fields in self._apart:
            try:
                fields.read([record])
            except _REFUSED as error:
                found = _as_rejection(error)
                return Rejection(found.reason, f"{name}: {found.why}")
        return Rejection(Reason.SCHEMA, "the fields cannot be read together")

    def _fault_of_value(self, value: bytes | None) -> Rejection | None:
        """Why a value is no JSON object; None where it is one."""
        if not value:
            return Rejection(Reason.EMPTY_VALUE, "the record has no value")
        if (broken := not_utf8(value)) is not None:
            return Rejection(Reason.NOT_UTF8, broken)
        try:
            decode_object(value)
        except (msgspec.ValidationError, RecursionError) as error:
            return _as_rejection(error)
        except msgspec.MsgspecError as error:
            if self._not_finite is not None and self._not_finite.search(value):
                return Rejection(Reason.AMOUNT_NOT_FINITE, "amount: not a finite number")
            return Rejection(Reason.NOT_JSON, str(error))
        return None


@contextmanager
def _naming(field: str) -> Iterator[None]:
    try:
        yield
    except MappingError as error:
        error.field = field
        raise


def _as_rejection(error: Exception) -> Rejection:
    if isinstance(error, Rejection):
        return error
    return Rejection(Reason.SCHEMA, "nested too deeply" if isinstance(error, RecursionError) else str(error))


def _each(
    read: Callable[[Sequence[ItemT]], list[ResultT]],
    items: Sequence[ItemT],
    refuse: Callable[[ItemT, int], list[Any]],
    first: int = 0,
) -> list[Any]:
    """Read all items at once. Where that fails, read each half, down to refused items alone, with their indexes."""
    try:
        return read(items)
    except _REFUSED:
        if len(items) == 1:
            return refuse(items[0], first)
    half = len(items) // 2
    return _each(read, items[:half], refuse, first) + _each(read, items[half:], refuse, first + half)


def _not_finite(path: Path | None) -> re.Pattern[bytes] | None:
    """Finds an amount that is NaN or infinite, as some JSON writers write it."""
    names = [step for step in path or () if isinstance(step, str)]
    if not names:
        return None
    name = re.escape(msgspec.json.encode(names[-1]))
    return re.compile(name + rb"\s*:\s*(?:\[\s*)?[-+]?(?:nan|inf|infinity)\b", re.IGNORECASE)
