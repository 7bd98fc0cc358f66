"""Ids in two partitions: every watched one is found, no other one ever is, and no look costs more than its bound."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.model import Aggregate, ClockName, EventTimeMs, Offset, Partition, TumblingWindow, WindowClosed
from service.core.split_ids import MAX_COUNTED, MAX_STEPS, MAX_WATCHED, MAX_WATCHED_CHARS, Seen, Split, SplitIds

Closed = tuple[Partition, WindowClosed]


def closed(partition: int, ids: Iterable[str], offset: int = 0) -> Closed:
    """A window of these ids, whose first records are at ``offset`` and after it."""
    time_ms = EventTimeMs(0)
    aggregates = {one: Aggregate(time_ms, Offset(offset + n), time_ms, Offset(offset + n)) for n, one in enumerate(ids)}
    return Partition(partition), WindowClosed(
        ClockName.PROCESSING, TumblingWindow(0, 1), EventTimeMs(0), aggregates, []
    )


def numbered(count: int, prefix: str = "tx") -> list[str]:
    """So many ids."""
    return [f"{prefix}{n}" for n in range(count)]


def test_an_id_in_two_partitions_is_found_with_a_record_of_each() -> None:
    ids = SplitIds()
    assert Seen(0, None) == ids.look([closed(0, ["a", "b"], 10)], 4)
    example = Split(Partition(3), Offset(70), Partition(0), Offset(11))
    assert Seen(1, example) == ids.look([closed(3, ["b", "c"], 70)], 4)


def test_it_is_found_within_one_look_as_well() -> None:
    assert 1 == SplitIds().look([closed(0, ["a"]), closed(1, ["a"])], 4).new


def test_it_is_counted_once_and_goes_on_to_be_shown() -> None:
    ids = SplitIds()
    both = [closed(0, ["a"]), closed(1, ["a"]), closed(2, ["a"])]
    assert [1, 0, 0] == [ids.look(both, 4).new for _ in range(3)]
    assert ids.look(both, 4).example is not None
    assert ids.look([closed(0, ["a"])], 4).example is None


def test_an_id_that_stays_in_its_partition_is_never_found() -> None:
    ids = SplitIds()
    windows = [closed(p, numbered(50, f"p{p}-")) for p in range(4)]
    assert [Seen(0, None)] * 5 == [ids.look(windows, 4) for _ in range(5)]


def test_after_forgetting_an_id_may_be_in_another_partition() -> None:
    ids = SplitIds()
    ids.look([closed(0, ["a"])], 2)
    ids.forget()
    assert Seen(0, None) == ids.look([closed(1, ["a"])], 2)


def test_what_was_counted_is_not_counted_again_after_forgetting() -> None:
    ids = SplitIds()
    both = [closed(0, ["a"]), closed(1, ["a"])]
    ids.look(both, 2)
    ids.forget()
    seen = ids.look(both, 2)
    assert (0, True) == (seen.new, seen.example is not None)


@pytest.mark.parametrize("partitions", [2, 4, 64, 10_000])
def test_a_share_that_is_full_takes_no_more_and_its_ids_are_found_wherever_they_are(partitions: int) -> None:
    share = max(1, MAX_WATCHED // partitions)
    ids = SplitIds()
    ids.look([closed(0, numbered(share - 1))], partitions)
    assert not ids.full(partitions)
    ids.look([closed(0, numbered(share + 5))], partitions)
    assert ids.full(partitions)
    assert share == ids.look([closed(1, numbered(share + 5))], partitions).new


def test_a_share_is_not_exceeded_by_the_window_that_fills_it() -> None:
    ids = SplitIds()
    share = MAX_WATCHED // 2
    first, more = numbered(share - 1, "first"), numbered(share, "more")
    ids.look([closed(0, first)], 2)
    ids.look([closed(0, more)], 2)
    assert share == ids.look([closed(1, [*first, *more])], 2).new


def test_a_partition_with_many_ids_leaves_the_others_their_shares() -> None:
    ids = SplitIds()
    ids.look([closed(0, numbered(MAX_WATCHED * 2)), closed(1, ["rare"])], 4)
    assert 1 == ids.look([closed(2, ["rare"])], 4).new


def test_an_id_that_is_too_long_is_not_watched() -> None:
    ids = SplitIds()
    longest = "x" * MAX_WATCHED_CHARS
    assert 1 == ids.look([closed(p, [longest, longest + "x"]) for p in range(2)], 2).new


def test_beyond_a_bound_no_id_is_counted() -> None:
    ids, found = SplitIds(), 0
    share = MAX_WATCHED // 2
    for n in range(MAX_COUNTED // share + 2):
        some = numbered(share, f"{n}-")
        found += ids.look([closed(0, some), closed(1, some)], 2).new
        ids.forget()
    assert MAX_COUNTED == found


def test_a_look_ends_at_its_bound_and_the_next_ones_go_on_where_it_ended() -> None:
    """Each partition has an id of its own that was seen elsewhere before: how many looks until all are found?"""
    ids = SplitIds()
    partitions = 64
    ids.look([closed(64, numbered(partitions, "split"))], partitions)
    filled = [closed(p, numbered(MAX_WATCHED, f"p{p}-")) for p in range(partitions)]
    for _ in range(partitions):
        ids.look(filled, partitions)
    windows = [closed(p, [*numbered(MAX_WATCHED, f"p{p}-"), f"split{p}"]) for p in range(partitions)]
    found = [ids.look(windows, partitions).new for _ in range(20)]
    assert max(found) <= MAX_STEPS // MAX_WATCHED + 1
    assert partitions == sum(found)


Where = st.dictionaries(st.sampled_from(numbered(12)), st.sets(st.integers(0, 3), min_size=1), min_size=1)


@given(Where, st.randoms(use_true_random=False))
def test_of_few_ids_exactly_those_in_two_partitions_are_counted(where: dict[str, set[int]], dice: object) -> None:
    ids, found = SplitIds(), 0
    windows = [closed(p, [one for one, places in where.items() if p in places]) for p in range(4)]
    dice.shuffle(windows)  # type: ignore[attr-defined]
    for window in windows:
        found += ids.look([window], 4).new
    assert sum(len(places) > 1 for places in where.values()) == found
