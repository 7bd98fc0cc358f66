"""The one way back: abort, drop the open windows, read again; every record counts exactly once in the end."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import pytest

from service.core.model import LatePolicy, Partition
from service.loop.errors import Abortable, Fatal, Replaced, Retriable
from service.loop.events import OutOfRange, PartitionEnd, Records
from service.loop.worker import LONGEST_TXN_MS
from tests.driver import T0
from tests.loop import FakeKafka, Loop, pay

BAD = b"not json"


def with_a_full_window(**changed: object) -> Loop:
    """Two partitions, both with a record in the open window, and a bad one in partition 0."""
    loop = Loop(partitions=(0, 1), **changed)  # type: ignore[arg-type]
    loop.put(pay(5_000, 9_000.0, "a"), BAD)
    loop.put(pay(7_000, 1.0, "b"), partition=1)
    loop.turn(1)
    return loop


EVERYTHING = [(0, "a", 9_000.0, 1), (0, "b", 1.0, 1)]


def test_a_commit_that_is_aborted_leaves_nothing() -> None:
    loop = with_a_full_window()
    loop.output.problems["commit"].append(Abortable("commit: told to abort"))
    loop.turn(10_000)
    assert ([], {}) == (loop.kafka.out, loop.kafka.committed)
    assert not loop.txn_open()


@pytest.mark.parametrize("step", ["send", "commit"])
@pytest.mark.parametrize("problem", [Abortable("x"), Retriable("stopped")])
def test_after_an_abort_everything_is_read_again_and_counted_once(step: str, problem: Abortable | Retriable) -> None:
    loop = with_a_full_window()
    loop.output.problems[step].append(problem)
    loop.turn(10_000, 10_001, 20_000, 30_000)
    assert sorted((10_000, *rest) for _, *rest in EVERYTHING) == sorted(loop.sums())
    assert [BAD] == [record.value for record in loop.records("dead")]
    assert [(Partition(0), 2), (Partition(1), 1)] == sorted(
        (p, offset) for p, (offset, _) in loop.kafka.committed.items()
    )


@pytest.mark.parametrize("step", ["send", "commit"])
def test_a_new_producer_is_initialised_before_the_committed_offsets_are_looked_up(step: str) -> None:
    loop = with_a_full_window()
    loop.output.problems[step].append(Replaced("the old one hangs"))
    loop.output.problems["initialise"] += [Retriable("no answer")] * 2
    loop.turn(10_000)
    assert (0, ()) == (loop.kafka.initialised, loop.partitions())
    loop.turn(10_501, 11_002, 20_000, 30_000)
    assert 1 == loop.kafka.initialised
    assert ["a", "b"] == sorted(key for _, key, _, _ in loop.sums())
    assert 1.0 == loop.metric("transactions_total", outcome="aborted")


def test_after_an_abort_the_watermark_is_the_committed_one_again() -> None:
    loop = Loop(late="late", late_policy=LatePolicy.DIVERT)
    loop.put(pay(5_000))
    loop.turn(1, 10_000)
    loop.put(pay(4_500, 2.0), pay(60_000, 4.0))
    loop.turn(10_001)
    loop.output.problems["commit"].append(Abortable("x"))
    loop.turn(20_000)
    assert [T0 + 4_000] == [one.watermark for one in loop.partitions()]
    loop.turn(20_001, 30_000)
    assert [] == loop.records("late")
    assert [(0, "tx1", 1.0, 1), (20_000, "tx1", 6.0, 2)] == loop.sums()


def test_after_an_abort_nothing_is_committed_until_the_committed_offsets_are_known() -> None:
    loop = with_a_full_window()
    loop.output.problems["commit"].append(Abortable("x"))
    loop.input.problems["restore"] += [Retriable("no answer")] * 3
    loop.turn(10_000)
    loop.put(pay(7_000, 1.0, "c"))
    loop.turn(10_001, 20_000, 30_000)
    assert ([], (), {}) == (loop.kafka.commits, loop.partitions(), loop.kafka.committed)
    loop.turn(30_501, 30_502, 40_000)
    assert [(30_000, "a", 9_000.0, 1), (30_000, "b", 1.0, 1), (30_000, "c", 1.0, 1)] == sorted(loop.sums())


def test_after_an_abort_an_alert_has_its_name_again_if_its_window_is_the_same() -> None:
    loop = with_a_full_window(window_size_ms=3_600_000)
    loop.turn(2)
    loop.input.take(1)
    loop.turn(3, 4, 3_600_000)
    (alert,) = loop.payloads("alerts")
    undisturbed = with_a_full_window(window_size_ms=3_600_000)
    undisturbed.turn(3_600_000)
    assert alert["alert_id"] == undisturbed.payloads("alerts")[0]["alert_id"]


def test_an_aborted_txn_counts_as_aborted_and_not_as_committed() -> None:
    loop = with_a_full_window()
    loop.output.problems["commit"].append(Abortable("x"))
    loop.turn(10_000)
    assert (1, 0) == tuple(loop.metric("transactions_total", outcome=outcome) for outcome in ("aborted", "committed"))
    assert 0 == loop.metric("anomalies_total", detector="threshold")
    assert ["x"] == [line["error"] for line in loop.events("rewind")]


def test_a_second_abort_in_a_row_is_the_same_again() -> None:
    loop = with_a_full_window()
    loop.output.problems["commit"] += [Abortable("x"), Abortable("y")]
    loop.turn(10_000, 10_001, 20_000, 20_001, 30_000)
    assert sorted((20_000, *rest) for _, *rest in EVERYTHING) == sorted(loop.sums())
    assert 1 == len(loop.records("dead"))


def test_what_was_fetched_before_a_rewind_is_ignored() -> None:
    loop = with_a_full_window()
    loop.turn(10_000)
    loop.input.stale = [Records(Partition(0), loop.kafka.records[0])]
    loop.put(pay(8_000, 5.0, "a"))
    loop.turn(10_001, 20_000)
    assert [(10_000, "a", 5.0, 1)] == [one for one in loop.sums() if one[0] == 10_000]
    assert 1 == len(loop.records("dead"))


def test_a_batch_of_old_and_new_records_counts_for_the_new_ones() -> None:
    loop = with_a_full_window()
    loop.turn(10_000)
    loop.kafka.put(0, pay(8_000, 5.0, "a"))
    loop.input.stale = [Records(Partition(0), loop.kafka.records[0])]
    loop.turn(10_001, 20_000)
    assert [(10_000, "a", 5.0, 1)] == [one for one in loop.sums() if one[0] == 10_000]


def test_records_and_ends_of_partitions_that_do_not_run_are_ignored() -> None:
    loop = Loop(partitions=())
    loop.kafka.put(3, pay(0))
    loop.input.stale = [Records(Partition(3), loop.kafka.records[3]), PartitionEnd(Partition(3), 1)]  # type: ignore[arg-type]
    loop.turn(1, 10_000)
    assert ([], None) == (loop.kafka.commits, loop.of_partition("records_total", 3))


def test_a_problem_that_is_fatal_is_not_survived() -> None:
    loop = with_a_full_window()
    loop.output.problems["commit"].append(Fatal("fenced"))
    with pytest.raises(Fatal, match="fenced"):
        loop.turn(10_000)
    assert [] == loop.kafka.out


def test_a_fatal_problem_while_reading_is_not_survived() -> None:
    loop = Loop()
    loop.input.problems["poll"].append(Fatal("consumer is of no more use"))
    with pytest.raises(Fatal):
        loop.turn(1)


def test_trouble_that_comes_while_callbacks_are_served_leads_back_to_what_is_committed() -> None:
    loop = with_a_full_window()
    loop.output.problems["poll"].append(Abortable("x"))
    loop.turn(9_000)
    assert {0, 1} == loop.input.restoring
    loop.turn(9_001, 9_002, 10_000)
    assert EVERYTHING == loop.sums()
    assert 1 == len(loop.records("dead"))


def test_an_abort_that_gives_up_says_so() -> None:
    loop = with_a_full_window()
    loop.output.problems["commit"].append(Abortable("x"))
    loop.output.problems["abort"].append(Retriable("stopped"))
    with pytest.raises(Retriable):
        loop.turn(10_000)


def test_a_flood_that_cannot_be_sent_is_read_again() -> None:
    loop = Loop()
    loop.put(*[bytes([number]) * 1_500_000 for number in range(25)])
    loop.output.problems["send"].append(Abortable("x"))
    loop.turn(1, 2, 10_000)
    assert 25 == len(loop.records("dead"))


# ---- partitions taken ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [False, True], ids=["revoked", "lost"])
def test_a_partition_that_is_taken_takes_its_window_along(lost: bool) -> None:  # noqa: FBT001
    loop = Loop(partitions=(0, 1))
    loop.put(pay(0, 1.0, "a"))
    loop.put(pay(0, 2.0, "b"), partition=1)
    loop.turn(1)
    loop.input.take(0, lost=lost)
    loop.turn(2, 10_000)
    assert [(0, "b", 2.0, 1)] == loop.sums()
    assert [{1: 1}] == loop.kafka.commits


@pytest.mark.parametrize("lost", [False, True], ids=["revoked", "lost"])
def test_a_partition_taken_at_the_very_boundary_is_not_committed(lost: bool) -> None:  # noqa: FBT001
    loop = Loop()
    loop.put(pay(0))
    loop.turn(1)
    loop.input.take(0, lost=lost)
    loop.turn(10_000)
    assert ([], []) == (loop.kafka.out, loop.kafka.commits)


def test_what_one_instance_dropped_the_next_one_counts() -> None:
    kafka = FakeKafka()
    first = Loop(kafka, partitions=(0, 1))
    first.put(pay(0, 1.0), BAD)
    first.put(pay(0, 2.0), partition=1)
    first.turn(1)
    first.input.take(0)
    second = Loop(kafka, now=2)
    first.turn(3, 4)
    second.turn(4)
    first.turn(10_000)
    second.turn(10_000)
    assert [(0, "tx1", 1.0, 1), (0, "tx1", 2.0, 1)] == sorted(first.sums())
    assert 1 == len(first.records("dead"))


def test_a_partition_that_comes_back_starts_from_what_is_committed() -> None:
    loop = Loop()
    loop.put(pay(0, 1.0))
    loop.turn(1)
    loop.input.take(0)
    loop.input.give(0)
    loop.turn(2, 3, 10_000)
    assert [(0, "tx1", 1.0, 1)] == loop.sums()


def test_set_aside_records_of_a_taken_partition_are_not_sent_and_the_others_read_again() -> None:
    loop = with_a_full_window()
    loop.input.take(0)
    loop.turn(2, 3, 10_000)
    assert [] == loop.records("dead")
    assert [(0, "b", 1.0, 1)] == loop.sums()
    assert 1 == len(loop.events("rewind"))


def test_set_aside_records_of_a_partition_that_stays_are_sent_once() -> None:
    loop = with_a_full_window()
    loop.input.take(1)
    loop.turn(2, 3, 10_000)
    assert 1 == len(loop.records("dead"))
    assert [(0, "a", 9_000.0, 1)] == loop.sums()


def test_a_revoked_partition_without_records_disturbs_no_other() -> None:
    loop = Loop(partitions=(0, 1))
    loop.put(pay(0), BAD)
    loop.turn(1)
    loop.input.take(1)
    loop.turn(2)
    assert [] == loop.events("rewind")


def test_a_taken_partition_with_records_in_the_open_txn_aborts_it() -> None:
    loop = Loop(partitions=(0, 1))
    loop.put(*[bytes([number]) * 1_500_000 for number in range(25)])
    loop.put(pay(0, 2.0), partition=1)
    loop.turn(1)
    assert loop.txn_open()
    loop.input.take(0)
    loop.turn(2)
    assert not loop.txn_open()
    loop.turn(3, 10_000)
    assert ([], [(0, "tx1", 2.0, 1)]) == (loop.records("dead"), loop.sums())


def test_in_a_long_window_no_txn_is_begun_so_early_that_it_would_outlive_its_timeout() -> None:
    loop = Loop(window_size_ms=3_600_000)
    loop.put(*[bytes([number]) * 1_500_000 for number in range(25)])
    loop.turn(1)
    into_the_hour = T0 % 3_600_000
    loop.turn(3_600_000 - into_the_hour - LONGEST_TXN_MS - 1)
    assert not loop.txn_open()
    loop.turn(3_600_000 - into_the_hour - LONGEST_TXN_MS)
    assert loop.txn_open()
    loop.turn(3_600_000 - into_the_hour)
    assert 25 == len(loop.records("dead"))


@pytest.mark.parametrize("lost", [False, True], ids=["revoked", "lost"])
def test_gauges_of_a_taken_partition_are_gone_and_its_counters_stay(lost: bool) -> None:  # noqa: FBT001
    loop = Loop(partitions=(0, 1))
    loop.put(pay(0), pay(0))
    loop.put(pay(0), partition=1)
    loop.turn(1)
    gauges = ("watermark_timestamp_seconds", "partition_idle", "consumer_lag_records", "open_windows")
    loop.turn(1_002)
    assert None not in [loop.of_partition(name) for name in gauges]
    loop.input.take(0, lost=lost)
    loop.turn(1_003)
    assert [None] * 4 == [loop.of_partition(name) for name in gauges]
    assert 2 == loop.of_partition("records_total")
    assert None not in [loop.of_partition(name, 1) for name in gauges]


# ---- positions that do not exist any more -------------------------------------------------------------------


def test_a_position_out_of_range_starts_where_the_source_says() -> None:
    loop = Loop()
    loop.put(pay(0, 1.0), pay(0, 2.0))
    loop.input.skipped = 1
    loop.input.stale = [OutOfRange(Partition(0), "offset out of range")]
    loop.input.lose_track(0)
    loop.turn(1, 2, 10_000)
    assert [(0, "tx1", 2.0, 1)] == loop.sums()
    assert 1 == loop.of_partition("records_skipped_total")
    assert [1] == [line["records"] for line in loop.events("records_expired_unread")]


@pytest.mark.parametrize("taken_as_well", [False, True], ids=["stays", "taken"])
def test_set_aside_records_of_a_position_out_of_range_are_sent_once(taken_as_well: bool) -> None:  # noqa: FBT001
    loop = Loop(partitions=(0, 1))
    loop.put(pay(0, 1.0), BAD)
    loop.put(pay(0, 2.0), partition=1)
    loop.turn(1)
    loop.input.stale = [OutOfRange(Partition(0), "offset out of range")]
    loop.input.lose_track(0)
    loop.turn(2)
    if taken_as_well:
        loop.input.take(0)
        loop.input.give(0)
    loop.turn(3, 4, 10_000)
    assert [(0, "tx1", 1.0, 1), (0, "tx1", 2.0, 1)] == sorted(loop.sums())
    assert 1 == len(loop.records("dead"))


# ---- the end ------------------------------------------------------------------------------------------------


def test_abandoning_aborts_what_is_open() -> None:
    loop = Loop()
    loop.put(*[bytes([number]) * 1_500_000 for number in range(25)])
    loop.turn(1)
    loop.worker.abandon()
    assert (False, []) == (loop.txn_open(), loop.kafka.out)


@pytest.mark.parametrize("problem", [Retriable("stopped"), Fatal("fenced"), Abortable("x")])
def test_abandoning_survives_an_abort_that_does_not_work(problem: Retriable | Fatal | Abortable) -> None:
    loop = Loop()
    loop.output.open = True
    loop.output.problems["abort"].append(problem)
    loop.worker.abandon()
    assert [str(problem)] == [line["error"] for line in loop.events("abort_given_up")]


def test_an_heir_asks_for_dead_owners_of_what_it_starts() -> None:
    loop = Loop(partitions=(0, 2))
    assert [(0, 2)] == loop.input.asked_for_dead_owners


def test_a_partition_that_a_dead_owner_would_hold_up_starts_at_once_since_that_one_is_fenced_before() -> None:
    loop = Loop(partitions=())
    loop.input.dead = ["one"]
    loop.input.give(0)
    loop.turn(0)
    assert [0] == [one.partition for one in loop.partitions()]
    loop.turn(1)
    assert [["one"]] == [entry["instances"] for entry in loop.events("dead_owners_fenced")]


def attempts(loop: Loop, until_ms: int, failures: int) -> list[int]:
    """When the loop, turned every 100 ms, tries to start a partition that this often cannot be started."""
    problems = loop.input.problems["restore"]
    problems.extend(Retriable("no answer") for _ in range(failures))
    loop.input.give(7)
    found = []
    for now in range(100, until_ms, 100):
        if T0 + now < loop.clock():  # the attempt has taken so long
            continue
        before = len(problems), len(loop.input.restoring)
        loop.turn(now)
        if before != (len(problems), len(loop.input.restoring)):
            found.append(now)
    return found


@pytest.mark.parametrize("running", [(), (0,)])
def test_a_partition_that_cannot_start_is_tried_twice_a_second(running: tuple[int, ...]) -> None:
    assert [100, 600, 1_100, 1_600] == attempts(Loop(partitions=running), 5_000, failures=3)


def test_the_pause_counts_from_the_end_of_an_attempt_which_may_block() -> None:
    loop = Loop(partitions=(0,))
    loop.input.restore_takes_ms = 450
    assert [100, 1_100] == attempts(loop, 1_500, failures=1)


def test_a_start_does_without_an_answer_about_dead_owners() -> None:
    loop = Loop(partitions=())
    loop.input.problems["end_txns"].append(Retriable("no answer"))
    loop.input.give(0)
    loop.turn(0, 1_000)
    assert [0] == [one.partition for one in loop.partitions()]
