"""A wall clock that is set back: what has been emitted stays emitted, and nothing is lost, stuck or counted twice."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from tests.loop import Loop, pay


def closed_once() -> Loop:
    """The window from 0 to 10,000 has been emitted."""
    loop = Loop(partitions=(0, 1))
    loop.put(pay(0, 1.0))
    loop.turn(1, 10_000)
    return loop


def test_set_back_into_the_open_window_changes_nothing() -> None:
    loop = Loop()
    loop.put(pay(0, 1.0))
    loop.turn(9_000)
    loop.put(pay(0, 2.0))
    loop.turn(1_000, 9_999)
    assert [] == loop.sums()
    loop.turn(10_000)
    assert [(0, "tx1", 3.0, 2)] == loop.sums()


def test_set_back_into_the_closed_window_counts_for_the_next_one() -> None:
    loop = closed_once()
    loop.put(pay(0, 2.0))
    loop.turn(9_990)
    loop.put(pay(0, 4.0))
    loop.turn(10_001, 20_000)
    assert [(0, "tx1", 1.0, 1), (10_000, "tx1", 6.0, 2)] == loop.sums()


def test_set_back_into_the_closed_window_closes_the_next_one_with_no_new_data() -> None:
    loop = closed_once()
    loop.put(pay(0, 2.0))
    loop.turn(9_990, 10_000, 10_001, 20_000)
    assert [(0, "tx1", 1.0, 1), (10_000, "tx1", 2.0, 1)] == loop.sums()


def test_set_back_into_the_closed_window_commits_nothing_that_is_in_an_open_one() -> None:
    loop = closed_once()
    loop.put(pay(0, 2.0))
    loop.turn(9_990, 10_000)
    assert 1 == loop.kafka.committed[0][0]


def test_set_back_into_the_closed_window_loses_nothing_in_a_crash() -> None:
    loop = closed_once()
    loop.put(pay(0, 2.0))
    loop.turn(9_990, 10_000)
    after = Loop(loop.kafka, now=10_001, partitions=(0, 1))
    after.turn(10_002, 20_000)
    assert 3 == sum(amount for _, _, amount, _ in after.sums())


def test_set_back_before_the_closed_window_is_believed() -> None:
    loop = Loop(now=20_000)
    loop.put(pay(0, 1.0))
    loop.turn(20_001, 30_000)
    loop.put(pay(0, 2.0))
    loop.turn(5_000, 10_000)
    assert [(20_000, "tx1", 1.0, 1), (0, "tx1", 2.0, 1)] == loop.sums()


def test_set_back_a_little_while_another_partition_has_an_open_window() -> None:
    """As when the clock is put right by a few milliseconds just after a boundary."""
    loop = Loop(partitions=(0, 1))
    loop.put(pay(0, 1.0))
    loop.turn(10_001)
    loop.put(pay(0, 2.0), partition=1)
    loop.turn(9_999)
    loop.put(pay(0, 4.0), partition=1)
    loop.turn(10_002, 20_000, 30_000)
    assert 7 == sum(amount for _, _, amount, _ in loop.sums())
    assert {0: 1, 1: 2} == {partition: offset for partition, (offset, _) in loop.kafka.committed.items()}


def test_set_back_the_snapshot_is_still_renewed() -> None:
    loop = closed_once()
    loop.put(pay(0, 2.0))
    loop.turn(-3_600_000)
    assert [2, 0] == [one.position for one in loop.partitions()]


def test_set_forward_closes_the_open_window_once() -> None:
    loop = Loop()
    loop.put(pay(0, 1.0))
    loop.turn(1, 3_600_000, 3_600_001)
    assert [(0, "tx1", 1.0, 1)] == loop.sums()


def test_set_back_during_a_commit_leaves_the_histograms_sums_right() -> None:
    loop = Loop()
    loop.put(pay(0, 9_000.0))
    loop.turn(1)
    loop.output.commit_takes_ms = -5_000
    loop.turn(10_000)
    assert (1, 0) == (loop.metric("commit_seconds_count"), loop.metric("commit_seconds_sum"))
