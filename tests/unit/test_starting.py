"""Which starts at the earliest record are reported, and why: by what the broker says of offsets and ends.

What a real broker says in each case is in tests/integration/test_offset_resets.py.
"""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from service.core.model import Offset, Partition, ResetReason
from service.kafka.start_lookup import Asked, Edges, StartLookup
from service.loop.ports import StartPoint

NONE = -1001
"""The client's OFFSET_INVALID: nothing is committed."""


class Consumer:
    """As much of the client as a start needs: by partition, what is committed and where it begins and ends."""

    def __init__(self, committed: dict[int, int], edges: dict[int, tuple[int, int]]) -> None:
        self.offsets, self.edges = committed, edges
        self.silent = False
        """Whether it answers no question about the topic as a whole."""

    def committed(self, asked: list[TopicPartition], _timeout_s: float) -> list[TopicPartition]:
        return [TopicPartition(one.topic, one.partition, self.offsets.get(one.partition, NONE)) for one in asked]

    def list_topics(self, topic: str, _timeout_s: float) -> Any:  # noqa: ANN401
        if self.silent:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions=dict.fromkeys(self.edges))})

    def incremental_assign(self, _partitions: list[TopicPartition]) -> None:
        """Nothing is fetched."""

    def seek(self, _partition: TopicPartition) -> None:
        """Nothing is fetched."""


class Driven:
    """A Starting on such a consumer."""

    def __init__(self, committed: dict[int, int], edges: dict[int, tuple[int, int]]) -> None:
        self.consumer = Consumer(committed, edges)
        self.topic_id = "first"
        self.starting = StartLookup(
            self.consumer,  # type: ignore[arg-type]
            self.consumer,  # type: ignore[arg-type]
            "transactions",
            topic_id=lambda _: self.topic_id,
            edges=lambda _, asked: {one: Edges(*map(Offset, self.consumer.edges[one])) for one in asked},
            end_txns=lambda _, _partitions: [],
        )

    def starts(self, *partitions: int, fetched: Collection[int] = ()) -> list[StartPoint]:
        """Look these up and start them, as the consumer does."""
        found = self.starting.look_up(Asked({Partition(p): 0 for p in partitions}, frozenset()))
        if not fetched:
            self.starting.begin_with(found.topic_id)
        return self.starting.start(found.starts, list(map(Partition, fetched)), known_group=found.known_group)

    def start(self, *partitions: int, fetched: Collection[int] = ()) -> dict[int, tuple[int, str | None]]:
        """The same: for each partition, where it starts, and the reason that is reported."""
        return {
            one.partition: (one.progress.offset, one.reset and one.reset.value)
            for one in self.starts(*partitions, fetched=fetched)
        }


@pytest.mark.parametrize(
    ("committed", "edges", "expected"),
    [
        (7, (0, 10), (7, None)),
        (10, (0, 10), (10, None)),
        (5, (5, 10), (5, None)),
        (0, (0, 10), (0, None)),
        (11, (0, 10), (0, "beyond_end")),
        (11, (3, 10), (3, "beyond_end")),
        (50, (0, 0), (0, "beyond_end")),
        (4, (5, 10), (5, "expired")),
        (0, (10, 10), (10, "expired")),
        (NONE, (0, 10), (0, "no_offset")),
        (NONE, (3, 4), (3, "no_offset")),
        (NONE, (0, 0), (0, None)),
        (NONE, (8, 8), (8, None)),
    ],
)
def test_a_start_at_the_earliest_record_has_its_reason(
    committed: int, edges: tuple[int, int], expected: tuple[int, str | None]
) -> None:
    assert {0: expected} == Driven({0: committed}, {0: edges}).start(0)


def test_what_was_committed_is_passed_on_and_none_where_nothing_was() -> None:
    driven = Driven({0: 11}, {0: (0, 10), 1: (0, 10)})
    assert [Offset(11), None] == [start.committed for start in driven.starts(0, 1)]


def test_states_are_read_back_after_the_offsets_were_given_for_partitions_without_memory_only() -> None:
    """A commit between the two would else be in the offsets and not in the states."""
    driven, asked = Driven({0: 7, 1: 8}, {0: (0, 10), 1: (0, 10)}), list[Any]()

    def read_back(starts: Any) -> Any:  # noqa: ANN401
        asked.append({partition: progress.offset for partition, progress in starts.items()})
        return {}

    driven.starting._read_back = read_back
    committed = driven.consumer.committed
    driven.consumer.committed = lambda *args: asked.append("committed") or committed(*args)  # type: ignore[method-assign, func-returns-value]
    driven.starting.look_up(Asked({Partition(0): 0, Partition(1): 0}, frozenset({Partition(1)})))
    assert ["committed", {1: 8}] == asked


def test_a_partition_without_an_offset_is_new_where_others_that_start_have_one() -> None:
    assert {0: (7, None), 1: (0, "new_partition")} == Driven({0: 7}, {0: (0, 10), 1: (0, 3)}).start(0, 1)


def test_a_partition_without_an_offset_is_new_where_others_that_do_not_start_have_one() -> None:
    assert {1: (0, "new_partition")} == Driven({0: 7}, {0: (0, 10), 1: (0, 3)}).start(1)


def test_without_an_answer_about_the_other_partitions_the_group_counts_as_without_an_offset() -> None:
    driven = Driven({0: 7}, {0: (0, 10), 1: (0, 3)})
    driven.consumer.silent = True
    assert {1: (0, "no_offset")} == driven.start(1)


@pytest.mark.parametrize("committed", [NONE, 11, 2])
def test_a_second_start_without_a_commit_in_between_is_not_reported_again(committed: int) -> None:
    driven = Driven({0: committed}, {0: (3, 10)})
    assert driven.start(0)[0][1] is not None
    assert {0: (3, None)} == driven.start(0, fetched=[0])


def test_records_that_came_since_a_start_at_an_empty_partition_and_were_not_committed_are_no_reset() -> None:
    driven = Driven({}, {0: (0, 0)})
    driven.start(0)
    driven.consumer.edges[0] = (0, 10)
    assert {0: (0, None)} == driven.start(0, fetched=[0])


def test_records_that_expire_between_two_starts_are_reported() -> None:
    driven = Driven({0: 4}, {0: (4, 10)})
    driven.start(0)
    driven.consumer.edges[0] = (9, 10)
    assert {0: (9, "expired")} == driven.start(0, fetched=[0])


def test_a_topic_that_loses_its_end_under_a_running_service_is_reported() -> None:
    driven = Driven({0: 8}, {0: (0, 10)})
    driven.start(0)
    driven.consumer.edges[0] = (0, 5)
    assert {0: (0, "beyond_end")} == driven.start(0, fetched=[0])


def test_a_topic_that_was_made_again_is_reported_though_the_offsets_are_the_same_as_at_the_first_start() -> None:
    driven = Driven({}, {0: (0, 10)})
    assert {0: (0, "no_offset")} == driven.start(0)
    driven.topic_id = "second"
    assert {0: (0, "no_offset")} == driven.start(0)


def test_the_reasons_are_a_closed_set() -> None:
    assert ["beyond_end", "expired", "no_offset", "new_partition"] == [reason.value for reason in ResetReason]
