"""The record in TOPICS_UNDELIVERED of an alert that its target did not take."""

from __future__ import annotations

from service.forward.lane import Lane
from service.wire.records import Headers, OutRecord, cut_to_fit


def undelivered_record(topic: str, alerts_topic: str, lane: Lane, max_bytes: int) -> OutRecord:
    """Copy the first alert of a lane byte for byte, with added headers (Kafka Connect's names) that say why.

    A record that would be larger than ``max_bytes`` is cut, as dead letters are.
    """
    record, reason = lane.first, lane.reason
    if reason is None:
        raise TypeError("an alert is given up for a reason")
    headers: Headers = [
        ("__connect.errors.topic", alerts_topic.encode()),
        ("__connect.errors.partition", str(lane.partition).encode()),
        ("__connect.errors.offset", str(record.offset).encode()),
        ("__connect.errors.stage", b"TASK_PUT"),
        ("__connect.errors.exception.class.name", b"service.forward.Undelivered"),
        ("__connect.errors.exception.message", lane.answer.encode()),
        ("txwatch.reason", reason.value.encode()),
    ]
    return cut_to_fit(OutRecord(topic, record.key, record.value, record.headers), headers, max_bytes)
