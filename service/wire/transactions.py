"""Transactions as JSON: decode input records, say what is wrong with a bad one, encode them."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from operator import attrgetter
from typing import Annotated, Final

import msgspec

from service.core.model import MAX_ID_CHARS, OLDEST_TIMESTAMP_MS, Reason, Transaction
from service.wire.amounts import SAFE_DIGITS, exact_amount, has_long_number, short_amounts
from service.wire.decoder import Decoded, Rejection
from service.wire.records import InRecord


class _Incoming(Transaction, gc=False):
    # Only a JSON number: for a Decimal, msgspec would accept a string, too.
    amount: float


class _WithText(Transaction, gc=False):
    # _decode_long() replaces it.
    amount: msgspec.Raw  # type: ignore[assignment]


class _Positive(Transaction, gc=False):
    amount: Annotated[float, msgspec.Meta(gt=0)]


_decode = msgspec.json.Decoder(_Incoming).decode
_decode_with_text = msgspec.json.Decoder(_WithText).decode
_set_amount = vars(Transaction)["amount"].__set__
_decode_positive = msgspec.json.Decoder(_Positive).decode

SAFE_SLACK: Final = 56 + SAFE_DIGITS
"""A record at most this much longer than its id has an amount of at most 15 characters, which a float keeps.

56 is the length of the shortest rest: ``{"transaction_id":"","timestamp":100000000000,"amount":}``.
"""
SHORT: Final = SAFE_SLACK + 1
LONG: Final = 120
"""From this size on, reading amounts as their text is faster than looking for digits in the whole record."""


class _Fields(msgspec.Struct):
    transaction_id: str
    timestamp: int
    amount: msgspec.Raw


_decode_fields = msgspec.json.Decoder(_Fields).decode


_REFUSED: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError)
"""What msgspec raises for a value that it refuses; a TypeError for None."""


class JsonDecoder:
    """Decodes JSON objects with the fields of a Transaction; further fields are ignored."""

    def decode(self, records: Sequence[InRecord]) -> Decoded:
        """Decode a batch of records."""
        return self.decode_values([record.value() for record in records])

    def decode_values(self, values: Sequence[bytes | None]) -> Decoded:
        """Decode the values of records, in one call into C where every value is good and every amount positive."""
        if values and values[0] is not None and len(values[0]) >= LONG and (long := _decode_long(values)) is not None:
            return Decoded(long, {})
        rejections: dict[int, Rejection] = {}
        found: list[Transaction | None]
        try:
            # Greater than zero, which C checks at no cost: a float zero may be all that is left of 1e-999999.
            found = list(map(_decode_positive, values))  # type: ignore[arg-type]
            unusual = False
        except _REFUSED:
            found = _decode_each(values, rejections)
            unusual = bool(rejections) or not all(map(_amount_of, found))
        if unusual or _has_long_number(values):  # type: ignore[arg-type]
            for index, transaction in enumerate(found):
                if transaction is not None and (rejection := _make_exact(values[index], transaction)) is not None:  # type: ignore[arg-type]
                    rejections[index] = rejection
        if rejections:
            found = [one for index, one in enumerate(found) if index not in rejections]
            rejections = dict(sorted(rejections.items()))
        return Decoded(found, rejections)  # type: ignore[arg-type]


def decode(value: bytes | None) -> Transaction:
    """Decode one record.

    Raises:
        Rejection: it is no transaction; ``reason`` and ``why`` say what is wrong with it.
    """
    transactions, rejections, _ = JsonDecoder().decode_values([value])
    if rejections:
        raise rejections[0]
    return transactions[0]


def _decode_long(values: Sequence[bytes | None]) -> list[Transaction] | None:
    """Decode each amount apart, from its text. None where a value is bad, or an amount needs a closer look."""
    try:
        found: list[Transaction] = list(map(_decode_with_text, values))  # type: ignore[arg-type]
    except _REFUSED:
        return None
    if (amounts := short_amounts(map(_amount_of, found))) is None:
        return None
    deque(map(_set_amount, found, amounts), maxlen=0)
    return found


def _decode_each(values: Sequence[bytes | None], rejections: dict[int, Rejection]) -> list[Transaction | None]:
    """Decode each value. A bad value is None in the list, and has its entry in ``rejections``."""
    found: list[Transaction | None] = []
    decoded = map(_decode, values)  # type: ignore[arg-type]
    while len(found) < len(values):
        try:
            found.extend(decoded)  # stops at a bad value, keeps those before it, and continues behind it
        except _REFUSED as error:
            rejections[len(found)] = _diagnose(values[len(found)], error)
            found.append(None)
    return found


def _make_exact(value: bytes, transaction: Transaction) -> Rejection | None:
    """Replace the amount by a Decimal where the text has more digits than a float keeps. Returns why it cannot be."""
    if transaction.amount and not _may_be_long(value, transaction):
        return None
    text = bytes(_decode_fields(value).amount).decode("ascii")
    if transaction.amount and len(text) <= SAFE_DIGITS:
        return None
    try:
        transaction.amount = exact_amount(text)
    except Rejection as rejection:
        return Rejection(rejection.reason, f"amount: {rejection.why}")
    return None


def _may_be_long(value: bytes, transaction: Transaction) -> bool:
    if len(value) - len(transaction.transaction_id) <= SAFE_SLACK:
        return False
    return has_long_number(value)


_amount_of = attrgetter("amount")


def _has_long_number(values: Sequence[bytes]) -> bool:
    """Whether any amount may have more digits than a float keeps.

    Where all records are too short for that, none is searched. Otherwise every second byte of the batch is, in one
    search: 1 ns a byte, against 1,100 ns a record for reading each amount from its text (CPython 3.11, 2026-11).
    """
    if not values or (len(values[0]) <= SHORT and max(map(len, values)) <= SHORT):
        return False
    return has_long_number(b" ".join(values))


def _diagnose(value: bytes | None, error: Exception) -> Rejection:
    """Find the reason for a value that the decoder refused. Slow, and never raises."""
    reason, why = Reason.SCHEMA, str(error)
    if not value:
        reason, why = Reason.EMPTY_VALUE, "the record has no value"
    elif (broken := not_utf8(value)) is not None:
        reason, why = Reason.NOT_UTF8, broken
    elif isinstance(error, RecursionError):
        why = "nested too deeply"
    elif not isinstance(error, msgspec.ValidationError):
        if _NAN.search(value) is None:
            reason = Reason.NOT_JSON
        else:
            reason, why = Reason.AMOUNT_NOT_FINITE, "amount: not a finite number"
    elif why.endswith("`$.amount`") and "out of range" in why:
        reason = Reason.AMOUNT_NOT_FINITE
    elif why.endswith("`$.timestamp`") and f">= {OLDEST_TIMESTAMP_MS}" in why:
        reason, why = Reason.TIMESTAMP_TOO_SMALL, "timestamp: too small for milliseconds, probably seconds"
    return Rejection(reason, why)


def not_utf8(value: bytes) -> str | None:
    """Where and why a value is not UTF-8; None where it is."""
    try:
        value.decode()
    except UnicodeDecodeError as error:
        return f"byte {error.start}: {error.reason}"
    return None


_NAN: Final = re.compile(rb'"amount"\s*:\s*[-+]?(?:nan|inf|infinity)\b', re.IGNORECASE)
"""An amount that is NaN or infinite, as some JSON writers write it."""


_encode = msgspec.json.Encoder().encode


def encode_transaction(transaction_id: str, timestamp_ms: int, amount: str) -> bytes:
    """Encode one transaction as the input topic's JSON. ``amount``, the text of a JSON number, is not changed."""
    return _encode(_Fields(transaction_id, timestamp_ms, msgspec.Raw(amount)))


def decode_rows(transaction_ids: Sequence[str], timestamps_ms: Sequence[int], amounts: Sequence[str]) -> Decoded:
    """What JsonDecoder makes of these rows after encode_transaction(), without the way through JSON where it is plain.

    ``amounts`` are texts of JSON numbers.
    """
    if timestamps_ms and min(timestamps_ms) >= OLDEST_TIMESTAMP_MS and max(map(len, transaction_ids)) <= MAX_ID_CHARS:
        numbers = short_amounts(map(str.encode, amounts))
        if numbers is not None:
            return Decoded(list(map(Transaction, transaction_ids, timestamps_ms, numbers)), {})  # type: ignore[arg-type]
    return JsonDecoder().decode_values(list(map(encode_transaction, transaction_ids, timestamps_ms, amounts)))
