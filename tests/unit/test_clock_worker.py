"""The loop with windows that close one by one: what is committed when, what is counted, what is shown."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from typing import Any

import pytest

from service.core.model import ClockName, LatePolicy, Offset
from service.loop.errors import Retriable
from service.wire.progress import decode_progress
from tests.driver import T0
from tests.loop import FakeKafka, Loop, pay

BAD = b"not json"


def by_event_time(kafka: FakeKafka | None = None, **changed: Any) -> Loop:  # noqa: ANN401
    """Windows of 10 s, 1 s of lateness."""
    usual = {"clock": ClockName.EVENT, "late_policy": LatePolicy.DIVERT, "late": "late"}
    return Loop(kafka, **{**usual, **changed})


def by_append_time(kafka: FakeKafka | None = None, **changed: Any) -> Loop:  # noqa: ANN401
    """Windows of 10 s, a margin of 1 s."""
    return Loop(kafka, **{"clock": ClockName.INGESTION, **changed})


def test_a_window_is_committed_in_the_turn_that_closes_it() -> None:
    loop = by_event_time()
    loop.put(pay(0, 1.0), pay(10_999, 2.0))
    loop.turn(1)
    assert [] == loop.sums()
    loop.put(pay(11_000, 4.0))
    loop.turn(2)
    assert [(0, "tx1", 1.0, 1)] == loop.sums()


def test_the_committed_offset_is_the_first_of_any_open_window_and_the_metadata_says_how_far_was_read() -> None:
    loop = by_event_time()
    loop.put(pay(0), pay(10_500), pay(5_000), pay(11_000))
    loop.turn(1)
    progress = decode_progress(Offset(loop.kafka.committed[0][0]), loop.kafka.metadata[0])
    assert progress.ahead is not None
    assert (1, 4, T0 + 10_000, T0 + 10_000) == (
        progress.offset,
        progress.ahead.read,
        progress.ahead.watermark_ms,
        progress.ahead.closed_to_ms,
    )


def test_while_a_backlog_is_drained_windows_are_committed_only_now_and_then() -> None:
    loop = by_event_time(window_size_ms=10)
    loop.put(*[pay(number) for number in range(3_000)])
    loop.turn(0, *[1] * 4)
    assert 1 == len(loop.kafka.commits)
    loop.turn(201)
    assert 2 == len(loop.kafka.commits)
    loop.turn(202)
    assert 3 == len(loop.kafka.commits)


def test_bad_records_do_not_wait_for_a_window_that_stays_open() -> None:
    loop = by_event_time(window_size_ms=3_600_000)
    loop.put(pay(0), BAD)
    loop.turn(1, 9_999)
    assert [] == loop.records("dead")
    loop.turn(10_000)
    assert ([BAD], 0) == ([one.value for one in loop.records("dead")], loop.kafka.committed[0][0])


def test_what_is_read_again_is_counted_and_set_aside_once() -> None:
    first = by_event_time()
    first.put(pay(5_000), BAD, pay(3_000), pay(-8_000))
    first.turn(1, 10_000)
    second = by_event_time(first.kafka, now=10_001)
    second.put(pay(5_500))
    second.turn(10_002)
    counted = ["records_total", "records_late_total"]
    assert [4.0, 2.0] == [first.of_partition(name) for name in counted]
    assert [1.0, None] == [second.of_partition(name) for name in counted]
    assert (1.0, 0.0) == tuple(loop.metric("records_rejected_total", reason="not_json") for loop in (first, second))
    second.put(pay(11_000))
    second.turn(10_003, 20_003)
    assert (1, 1) == (len(second.records("dead")), len(second.records("late")))
    assert [(3, 1)] == [(one["count"], one["late_count"]) for one in second.payloads("aggregates")]


def test_position_and_watermark_that_are_shown_do_not_go_back_while_a_window_is_read_again() -> None:
    first = by_event_time(window_size_ms=60_000)
    first.put(pay(5_000), pay(6_000), pay(7_000))
    first.turn(1, 10_000)
    second = by_event_time(first.kafka, now=10_001, window_size_ms=60_000)
    assert [(3, T0 + 6_000)] == [(one.position, one.watermark) for one in second.partitions()]
    second.input.batch = 1
    second.turn(11_100)
    assert [(3, T0 + 6_000)] == [(one.position, one.watermark) for one in second.partitions()]


def test_while_a_partition_is_read_again_another_may_commit() -> None:
    first = by_event_time(partitions=(0, 1))
    first.put(pay(5_000), pay(6_000))
    first.turn(1, 10_000)
    second = by_event_time(first.kafka, now=10_001, partitions=(0, 1))
    second.input.batch = 1
    second.put(pay(0), pay(11_000), partition=1)
    second.turn(10_002, 10_003)
    assert [(0, "tx1", 1.0, 1)] == second.sums()
    assert ({0: 0}, {1: 1}) == (first.kafka.commits[0], second.kafka.commits[-1])


def test_a_silent_partition_closes_its_window_by_the_wall_clock_and_the_margin() -> None:
    loop = by_append_time()
    loop.put(pay(0), appended_ms=T0 + 9_999)
    loop.turn(1, 2, 10_000, 10_999)
    assert [] == loop.sums()
    loop.turn(11_000)
    assert [(0, "tx1", 1.0, 1)] == loop.sums()
    assert 1 == loop.kafka.committed[0][0]


def test_no_window_is_closed_by_the_wall_clock_while_the_end_of_the_partition_is_not_known() -> None:
    loop = by_append_time()
    loop.put(pay(0), appended_ms=T0)
    loop.turn(1, 2)
    loop.input.problems["ends"].append(Retriable("no answer"))
    loop.turn(11_000)
    assert ([], ["no answer"]) == (loop.sums(), [line["error"] for line in loop.events("kafka_trouble")])
    loop.turn(11_499)
    assert [] == loop.sums()
    loop.turn(11_500)
    assert [(0, "tx1", 1.0, 1)] == loop.sums()


def test_a_record_of_a_later_window_closes_the_one_before_at_once() -> None:
    loop = by_append_time()
    loop.put(pay(5_000), appended_ms=T0 + 9_999)
    loop.put(pay(9_000), appended_ms=T0 + 10_000)
    loop.turn(1)
    assert [(0, "tx1", 1.0, 1)] == loop.sums()
    assert [T0 + 4_000] == [one["watermark"] for one in loop.payloads("aggregates")]


def test_a_window_all_of_whose_records_were_set_aside_holds_nothing_back() -> None:
    loop = by_append_time(late_policy=LatePolicy.DIVERT, late="late")
    loop.put(pay(5_000), appended_ms=T0)
    loop.put(pay(0), appended_ms=T0 + 10_000)
    loop.turn(1, 2, 20_000)
    assert ([(0, "tx1", 1.0, 1)], 1, 2) == (loop.sums(), len(loop.records("late")), loop.kafka.committed[0][0])
    loop.put(pay(4_000, 2.0), appended_ms=T0 + 10_500)
    loop.turn(20_001, 30_000)
    assert (10_000, "tx1", 2.0, 1) == loop.sums()[-1]
    assert ({"first_offset": 2, "last_offset": 2}, 3) == (
        {k: v for k, v in loop.payloads("aggregates")[-1]["source"].items() if k.endswith("offset")},
        loop.kafka.committed[0][0],
    )


def test_a_backlog_has_the_windows_in_which_it_was_written() -> None:
    kafka = FakeKafka()
    for number in range(4):
        kafka.put(0, pay(number * 10_000, 3_000.0), pay(number * 10_000, 3_000.0), appended_ms=T0 + number * 10_000)
    by_processing = Loop(kafka, now=60_000)
    by_processing.turn(60_001, 70_000)
    assert [(60_000, "tx1", 24_000.0, 8)] == by_processing.sums()
    assert 1 == len(by_processing.payloads("alerts"))
    other = FakeKafka(kafka.records, kafka.ends)
    by_append = by_append_time(other, now=60_000)
    by_append.turn(60_001, 60_002, 70_000)
    assert [(number * 10_000, "tx1", 6_000.0, 2) for number in range(4)] == by_append.sums()
    assert [] == by_append.payloads("alerts")


def test_nothing_closes_an_event_time_window_of_a_silent_topic() -> None:
    loop = by_event_time()
    loop.put(pay(0))
    loop.turn(1, 2, 10_000_000, 20_000_000)
    assert [] == loop.sums()


def test_a_record_from_the_future_holds_the_commit_back_until_event_time_gets_there_and_no_longer() -> None:
    loop = by_event_time()
    ahead = 295_000
    loop.put(pay(0), pay(ahead))
    loop.turn(1)
    assert ([(0, "tx1", 1.0, 1)], 1) == (loop.sums(), loop.kafka.committed[0][0])
    loop.put(*[pay(number) for number in range(1_000, 200_000, 1_000)])
    loop.turn(200_000, 210_000)
    assert (1, 199) == (loop.kafka.committed[0][0], len(loop.records("late")))
    assert 201 == decode_progress(Offset(1), loop.kafka.metadata[0]).ahead.read  # type: ignore[union-attr]
    loop.put(pay(ahead // 10_000 * 10_000 + 11_000))
    loop.turn(301_001)
    assert (290_000, "tx1", 1.0, 1) == loop.sums()[-1]
    assert 201 == loop.kafka.committed[0][0]


def test_a_silent_topic_is_flushed_where_that_is_asked_for_and_what_comes_later_is_late() -> None:
    loop = by_event_time(flush_after_ms=30_000)
    loop.put(pay(5_000))
    loop.turn(1, 2, 30_000)
    assert [] == loop.sums()
    loop.turn(30_001)
    assert [(0, "tx1", 1.0, 1)] == loop.sums()
    loop.put(pay(6_000), pay(10_000))
    loop.turn(30_002, 40_000)
    again = by_event_time(loop.kafka, now=40_001, flush_after_ms=30_000)
    again.put(pay(9_999), pay(21_000, 8.0))
    again.turn(50_000, 50_001)
    assert [(0, "tx1", 1.0, 1), (10_000, "tx1", 1.0, 1)] == again.sums()
    assert (1.0, 1.0) == (loop.of_partition("records_late_total"), again.of_partition("records_late_total"))
    assert 2 == len(again.records("late"))


def test_records_too_far_ahead_are_judged_once_whatever_the_clock_shows_when_they_are_read_again() -> None:
    first = by_event_time(max_future_ms=1_000, lateness_ms=0, window_size_ms=60_000)
    first.put(pay(500, 1.0), pay(1_002, 2.0))
    first.turn(1)
    first.put(pay(1_500, 4.0), pay(1_400, 8.0))
    first.turn(600, 10_000)
    assert 1 == len(first.records("dead"))
    second = by_event_time(first.kafka, now=11_000, max_future_ms=1_000, lateness_ms=0, window_size_ms=60_000)
    second.turn(11_001)
    second.put(pay(60_000, 16.0))
    second.turn(70_000)
    assert [(0, "tx1", 13.0, 3)] == second.sums()
    assert 1 == len(second.records("dead"))


def test_a_window_at_the_very_end_of_time_is_flushed_and_counted_once() -> None:
    """Its end is beyond what an event time can be."""
    last = 2**63 - 1 - T0
    first = by_event_time(max_future_ms=0, flush_after_ms=5_000)
    first.put(pay(last))
    first.turn(1, 2, 5_001, 10_000)
    assert [(1.0, 1)] == [(one["amount"], one["count"]) for one in first.payloads("aggregates")]
    second = by_event_time(first.kafka, now=10_001, max_future_ms=0, flush_after_ms=5_000)
    second.put(pay(last, 2.0))
    second.turn(10_002, 20_000)
    assert 1 == len(second.payloads("aggregates"))
    assert [last - 1_000 + T0] == [one.watermark for one in second.partitions()]
    assert 1 == len(second.records("late"))


def test_a_window_at_the_very_end_of_time_is_cut_when_the_settings_change() -> None:
    first = by_event_time(max_future_ms=0)
    first.put(pay(2**63 - 1 - T0))
    first.turn(1, 10_000)
    second = by_event_time(first.kafka, now=10_001, max_future_ms=0, window_size_ms=5_000)
    second.turn(10_002, 20_000)
    assert [(1.0, 1)] == [(one["amount"], one["count"]) for one in second.payloads("aggregates")]


@pytest.mark.parametrize(
    ("skipped", "sums"),
    [
        (2, [(0, "tx1", 12.0, 2), (10_000, "tx1", 16.0, 1)]),
        (4, [(10_000, "tx1", 16.0, 1)]),
        (5, []),
    ],
    ids=["in what was read ahead", "up to what was read", "beyond it"],
)
def test_of_records_that_expired_below_an_open_window_the_rest_counts_once(
    skipped: int, sums: list[tuple[int, str, float, int]]
) -> None:
    """The first window is lost as far as its records are; the watermark and what is closed stay."""
    first = by_event_time()
    first.put(*[pay(number * 1_000, 2.0**number) for number in range(4)])
    first.turn(1, 10_000)
    assert 0 == first.kafka.committed[0][0]
    first.put(pay(12_000, 16.0), pay(24_000, 32.0))
    second = by_event_time(first.kafka, now=10_001, partitions=())
    second.input.skipped = skipped
    second.input.give(0)
    second.turn(10_002, 10_003, 20_000)
    assert sums == second.sums()
    assert float(skipped) == second.of_partition("records_skipped_total")
    assert [T0 + 23_000] == [one.watermark for one in second.partitions()]
    assert 5 == second.kafka.committed[0][0]


def test_the_loop_waits_for_no_answer_where_a_silent_partition_ends() -> None:
    loop = by_append_time(partitions=(0, 1))
    loop.end_offsets.held = True
    loop.put(pay(0), appended_ms=T0 + 9_999)
    loop.turn(1, 2, 11_000, 11_500, 12_000)
    loop.put(pay(9_000), partition=1, appended_ms=T0 + 12_000)
    loop.turn(12_001)
    assert ([], 1, 1) == (loop.sums(), len(loop.end_offsets.asked), loop.of_partition("records_total", 1))
    loop.end_offsets.held = False
    loop.turn(12_100)
    assert [(0, "tx1", 1.0, 1)] == loop.sums()


def test_an_answer_counts_from_when_it_was_asked() -> None:
    loop = by_append_time()
    loop.put(pay(0), appended_ms=T0 + 9_999)
    loop.turn(1, 2)
    loop.end_offsets.held = True
    loop.turn(11_000)
    loop.put(pay(11_000), appended_ms=T0 + 11_001)
    loop.turn(11_500)
    loop.end_offsets.held = False
    loop.turn(21_002)
    assert [(0, "tx1", 1.0, 1)] == loop.sums()
    loop.turn(21_500)
    assert [(0, "tx1", 1.0, 1), (10_000, "tx1", 1.0, 1)] == loop.sums()
