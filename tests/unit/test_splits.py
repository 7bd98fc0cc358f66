"""The warning about ids in two partitions: counted from commits, logged once an hour, quiet after a change."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import pytest

from service.core.split_ids import MAX_WATCHED
from service.loop.errors import Abortable
from service.loop.splits import FORGET_AFTER_MS, SAY_EVERY_MS, SETTLE_MS
from tests.loop import Loop, pay

WINDOW = 10_000


class Split(Loop):
    """A loop with two partitions."""

    def __init__(self, partitions: int = 2) -> None:
        super().__init__(partitions=tuple(range(partitions)))
        self.now = 0

    def window(self, *places: tuple[str, int], after_ms: int = 0) -> None:
        """A window with a record of each of these ids in its partition, so long after the last one."""
        self.now += after_ms // WINDOW * WINDOW
        for key, partition in places:
            self.put(pay(self.now, key=key), partition=partition)
        self.turn(self.now + 1)
        self.now += WINDOW
        self.turn(self.now)

    def counted(self) -> float | None:
        """The counter."""
        return self.metric("ids_in_two_partitions_total")

    def said(self) -> list[int]:
        """The count in each line of the log."""
        return [line["ids"] for line in self.events("ids_in_two_partitions")]


def test_an_id_in_two_partitions_is_counted_once_and_its_records_are_named_without_the_id() -> None:
    loop = Split()
    assert 0 == loop.counted()
    loop.window(("secret", 0), ("other", 1))
    loop.window(("secret", 1), ("other", 1))
    loop.window(("secret", 0), ("secret", 1))
    assert 1 == loop.counted()
    (line,) = loop.events("ids_in_two_partitions")
    places = (line["partition"], line["offset"], line["other_partition"], line["other_offset"])
    assert ((1, 1, 0, 0), "warning") == (places, line["log_level"])
    assert "partitioner" in line["why"]
    assert "secret" not in str(line)


def test_it_is_logged_at_most_once_an_hour_and_as_long_as_it_goes_on() -> None:
    loop = Split()
    loop.window(("a", 0), ("a", 1))
    loop.window(("b", 0), ("b", 1))
    assert [1] == loop.said()
    loop.window(("b", 0), ("b", 1), after_ms=SAY_EVERY_MS)
    loop.window(("b", 0), ("b", 1))
    assert [1, 2] == loop.said()


def test_ids_that_move_when_partitions_are_added_do_not_count() -> None:
    loop = Split()
    loop.input.partition_count = 2
    loop.window(("moves", 0), ("stays", 1))
    loop.input.partition_count = 3
    loop.window(("moves", 0), ("moves", 1))  # a producer that knows it, and one that does not yet
    loop.window(("moves", 1), after_ms=SETTLE_MS // 2)
    loop.window(("moves", 1), ("stays", 1), after_ms=SETTLE_MS)
    loop.window(("moves", 1))
    assert (0, []) == (loop.counted(), loop.said())
    loop.window(("moves", 0))
    assert 1 == loop.counted()


def test_the_first_count_of_partitions_is_no_change() -> None:
    loop = Split()
    loop.window(("a", 0))
    loop.input.partition_count = 2
    loop.window(("a", 1))
    assert 1 == loop.counted()


def test_a_wall_clock_that_is_set_back_a_day_does_not_stop_the_watch() -> None:
    loop = Split()
    loop.input.partition_count = 2
    loop.window(("b", 0))
    loop.input.partition_count = 3
    loop.window(("b", 0), ("b", 1))
    assert 0 == loop.counted()
    loop.now -= 86_400_000
    loop.window(("a", 0), ("a", 1))
    assert 1 == loop.counted()


@pytest.mark.parametrize("change", ["give", "take"])
def test_when_partitions_come_or_go_the_watch_begins_again(change: str) -> None:
    loop = Split(3)
    loop.window(("a", 0))
    if change == "give":
        loop.input.give(3)
    else:
        loop.input.take(2)
    loop.window(("a", 1))
    assert 0 == loop.counted()
    loop.window(("a", 0))
    assert 1 == loop.counted()


def test_what_was_not_committed_does_not_count() -> None:
    loop = Split()
    loop.window(("a", 0))
    loop.output.problems["commit"].append(Abortable("no"))
    loop.window(("a", 1))
    assert 0 == loop.counted()


def test_where_there_are_more_ids_than_can_be_watched_others_have_their_turn_after_an_hour() -> None:
    loop = Split()
    for first in range(0, MAX_WATCHED // 2, 256):
        loop.window(*[(f"first{n}", 0) for n in range(first, first + 256)])
    loop.window(("late", 0))  # its partition has no room for it
    loop.window(("first0", 1))
    assert 1 == loop.counted()
    loop.window(("late", 0), after_ms=FORGET_AFTER_MS)
    loop.window(("late", 1))
    assert 2 == loop.counted()


def test_where_there_is_room_nothing_is_forgotten() -> None:
    loop = Split()
    loop.window(("rare", 0))
    loop.window(("rare", 1), after_ms=10 * FORGET_AFTER_MS)
    assert 1 == loop.counted()
