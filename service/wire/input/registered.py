"""The decoder of records behind a schema registry: it turns their mapped fields into JSON for the decoder of JSON.

So paths, formats, conditions and exact amounts mean the same whatever the format. Each format says how the JSON is made
of a record, once for each schema.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlsplit

from service.core.model import EventTimeMs, Offset, Reason
from service.wire.decoder import Decoded, Decoder, Rejection
from service.wire.input.framing import SchemaId, split_frame
from service.wire.records import Headers, InRecord

ToJson = Callable[[bytes], bytes]
"""Makes a JSON object of a record's data.

Raises:
    Rejection: the data are not what the schema says.
"""


@dataclass(frozen=True, slots=True)
class SchemaText:
    """A schema as the registry has it."""

    kind: str
    """AVRO, PROTOBUF or JSON."""
    text: str
    references: tuple[tuple[str, str], ...] = ()
    """The names and texts of the schemas that it refers to, each after those that it refers to itself."""


def are_addresses(url: str) -> bool:
    """Whether these are a registry's addresses, joined by commas. The client's own error would show a password."""
    try:
        return all(urlsplit(one.strip()).scheme in {"http", "https"} for one in url.split(","))
    except ValueError:
        return False


class SchemaFault(ValueError):  # noqa: N818
    """A schema cannot be used; the text says why."""


class Schemas(Protocol):
    """What is known of the registry's schemas. No method waits."""

    def find(self, ids: Collection[SchemaId]) -> Mapping[SchemaId, ToJson | Rejection]:
        """How records of these ids become JSON; a Rejection where they cannot.

        Raises:
            SchemasPending: the registry has not answered yet.
        """
        ...


class RegisteredDecoder:
    """Decodes records of any of a registry's schemas."""

    def __init__(self, schemas: Schemas, inner: Decoder, *, indexed: bool = False) -> None:
        """``inner`` decodes the JSON. ``indexed``: the data begin with a message's indexes, as Protobuf's do."""
        self._schemas: Final = schemas
        self._inner: Final = inner
        self._indexed: Final = indexed

    def decode(self, records: Sequence[InRecord]) -> Decoded:
        """Decode a batch of records.

        Raises:
            SchemasPending: the registry has not answered yet; the same call again finds out whether it has.
        """
        rejections: dict[int, Rejection] = {}
        framed: list[tuple[SchemaId | None, bytes | None]] = []
        for index, record in enumerate(records):
            try:
                framed.append(self._frame(record))
            except Rejection as rejection:
                rejections[index] = rejection
                framed.append((None, None))
        known = self._schemas.find({schema for schema, _ in framed if schema is not None})
        taken: list[InRecord] = []
        indexes: list[int] = []
        for index, (schema, data) in enumerate(framed):
            if schema is not None and data is not None:
                try:
                    taken.append(_InJson(records[index], _to_json(known[schema], data)))
                except Rejection as rejection:
                    rejections[index] = _with_id(rejection, schema)
                    continue
            elif index in rejections:
                continue
            else:
                taken.append(records[index])
            indexes.append(index)
        if not taken:
            return Decoded([], rejections)
        transactions, refused, left_out = self._inner.decode(taken)
        if not (rejections or refused or left_out):
            return Decoded(transactions, {})
        rejections |= {indexes[at]: _with_id(one, framed[indexes[at]][0]) for at, one in refused.items()}
        filtered: dict[int, EventTimeMs | None] = {indexes[at]: time_ms for at, time_ms in left_out.items()}
        return Decoded(transactions, dict(sorted(rejections.items())), filtered)

    def _frame(self, record: InRecord) -> tuple[SchemaId | None, bytes | None]:
        value = record.value()
        if value:
            return split_frame(record, value, indexed=self._indexed)
        if value is None:
            return None, None
        raise Rejection(Reason.EMPTY_VALUE, "the record has no value")


def _to_json(to_json: ToJson | Rejection, data: bytes) -> bytes:
    if isinstance(to_json, Rejection):
        raise to_json.with_traceback(None)
    return to_json(data)


def _with_id(rejection: Rejection, schema: SchemaId | None) -> Rejection:
    return rejection if schema is None else Rejection(rejection.reason, f"{rejection.why} (schema id {schema})")


class _InJson:
    """A record with the JSON that was made of its value."""

    __slots__ = ("_json", "_record")

    def __init__(self, record: InRecord, json: bytes) -> None:
        self._record = record
        self._json = json

    def value(self) -> bytes:
        return self._json

    def key(self) -> bytes | None:
        return self._record.key()

    def headers(self) -> Headers | None:
        return self._record.headers()

    def timestamp(self) -> tuple[int, int]:
        return self._record.timestamp()

    def offset(self) -> Offset:
        return self._record.offset()
