"""The interface of decoders: values in, transactions and rejections out, whatever the format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from service.core.model import Reason, Transaction


class Rejection(Exception):  # noqa: N818 - it is a verdict on a record, and the header names it
    """A record is not a transaction: the reason, and why in words."""

    def __init__(self, reason: Reason, why: str) -> None:
        """``why`` is one line for people."""
        super().__init__(f"{reason}: {why}")
        self.reason = reason
        self.why = why


class Decoded(NamedTuple):
    """A batch after decoding: each value is in one of the two."""

    transactions: list[Transaction]
    """In the order of the values."""
    rejections: Mapping[int, Rejection]
    """By the value's index in the batch, in ascending order; empty for nearly every batch."""


class Decoder(Protocol):
    """Decodes the values of input records."""

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Decode a batch. A bad value is in ``rejections``; it raises nothing and does not affect its neighbours."""
