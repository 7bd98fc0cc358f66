"""An alert as `forward` reads it, for its tests."""

from __future__ import annotations

import json
from typing import Any, Final

from service.forward.templates import Forwarded
from service.wire.alerts import AlertPayload

NOW_MS: Final = 1_800_000_000_000


def alert(**other: Any) -> Forwarded:  # noqa: ANN401
    """One of now, with these fields in place of the usual ones; its amounts are exact."""
    fields = {
        "alert_id": "a1", "detector": "threshold", "transaction_id": "tx<1>", "timestamp": 1, "watermark": 0,
        "count": 1, "late_count": 0, "max_timestamp": 1, "window": {"start": 0, "end": 10_000, "clock": "event"},
        "source": {"topic": "t", "partition": 3, "first_offset": 0, "last_offset": 0}, "detected_at": NOW_MS, **other,
    }  # fmt: skip
    value = json.dumps(fields)[:-1].encode() + b',"amount":9000.10000000000000000001,"limit":8000.0}'
    return Forwarded(AlertPayload.from_json(value), value)
