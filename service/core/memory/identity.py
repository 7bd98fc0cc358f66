"""The ids of alerts: hashes of what an alert is about, so that a repeated alert has the same id."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from service.core.model import Offset, Partition

_encode = msgspec.json.Encoder().encode


def alert_id(  # noqa: PLR0917 - what is hashed, in its order
    topic: str,
    partition: Partition,
    transaction_id: str,
    start_ms: int,
    end_ms: int,
    detector: str,
    first_offset: Offset | None,
) -> str:
    """The id of the alert about one key's window; ``topic``, ``partition`` and ``first_offset`` are the input's."""
    return _hash((topic, partition, transaction_id, start_ms, end_ms, detector, first_offset))


def resolved_id(episode_id: str) -> str:
    """The id of the alert that ends an episode."""
    return _hash((episode_id, "resolved"))


def _hash(about: tuple[Any, ...]) -> str:
    return hashlib.blake2b(_encode(about), digest_size=16).hexdigest()
