"""A commit that fails at its last step: outputs and offsets are both as if it had never been tried."""

from collections.abc import Callable
from typing import Any

from confluent_kafka import TopicPartition

from brokerkit.broker import Broker
from brokerkit.client import committed, create_topics, produce, read_all
from brokerkit.service_process import Names, transaction
from histories.oracle import audit
from service.kafka.guards.hanging_calls import CALL_TIMEOUT_S
from service.kafka.producer import TxnProducer
from service.loop.errors import Abortable
from tests.inside import Inside

NOW_MS = 1_715_392_800_000


class FailsAtFirst(TxnProducer):
    """Does everything of its first commits but the last step."""

    failures = 2

    def commit(self, offsets: list[TopicPartition], group_metadata: Any) -> None:  # noqa: ANN401 - opaque in the client
        """Leave outputs and offsets in the open txn, and fail."""
        if not self.failures:
            super().commit(offsets, group_metadata)
            return
        self.failures -= 1
        self.begin()
        self._producer.flush(10)
        self._producer.send_offsets_to_transaction(offsets, group_metadata, CALL_TIMEOUT_S * 10)
        raise Abortable("planned")


def test_a_commit_that_fails_at_its_last_step_changes_nothing_and_is_made_up_for(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, names.alerts, names.aggregates, names.late, names.dead_letter)
    inside = Inside(broker, names, FailsAtFirst)
    produce(broker, names.transactions, [*[transaction("tx1", NOW_MS, "4000.01")] * 2, ("tx1", "rubbish")])
    try:
        inside.turn_until(lambda: inside.producer.failures == 0)  # type: ignore[attr-defined]
        assert [position.offset for position in committed(broker, names.group, names.transactions)] == [-1001]
        for topic in (names.alerts, names.aggregates, names.dead_letter):
            assert read_all(broker, topic) == []
        inside.turn_until(lambda: committed(broker, names.group, names.transactions)[0].offset == 3)
    finally:
        inside.close()
    account = audit(broker, names)
    assert account.faults == []
    assert [str(a["amount"]) for a in account.alerts] == ["8000.02"]
    assert account.reasons == {"not_json": 1}
