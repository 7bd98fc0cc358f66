"""Records whose answer is lost in an aborted txn, and the records after them."""

import threading

from confluent_kafka import Producer

from service.kafka.sink import TransactionalSink
from service.wire.records import OutRecord
from tests.exactly_once.run import proxied_broker
from tests.inside import initialise
from tests.kafka_helpers import create_topics, read_all
from tests.service_process import wait_until


def test_a_record_is_not_taken_for_one_of_an_aborted_txn_that_the_broker_has_without_the_client_knowing() -> None:
    """With one producer for both txns the last commit is done, and its record is nowhere."""
    with proxied_broker() as (broker, proxy):
        create_topics(broker, "alerts")
        config: dict[str, str | int] = {
            "bootstrap.servers": f"127.0.0.1:{proxy.port}",
            "transactional.id": "one",
            "log_level": 0,
        }

        producers: list[Producer] = []

        def make() -> Producer:
            producers.append(Producer(config))
            return producers[-1]

        def send(value: bytes) -> None:
            sink.send([OutRecord("alerts", b"tx1", value, [])])

        def values(isolation: str) -> list[bytes | None]:
            return [record.value() for record in read_all(broker, "alerts", isolation)]

        sink = TransactionalSink(make, lambda: True, lambda: None)
        initialise(sink)
        send(b"answered")
        assert producers[0].flush(10) == 0
        proxy.deaf = True
        send(b"not answered")
        wait_until(lambda: values("read_uncommitted") == [b"answered", b"not answered"])
        proxy.refuse()
        proxy.deaf = False
        threading.Timer(0.6, proxy.open).start()
        sink.abort()
        if not sink.ready:
            initialise(sink)
        send(b"the next one")
        producers[-1].commit_transaction(10)
        assert values("read_committed") == [b"the next one"]
