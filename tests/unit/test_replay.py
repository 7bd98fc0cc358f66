"""When each row is sent, on a clock that the test moves."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.disorder import HEAP_ROWS_MAX, FileOrder, Shuffled
from producer.plan import Plan
from producer.ports import RealClock, TopicState
from producer.reading.errors import InputFileError
from producer.reading.rows import Chunk
from producer.replay import NS_PER_MS, NS_PER_S, AsFast, AtRate, ByEventTime, Pace, Replay, RowId, aligned_wait_ms
from producer.session import Session
from producer.stop import Stop
from producer.topic import TopicMissingError
from tests.unit.replay_driver import WALL_MS, Driven, HandClock, Kept, Notebook, Text, csv_at, rows_at

event_times = st.lists(st.integers(0, 100_000), min_size=1, max_size=60)


def test_a_row_goes_when_its_event_time_is_reached_counted_from_the_first() -> None:
    assert Driven(csv_at(1000, 1250, 6000)).run().times == [(1, 0), (2, 250), (3, 5000)]


def test_speed_divides_the_time_between_rows() -> None:
    assert Driven(csv_at(0, 1000, 5000), ByEventTime(10)).run().times == [(1, 0), (2, 100), (3, 500)]
    assert Driven(csv_at(0, 1000), ByEventTime(0.5)).run().times == [(1, 0), (2, 2000)]


def test_a_row_whose_time_is_past_goes_at_once_and_is_not_late() -> None:
    driven = Driven(csv_at(1000, 3000, 500, 2999, 4000)).run()
    assert driven.times == [(1, 0), (2, 2000), (3, 2000), (4, 2000), (5, 3000)]
    assert driven.session.tally.max_lag_ns == 0


def test_rate_counts_rows_and_not_event_times() -> None:
    assert Driven(csv_at(0, 99_999, 5), AtRate(4)).run().times == [(1, 0), (2, 250), (3, 500)]


def test_max_waits_for_nothing() -> None:
    assert Driven(csv_at(0, 10**9, 5), AsFast()).run().times == [(1, 0), (2, 0), (3, 0)]


def test_slow_sending_delays_rows_but_moves_no_later_one() -> None:
    driven = Driven(csv_at(*range(0, 100_000, 10)), send_ms=3).run()
    assert driven.times[-1] == (10_000, 99_990)
    assert driven.session.tally.max_lag_ns == 3 * NS_PER_MS


def test_a_blocked_queue_shows_as_schedule_lag() -> None:
    driven = Driven(csv_at(0, 100, 200), send_ms=150).run()
    assert driven.times == [(1, 0), (2, 150), (3, 300)]
    assert driven.session.tally.max_lag_ns == 250 * NS_PER_MS


def test_no_wait_is_longer_than_a_slice_so_that_reports_are_served_and_signals_heeded() -> None:
    driven = Driven(csv_at(0, 60_000)).run()
    assert driven.times[-1] == (2, 60_000)
    assert driven.clock.longest_wait_s <= 0.1


def test_a_row_in_the_far_future_is_announced_instead_of_looking_like_a_hang() -> None:
    assert Driven(csv_at(0, 3_600_000)).run().said == ["the next row is due in 3600 s, as its timestamp says"]


@given(event_times, st.sampled_from([0.5, 1.0, 7.0]))
def test_every_row_goes_once_in_file_order_and_never_before_its_time(times_ms: list[int], speed: float) -> None:
    driven = Driven(csv_at(*times_ms), ByEventTime(speed)).run()
    assert driven.numbers == list(range(1, len(times_ms) + 1))
    for (_, at_ms), time_ms in zip(driven.times, times_ms, strict=True):
        assert at_ms >= (time_ms - times_ms[0]) / speed - 1


# ---- the start ----


@given(st.integers(0, 10**13), st.sampled_from([1, 1000, 10_000, 7777]))
def test_an_aligned_start_falls_just_after_a_boundary(wall_ms: int, window_ms: int) -> None:
    wait_ms = aligned_wait_ms(wall_ms, window_ms)
    assert (wall_ms + wait_ms) % window_ms == 10 % window_ms
    assert 10 < wait_ms <= window_ms + 10


def test_with_align_the_first_row_goes_after_the_next_boundary_and_the_others_follow() -> None:
    driven = Driven(csv_at(500, 1500), align_ms=10_000).run()
    first_ms = WALL_MS + driven.start_ms + driven.times[0][1]
    assert first_ms % 10_000 == 10
    assert driven.times[1][1] - driven.times[0][1] == 1000


def test_the_progress_shows_from_the_beginning_what_the_replay_waits_for() -> None:
    clock = HandClock()
    created_ns = clock.now_ns + 2 * NS_PER_S

    def topic(now_ns: int) -> TopicState:
        return TopicState.EXISTS if now_ns >= created_ns else TopicState.MISSING

    waits: list[str] = []
    driven = Driven(
        csv_at(0, 3000),
        clock=clock,
        topic=topic,
        align_ms=10_000,
        on_tick=lambda: waits.append(driven.session.waits()),
    )
    driven.run()
    assert list(dict.fromkeys(waits)) == [
        "waits for the topic",
        *(f"next row in {seconds} s" for seconds in (2, 1)),
        "",
    ]
    assert waits.count("waits for the topic") > 10


def test_the_progress_is_drawn_before_the_brokers_are_asked() -> None:
    drawn: list[str] = []
    drawn_when_asked: list[list[str]] = []

    def topic(_now_ns: int) -> TopicState:
        drawn_when_asked.append([*drawn])
        return TopicState.EXISTS

    driven = Driven(csv_at(0), topic=topic, on_tick=lambda: drawn.append(driven.session.waits()))
    driven.run()
    assert drawn_when_asked == [["waits for the topic"]]


def test_no_error_of_a_connection_is_printed_before_the_brokers_are_asked() -> None:
    """The answer may be that they refuse the client, which is one line."""
    printed_when_asked: list[list[str]] = []

    def topic(_now_ns: int) -> TopicState:
        printed_when_asked.append([*driven.said])
        return TopicState.EXISTS

    driven = Driven(csv_at(0), topic=topic)
    driven.sink.notices.append("TLS failed, still trying")
    driven.run()
    assert printed_when_asked == [[]]
    assert "TLS failed, still trying" in driven.said


def test_rebase_makes_the_first_event_time_the_time_when_the_first_row_is_due() -> None:
    driven = Driven(csv_at(500, 1500, 400), align_ms=10_000, rebase=True).run()
    first_ms = WALL_MS + driven.start_ms + driven.times[0][1]
    assert driven.event_times == [first_ms, first_ms + 1000, first_ms - 100]


def test_the_schedule_waits_for_a_topic_that_is_about_to_be_created() -> None:
    clock = HandClock()
    created_ns = clock.now_ns + 3 * NS_PER_S

    def topic(now_ns: int) -> TopicState:
        return TopicState.EXISTS if now_ns >= created_ns else TopicState.MISSING

    driven = Driven(csv_at(0, 1000), clock=clock, topic=topic).run()
    assert driven.times[1][1] - driven.times[0][1] == 1000
    assert driven.times[0][1] >= 3000


def test_a_topic_that_is_never_created_ends_the_replay_with_nothing_sent() -> None:
    driven = Driven(csv_at(0), topic=lambda _now_ns: TopicState.MISSING)
    with pytest.raises(TopicMissingError, match="the brokers do not know this topic, after 10 s"):
        driven.run()
    assert driven.numbers == []


def test_brokers_that_do_not_answer_hold_back_the_start_only_for_a_while() -> None:
    driven = Driven(csv_at(0, 1000), topic=lambda _now_ns: TopicState.NO_ANSWER, broker_wait_ns=3 * NS_PER_S).run()
    assert 3000 <= driven.times[0][1] <= 5000
    assert driven.numbers == [1, 2]
    assert driven.said == ["no broker has answered so far: rows are queued until one answers or the rows expire"]


def test_a_file_that_is_no_csv_is_refused_before_anything_else() -> None:
    with pytest.raises(InputFileError, match="is empty"):
        Driven("", topic=lambda _now_ns: TopicState.MISSING).session.run()


# ---- passes ----


def test_each_pass_continues_in_time_after_the_last_by_the_rows_mean_spacing() -> None:
    driven = Driven(csv_at(1000, 3000, 2000, 4000), repeat=3, continues=True).run()
    assert driven.event_times == [1000, 3000, 2000, 4000, 5000, 7000, 6000, 8000, 9000, 11_000, 10_000, 12_000]
    assert driven.times[-1] == (4, 11_000)


def test_a_file_of_one_row_repeats_every_second() -> None:
    driven = Driven(csv_at(1000), repeat=3, continues=True, rebase=True).run()
    assert [later - earlier for earlier, later in pairwise(driven.event_times)] == [1000, 1000]


def test_without_continuing_each_pass_repeats_the_same_event_times() -> None:
    assert Driven(csv_at(1000, 2000), AsFast(), repeat=2).run().event_times == [1000, 2000, 1000, 2000]


def test_endless_passes_end_at_a_stop_and_at_once_on_a_file_without_rows() -> None:
    clock = HandClock()
    clock.stop_at_ns = clock.now_ns + 10 * NS_PER_S
    assert len(Driven(csv_at(0, 1000), repeat=0, continues=True, clock=clock).run().numbers) == 10
    assert Driven(csv_at(), repeat=0).run().numbers == []


def test_a_later_pass_starts_at_the_first_row_whatever_row_the_first_pass_started_at() -> None:
    assert Driven(csv_at(0, 1, 2), AsFast(), repeat=2, start_row=3).run().numbers == [3, 1, 2, 3]


# ---- disorder ----


@given(event_times.map(sorted), st.integers(0, 5000), st.integers(0, 3))
def test_disorder_delays_each_row_by_no_more_than_it_may_and_loses_none(times: list[int], most: int, seed: int) -> None:
    driven = Driven(csv_at(*times), order=Shuffled(most, seed)).run()
    assert sorted(driven.numbers) == list(range(1, len(times) + 1))
    reached = times[0]
    for (_, at_ms), event_ms in zip(driven.times, driven.event_times, strict=True):
        assert 0 <= at_ms - (event_ms - times[0]) <= most
        assert event_ms >= reached - most
        reached = max(reached, event_ms)


def test_the_same_seed_gives_the_same_order_at_any_pace_and_another_seed_another() -> None:
    text = csv_at(*range(0, 5000, 50))
    paces: list[tuple[Pace, int]] = [(ByEventTime(), 1), (AsFast(), 1), (AtRate(10), 1), (AsFast(), 2)]
    orders = [Driven(text, pace, order=Shuffled(1000, seed)).run().numbers for pace, seed in paces]
    assert orders[0] == orders[1] == orders[2] != sorted(orders[0])
    assert orders[3] != orders[0]


def test_a_shuffle_of_nothing_is_the_order_of_the_file() -> None:
    assert Driven(csv_at(0, 50, 100), order=Shuffled(0, 1)).run().times == [(1, 0), (2, 50), (3, 100)]


def test_disorder_never_holds_back_more_rows_than_its_bound() -> None:
    order = Shuffled(10**9, 0)
    given_back = 0
    for first in range(1, 3 * HEAP_ROWS_MAX, 4096):
        rows, places = order.add(rows_at(*range(first, first + 4096)).rows)
        given_back += len(rows)
        assert list(places) == sorted(places)
        assert len(order.held()) <= HEAP_ROWS_MAX
    assert given_back + len(order.held()) == 3 * HEAP_ROWS_MAX


def test_places_never_fall_not_even_from_one_chunk_to_the_next() -> None:
    order = FileOrder()
    assert list(order.add(rows_at(5, 3, 9).rows)[1]) == [5, 5, 9]
    assert list(order.add(rows_at(1, 10).rows)[1]) == [9, 10]


# ---- stopping ----


def with_others(count: int) -> str:
    """Rows 1 to ``count``, 100 ms apart; each 5th malformed, each 7th without an amount."""
    amounts = {number: "x" if number % 5 == 0 else "" if number % 7 == 0 else "1" for number in range(1, count + 1)}
    lines = [f"tx{number},{number * 100},{amount}" for number, amount in amounts.items()]
    return "\n".join(["transaction_id,timestamp,amount", *lines])


@pytest.mark.parametrize("after_ms", [0, 1, 450, 500, 550, 1234, 2000, 5000, 99_999])
def test_what_a_stopped_replay_and_its_resumption_do_is_what_one_run_does(after_ms: int) -> None:
    text = with_others(60)
    clock = HandClock()
    clock.stop_at_ns = clock.now_ns + after_ms * NS_PER_MS
    first = Driven(text, clock=clock).run()
    second = Driven(text, start_row=first.session.next_row).run()
    whole = Driven(text).run()
    assert first.numbers + second.numbers == whole.numbers
    assert [r.number for r in first.rejects.rejects + second.rejects.rejects] == list(range(5, 61, 5))
    tallies = [driven.session.tally for driven in (first, second, whole)]
    assert tallies[0].read + tallies[1].read == tallies[2].read == 60
    assert tallies[0].skipped_empty + tallies[1].skipped_empty == tallies[2].skipped_empty == 7


def test_a_stop_while_the_queue_is_full_leaves_the_rest_for_the_next_run() -> None:
    clock = HandClock()
    clock.stop_at_ns = clock.now_ns + NS_PER_S
    driven = Driven(csv_at(*[0] * 50), AsFast(), clock=clock, room=20).run()
    assert (driven.numbers, driven.session.next_row) == (list(range(1, 21)), 21)


def test_a_stopped_replay_waits_five_seconds_for_what_is_outstanding_and_then_gives_it_up() -> None:
    clock = HandClock()
    clock.stop_at_ns = clock.now_ns + NS_PER_S
    driven = Driven(csv_at(0, 5000), clock=clock, outstanding=1).run()
    assert driven.sink.failed == 1
    assert 6.0 <= (clock.now_ns - driven.start_ms * NS_PER_MS) / NS_PER_S <= 6.5


def test_what_the_last_reports_tell_is_said_even_if_they_come_at_once() -> None:
    driven = Driven(csv_at(0), AsFast(), outstanding=1, reported_in_ms=1).run()
    assert driven.said == ["all reported"]


def test_a_second_signal_gives_up_at_once() -> None:
    clock = HandClock(hurried=True)
    clock.stop_at_ns = clock.now_ns + NS_PER_S
    driven = Driven(csv_at(0, 5000), clock=clock, outstanding=1).run()
    assert (clock.now_ns - driven.start_ms * NS_PER_MS) / NS_PER_S < 1.5


def test_the_row_to_resume_from_is_the_first_that_failed_even_if_later_ones_went() -> None:
    assert Driven(csv_at(0, 1, 2, 3), failed_first=RowId(1, 2)).run().session.next_row == 2


def test_a_failure_that_will_repeat_ends_the_replay() -> None:
    driven = Driven(csv_at(0, 1, 2, 3), broken=True, failed_first=RowId(1, 1)).run()
    assert (driven.numbers, driven.session.next_row) == ([], 1)


def test_a_finished_replay_would_resume_after_the_last_row() -> None:
    assert Driven(csv_at(0, 1, 2)).run().session.next_row == 4
    assert Driven(csv_at(0, 1, 2), start_row=10).run().session.next_row == 10
    assert Driven(csv_at()).run().session.next_row == 1


def test_with_disorder_the_row_to_resume_from_is_the_first_held_back() -> None:
    clock = HandClock()
    clock.stop_at_ns = clock.now_ns + 2 * NS_PER_S
    driven = Driven(csv_at(*range(0, 5000, 50)), order=Shuffled(1000, 1), clock=clock).run()
    assert driven.session.next_row == min(set(range(1, 101)) - set(driven.numbers))


def test_rows_that_are_taken_and_not_sent_are_unsent() -> None:
    replay = Replay(ByEventTime(), FileOrder())
    replay.add(rows_at(0, 10, 20))
    replay.add(Chunk(skipped=[4]))
    batch = replay.due(10 * NS_PER_MS)
    assert batch is not None
    assert [row.number for row in batch.rows] == [1, 2]
    assert list(replay.unsent()) == [RowId(1, 1), RowId(1, 2), RowId(1, 3)]
    replay.advance(1)
    assert list(replay.unsent()) == [RowId(1, 2), RowId(1, 3)]
    assert replay.unsettled(RowId(1, 2)).skipped == []
    assert replay.unsettled(None).skipped == [4]


# ---- the real clock ----


@pytest.mark.alone
def test_on_the_real_clock_the_last_of_many_rows_goes_within_five_ms_of_its_time() -> None:
    clock = RealClock(Stop())
    sent_ns: list[int] = []

    class Watch(Notebook):
        def send(self, batch: object, keep_on: object) -> int:
            del keep_on
            rows = batch.rows  # type: ignore[attr-defined]
            sent_ns.extend([time.monotonic_ns()] * len(rows))
            time.sleep(0.002)  # after each row, as a sleep-after-row replay would do
            return len(rows)

    session = Session(
        Plan(ByEventTime(), 1, 1, None, rebase=False, broker_wait_ns=0),
        source=Text(csv_at(*range(0, 3000, 10))),
        replay=Replay(ByEventTime(), FileOrder()),
        sink=Watch(HandClock()),
        clock=clock,
        rejects=Kept(),
        say=print,
        on_tick=lambda: None,
    )
    session.run()
    assert len(sent_ns) == 300
    lags_ns = [at_ns - index * 10 * NS_PER_MS for index, at_ns in enumerate(sent_ns)]
    # A busy machine may delay a few rows, also the first. Drift would move all of the last rows.
    assert abs(min(lags_ns[-20:]) - min(lags_ns[:20])) < 5 * NS_PER_MS
