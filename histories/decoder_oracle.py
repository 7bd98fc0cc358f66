"""What the decoder must make of some bytes: the transaction that Python's own JSON reader finds, or a rejection."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Final

from service.core.model import Reason, Transaction
from service.wire.decoder import Rejection
from service.wire.transactions import decode

TINY: Final = Fraction(1, 10**290)
"""An amount nearer to zero than this may become zero."""


def exactly(amount: float | Decimal) -> Fraction:
    """What an amount stands for: a float for its shortest decimal."""
    return Fraction(repr(amount)) if isinstance(amount, float) else Fraction(amount)


def outcome(value: bytes | None) -> Transaction | Rejection:
    """Decode one value. Anything else that is raised, and a reason that is not the decoder's, is a fault."""
    try:
        return decode(value)
    except Rejection as caught:
        rejection = caught
    assert rejection.reason in set(Reason) - {Reason.LATE, Reason.TIMESTAMP_IN_FUTURE}
    assert rejection.why.encode()
    return rejection


def agrees(transaction: Transaction, value: bytes) -> None:
    """Compare a transaction with what Python's own reader finds in the same bytes.

    Raises:
        AssertionError: they differ.
    """
    # An ignored field may hold bytes that are no UTF-8.
    expected = json.loads(value.decode(errors="replace"), parse_float=_number, parse_int=_number)
    assert expected["transaction_id"] == transaction.transaction_id
    assert expected["timestamp"] == transaction.timestamp
    written = Fraction(expected["amount"])
    assert written == exactly(transaction.amount) or abs(written) < TINY


def _number(text: str) -> Decimal | str:
    """A number, or its text where its exponent is beyond even a Decimal, as it may be in an ignored field."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return text
