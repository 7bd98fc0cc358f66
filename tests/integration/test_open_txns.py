"""Another producer's open txn in the input is seen for what it is; what it leaves behind is committed past."""

from collections.abc import Callable

from confluent_kafka import Producer

from brokerkit.broker import Broker
from brokerkit.client import committed, create_topics
from brokerkit.service_process import Names, transaction
from tests.inside import Inside

NOW_MS = 1_715_392_800_000


def test_an_open_txn_is_shown_and_an_aborted_one_is_committed_past(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, names.alerts, names.aggregates, names.late, names.dead_letter)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "transactional.id": unique("upstream")})
    producer.init_transactions(30)
    record = transaction("tx1", NOW_MS, "1")

    def txn(records: int) -> None:
        producer.begin_transaction()
        for _ in range(records):
            producer.produce(names.transactions, record[1], record[0])
        producer.flush(20)

    inside = Inside(broker, names)

    def shown() -> tuple[int, int | None, bool, bool]:
        for one in inside.board.status.partitions:
            return one.position, one.lag, one.idle, one.waits_for is not None
        return -1, None, False, False

    try:
        txn(3)
        producer.commit_transaction()
        inside.turn_until(lambda: shown() == (4, 0, False, False))
        txn(200)
        inside.turn_until(lambda: shown() == (4, 200, False, True))
        assert (inside.board.status.not_ready, inside.board.status.stuck) == (None, None)
        producer.abort_transaction()
        inside.turn_until(lambda: shown() == (205, 0, False, False))
        inside.turn_until(lambda: [one.offset for one in committed(broker, names.group, names.transactions)] == [205])
    finally:
        inside.close()
