"""Guard: a topic that is deleted and created again under the same name.

Seen (librdkafka 2.16): where both happen within a second, the client takes the new topic for the old one and goes on
at the old position. With the classic protocol 100 of 400 new records were passed over, or nothing was read again.
What we do: we ask for the topic's id when partitions start, and again in each commit, after the last record was read.
Where the two ids are the same, all records are of one topic; else the consumer joins the group again.
It can go when the client notices a new id by itself, with both group protocols.
docs/decisions/consumer.md, "A commit asks for the topic's id".
"""

from __future__ import annotations

from collections.abc import Callable


class TopicIdentity:
    """Compares the topic that has the input's name with the one whose partitions are fetched."""

    def __init__(self, topic: str, topic_id: Callable[[str], str | None]) -> None:
        """``topic_id`` asks a broker for the id of a topic; it returns None where no broker answers in time."""
        self._topic = topic
        self._topic_id = topic_id
        self._fetched: str | None = None
        """The id of the topic whose partitions are fetched; None while no broker has answered."""

    def ask(self) -> str | None:
        """The id of the topic that has the name now; None where no broker answers in time.

        Raises:
            Retriable: there is no such topic at the moment.
            Fatal: the broker refuses.
        """
        return self._topic_id(self._topic)

    def begin_with(self, topic_id: str | None) -> bool:
        """Compare with this topic from now on: no partition is fetched. Returns whether it is another one."""
        changed = topic_id != self._fetched
        self._fetched = topic_id
        return changed

    def is_fetched(self, topic_id: str | None) -> bool:
        """Whether the fetched partitions belong to this topic. None, where no broker answered, blocks nothing."""
        self._fetched = self._fetched or topic_id
        return topic_id is None or topic_id == self._fetched

    def unchanged(self) -> bool:
        """Whether the fetched partitions belong to the topic that has the name now; raises as ask() does."""
        return self.is_fetched(self.ask())
