"""The launcher of the real broker, which everything else here stands on."""

from collections.abc import Callable

from tests.broker import Broker
from tests.kafka_helpers import Rec, create_topics, produce, read_all


def test_what_is_written_is_read_back(broker: Broker, unique: Callable[[str], str]) -> None:
    topic = unique("topic")
    create_topics(broker, topic, partitions=2)

    produce(broker, topic, [Rec("a", "1", partition=0), ("b", "2", [("h", b"x")], 1)])

    read = [(m.key(), m.value(), m.headers(), m.partition(), m.offset()) for m in read_all(broker, topic)]
    assert read == [(b"a", b"1", None, 0, 0), (b"b", b"2", [("h", b"x")], 1, 0)]
