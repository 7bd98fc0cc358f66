"""The interface of decoders: records in, transactions and rejections out, whatever the format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from service.core.model import EventTimeMs, Reason, Transaction
from service.wire.records import InRecord

_NOTHING: Final[Mapping[int, EventTimeMs | None]] = MappingProxyType({})


class Rejection(Exception):  # noqa: N818 - it is a verdict on a record, and the header names it
    """A record is not a transaction: the reason, and why in words."""

    def __init__(self, reason: Reason, why: str) -> None:
        """``why`` is one line for people."""
        super().__init__(f"{reason}: {why}")
        self.reason = reason
        self.why = why


class SchemasPending(Exception):  # noqa: N818 - nothing is wrong with the records
    """The records cannot be decoded before the schema registry has answered. The same call is made again later.

    ``why``: what keeps the registry from answering; None while a first answer is awaited.
    """

    def __init__(self, why: str | None) -> None:
        """``why`` is one line for people."""
        super().__init__(why or "the schema registry has not answered yet")
        self.why = why


class Decoded(NamedTuple):
    """A batch after decoding: each record is in one of the three."""

    transactions: list[Transaction]
    """In the order of the records."""
    rejections: Mapping[int, Rejection]
    """By the record's index in the batch, in ascending order; empty for nearly every batch."""
    filtered: Mapping[int, EventTimeMs | None] = _NOTHING
    """Records that the settings leave out, by index in ascending order, with the event time; None: it has none."""

    def good(self, records: Sequence[InRecord]) -> list[InRecord]:
        """Those of the batch's records that became transactions."""
        return [one for index, one in enumerate(records) if index not in self.rejections and index not in self.filtered]


class Decoder(Protocol):
    """Decodes input records."""

    def decode(self, records: Sequence[InRecord]) -> Decoded:
        """Decode a batch. A bad record is in ``rejections``; it does not affect its neighbours.

        Raises:
            SchemasPending: a schema has been asked for and is not there yet.
        """
