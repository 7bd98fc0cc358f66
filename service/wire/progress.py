"""What a committed offset carries along in its metadata."""

from __future__ import annotations

import json

from service.core.model import EventTimeMs


def encode_progress(watermark_ms: EventTimeMs | None) -> str:
    """Write what a committed offset carries along. Kafka allows 4,096 bytes; this is about 40."""
    return json.dumps({"txwatch": 1, "watermark": watermark_ms}, separators=(",", ":"))


def decode_progress(metadata: str | None) -> EventTimeMs | None:
    """Read it back. What another program wrote there is no watermark."""
    try:
        progress = json.loads(metadata or "{}")
    except (ValueError, RecursionError):
        return None
    if not isinstance(progress, dict) or progress.get("txwatch") != 1:
        return None
    watermark_ms = progress.get("watermark")
    return EventTimeMs(watermark_ms) if type(watermark_ms) is int else None
