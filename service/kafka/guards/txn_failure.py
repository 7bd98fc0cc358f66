"""Guard: calls of a txn that fail without their cause.

Seen (librdkafka 2.16): produce() says only that the producer is fatal or in the wrong state (_FATAL, _STATE), and a
commit says only that records have failed (_INCONSISTENT).
What we do: begin_transaction() names the cause of the first kind, and the delivery report of the first failed record
names the cause of the second.
It can go when these calls carry the cause themselves.
docs/decisions/producer.md, "We ask why a txn failed, and report failed deliveries".
"""

from __future__ import annotations

from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from service.kafka.classify import kafka_error

_NO_CAUSE: Final = frozenset({KafkaError._FATAL, KafkaError._STATE})  # noqa: SLF001
_PURGED: Final = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})  # noqa: SLF001


def with_reports(config: dict[str, Any], undelivered: list[KafkaError]) -> dict[str, Any]:
    """The config of a producer that appends to ``undelivered`` why a record failed.

    A delivered record costs no call. Keep only the first failure; the rest are purges.
    """

    def report(error: KafkaError, _message: Message) -> None:
        if not undelivered and error.code() not in _PURGED:
            undelivered.append(error)

    return {**config, "delivery.report.only.error": True, "on_delivery": report}


def cause_of(error: KafkaError, producer: Producer, undelivered: list[KafkaError]) -> KafkaError:
    """The error that names the cause of ``error``; ``error`` itself where nothing names it."""
    if error.code() in _NO_CAUSE:
        try:
            producer.begin_transaction()
        except KafkaException as exception:
            cause = kafka_error(exception)
            if cause.fatal() or cause.txn_requires_abort():  # else it is about this very call
                return cause
    if error.code() == KafkaError._INCONSISTENT and undelivered:  # noqa: SLF001
        return undelivered[0]
    return error
