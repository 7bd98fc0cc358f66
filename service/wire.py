"""Bytes to core values and back."""

from __future__ import annotations

import msgspec


class _Outgoing(msgspec.Struct):
    transaction_id: str
    timestamp: int
    amount: msgspec.Raw


_encode = msgspec.json.Encoder().encode


def encode_transaction(transaction_id: str, timestamp_ms: int, amount: str) -> bytes:
    """Write one transaction as the input topic's JSON; ``amount`` is the text of a JSON number and goes out as it is."""
    return _encode(_Outgoing(transaction_id, timestamp_ms, msgspec.Raw(amount)))
