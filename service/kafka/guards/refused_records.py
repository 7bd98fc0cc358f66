"""Guard: a topic that refuses records, or is missing, at every attempt.

Seen (Kafka 4.2.1): a dead-letter topic refused a record for its size, its missing key or its timestamp. The record may
not be lost, and attempts without end would look healthy from outside.
What we do: a broker may not know a topic, or its new settings, for a moment; so the third refusal in a row without a
commit is fatal. The next start learns the topics' limits again, and creates missing topics.
It stays: only an operator or the next start can change the topic.
docs/decisions/producer.md, "A topic's refusal ends the service after three attempts".
"""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError

from service.loop.errors import Fatal, KafkaProblem

LIMIT: Final = 3
"""Refusals in a row without a commit."""
MISSING: Final = "a topic is missing, and the next start may create it"
_UNFIT: Final = "a topic never accepts these records: check the topic's settings, then start again"
_REFUSALS: Final = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: MISSING,
    KafkaError._UNKNOWN_TOPIC: MISSING,  # noqa: SLF001
    **dict.fromkeys(
        (
            KafkaError.MSG_SIZE_TOO_LARGE,
            KafkaError.RECORD_LIST_TOO_LARGE,
            KafkaError.INVALID_RECORD,
            KafkaError.INVALID_TIMESTAMP,
            KafkaError.POLICY_VIOLATION,
            KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT,
        ),
        _UNFIT,
    ),
}


class Refusals:
    """Counts the refusals since the last commit."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def committed(self) -> None:
        """Note a commit: the next refusal is the first one again."""
        self._in_a_row = 0

    def judge(self, problem: KafkaProblem, code: int) -> KafkaProblem:
        """The same problem, or a fatal one at the last refusal. ``code`` is Kafka's number of the error."""
        if code not in _REFUSALS:
            return problem
        self._in_a_row += 1
        return Fatal(f"{problem}; {_REFUSALS[code]}", code) if self._in_a_row >= LIMIT else problem
