"""The status of the input's consumer. No method waits for Kafka."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import Consumer, KafkaException, TopicPartition

from service.core.model import Offset, Partition
from service.kafka.background import Background


class ConsumerStatus:
    """Implements service.loop.ports.InputStatus beside service.kafka.consumer.GroupConsumer."""

    def __init__(
        self,
        consumer: Consumer,
        topic: str,
        *,
        is_member: Callable[[str], bool],
        partition_count: Callable[[], int | None] = lambda: None,
        is_throttled: Callable[[], bool] = lambda: False,
    ) -> None:
        """Wrap the group's consumer of this topic.

        ``is_member`` asks the group's coordinator about a member id.
        ``partition_count`` returns how many partitions the topic had when it was last looked up.
        ``is_throttled`` returns whether a broker throttles the consumer.
        """
        self._consumer = consumer
        self._topic = topic
        self._membership: Background[str, bool] = Background("membership", is_member)
        self._partition_count = partition_count
        self._is_throttled = is_throttled
        self.joined = False
        """Whether the group has answered since the topic was subscribed; GroupConsumer sets it, too."""

    @property
    def partition_count(self) -> int | None:
        """How many partitions the topic had when its id was last asked for, as each commit does."""
        return self._partition_count()

    @property
    def throttled(self) -> bool:
        """Whether a broker's quota may delay the consumer's requests, by what poll() has heard."""
        return self._is_throttled()

    def ask_membership(self) -> None:
        """Ask the coordinator: the client does not call back a member without partitions (KIP-848).

        A later call takes the answer.

        Raises:
            Fatal: the process cannot start another thread.
        """
        self.joined = self._membership.answer() or self.joined
        member_id = self._consumer.memberid()
        if member_id and not self.joined:
            self._membership.ask(member_id)

    def end_offset(self, partition: Partition) -> Offset | None:
        """Where a fetched partition ended at the last fetch, open txns included; None before its first fetch."""
        try:
            _, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
        except KafkaException:  # the client has cached nothing yet
            return None
        return Offset(high) if high >= 0 else None
