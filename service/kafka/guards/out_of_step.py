"""Guard: client and broker disagree on what a producer has done.

Seen (librdkafka 2.16): after a broker was killed in the middle of a commit, an abort failed with INVALID_TXN_STATE.
After another kill, a lost produce request led to OUT_OF_ORDER_SEQUENCE_NUMBER. librdkafka calls both fatal.
What we do: a new producer of the same transactional.id takes over. The committed offsets show what became of the txn.
It can go when librdkafka recovers from both by itself.
docs/decisions/producer.md, "INVALID_TXN_STATE replaces the producer", and the decision after it.
"""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError

_CODES: Final = frozenset({KafkaError.INVALID_TXN_STATE, KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER})


def is_out_of_step(error: KafkaError) -> bool:
    """Whether only a new producer can go on."""
    return error.code() in _CODES
