"""How a replay ends: unforeseen errors, a last line that is still being written, and what is said of times."""

from __future__ import annotations

import json
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.disorder import Shuffled
from producer.reading.csv_rows import CsvRows
from producer.reading.errors import InputFileError
from producer.reading.rows import Chunk
from producer.replay import NS_PER_MS, NS_PER_S, AsFast, AtRate, ByEventTime, Pace
from producer.report import RejectsFileError, order_line, summary_json, times_line
from producer.unforeseen import one_line
from tests.unit.replay_driver import Driven, HandClock, Kept, Text, csv_at

UTC = ZoneInfo("UTC")


class Faulty(Text):
    """A source whose reading ends with an error after so many chunks."""

    def __init__(self, text: str, error: Exception, chunks: int) -> None:
        super().__init__(text, block=100)
        self._error = error
        self._chunks = chunks

    def open_pass(self, start_row: int) -> CsvRows:
        rows = super().open_pass(start_row)
        error, chunks = self._error, self._chunks

        class Broken(CsvRows):
            next_row = property(lambda _self: rows.next_row)

            def __init__(self) -> None:
                self.unfinished_row = self.unfinished_line = None

            def __iter__(self) -> Iterator[Chunk]:
                for number, chunk in enumerate(rows):
                    if number == chunks:
                        raise error
                    yield chunk

        return Broken()


@pytest.mark.parametrize("chunks", [1, 2, 5])
@pytest.mark.parametrize("pace", [AsFast(), ByEventTime(), AtRate(100)])
def test_an_unforeseen_error_still_waits_for_reports_and_says_where_to_go_on(chunks: int, pace: Pace) -> None:
    text = csv_at(*range(0, 1000, 10))
    driven = Driven(text, pace, source=Faulty(text, KeyError("x"), chunks), outstanding=7, reported_in_ms=300).run()
    assert isinstance(driven.session.failure, KeyError)
    assert driven.said == ["all reported"]
    assert driven.sink.failed == 0
    rest = Driven(text, pace, start_row=driven.session.next_row).run()
    assert driven.numbers + rest.numbers == list(range(1, 101))
    assert driven.session.tally.read == len(driven.numbers)


def test_one_in_the_middle_of_handing_over_sends_no_row_twice() -> None:
    class Stumbling(Driven):
        def stumble(self) -> None:
            send = self.sink.send

            def failing(batch: object, keep_on: object) -> int:
                send(batch, keep_on)  # type: ignore[arg-type]
                self.sink.seen.pop()
                self.sink.sent -= 1
                raise MemoryError

            self.sink.send = failing  # type: ignore[method-assign]

    text = csv_at(*[0] * 10)
    driven = Stumbling(text, AsFast())
    driven.stumble()
    driven.run()
    assert (driven.numbers, driven.session.next_row) == (list(range(1, 10)), 10)
    assert driven.session.tally.read == 9


def test_one_before_anything_was_sent_is_said_too() -> None:
    text = csv_at(0)
    driven = Driven(text, AsFast(), source=Faulty(text, RuntimeError("broken\nin two lines"), 0)).run()
    assert (driven.numbers, driven.session.next_row) == ([], 1)
    assert driven.session.failure is not None
    assert one_line(driven.session.failure).startswith("unforeseen RuntimeError: broken in two lines (test_replay_ends")


def test_a_display_that_fails_costs_no_report() -> None:
    def fail() -> None:
        raise ValueError

    driven = Driven(csv_at(*[0] * 10), AsFast(), on_tick=fail, outstanding=3, reported_in_ms=200).run()
    assert isinstance(driven.session.failure, ValueError)
    assert driven.sink.outstanding == 0
    assert driven.session.next_row == len(driven.numbers) + 1


def test_rejects_that_can_not_be_written_end_it_with_what_was_sent_accounted_for() -> None:
    class Full(Kept):
        def add(self, rejects: object) -> None:
            del rejects
            raise RejectsFileError("--rejects x: No space left on device")

    driven = Driven("transaction_id,timestamp,amount\na,0,1\nb,0,x\nc,0,1\n", AsFast(), outstanding=1, reported_in_ms=9)
    driven.session._rejects = Full()
    assert driven.session.run() == "--rejects x: No space left on device"
    assert driven.sink.outstanding == 0
    assert driven.session.failure is None


def test_input_that_can_not_be_read_on_is_said_with_the_summary() -> None:
    text = csv_at(*range(100))
    driven = Driven(text, AsFast(), source=Faulty(text, InputFileError("x.gz: the gzip data is cut off"), 3))
    assert driven.session.run() == "x.gz: the gzip data is cut off"
    assert driven.session.next_row == len(driven.numbers) + 1 > 1


# ---- a last line without its end ----


def unfinished(*times_ms: int) -> str:
    return csv_at(*times_ms).removesuffix("\n")


def test_it_is_sent_and_said() -> None:
    driven = Driven(unfinished(0, 1000)).run()
    assert (driven.numbers, driven.session.next_row) == ([1, 2], 3)
    assert driven.said == ["line 3, the last one, has no end: it is taken as it is"]
    assert driven.session.tally.last_line_unfinished


@pytest.mark.parametrize("grows_ms", [0, 500, 999, 1000, 1500, 2000])
@pytest.mark.parametrize("pace", [ByEventTime(), AtRate(1), AsFast()])
def test_it_is_not_sent_where_the_file_has_grown_before_its_time_came(grows_ms: int, pace: Pace) -> None:
    clock = HandClock()
    grows_at_ns = clock.now_ns + grows_ms * NS_PER_MS
    driven = Driven(unfinished(0, 1000, 2000), pace, clock=clock, grows_at_ns=grows_at_ns).run()
    grown = grows_ms == 0 if isinstance(pace, AsFast) else True
    assert (driven.numbers, driven.session.next_row) == (([1, 2], 3) if grown else ([1, 2, 3], 4))
    assert driven.session.tally.last_line_unfinished
    assert len(driven.said) == 1
    assert driven.said[0].endswith("it is not sent" if grown else "it is taken as it is")
    assert driven.session.tally.read == len(driven.numbers)


def test_nor_with_disorder_which_may_send_others_after_it() -> None:
    clock = HandClock()
    times_ms = range(0, 2000, 10)
    driven = Driven(
        unfinished(*times_ms), order=Shuffled(1000, 3), clock=clock, grows_at_ns=clock.now_ns + 5 * NS_PER_MS
    ).run()
    assert sorted(driven.numbers) == list(range(1, 200))
    assert driven.session.next_row == 200


def test_a_file_with_its_last_end_is_no_business_of_growth() -> None:
    driven = Driven(csv_at(0, 1000), grows_at_ns=0).run()
    assert (driven.numbers, driven.said, driven.session.tally.last_line_unfinished) == ([1, 2], [], False)


# ---- what is said of times ----


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(20, 400))
def test_rows_that_go_back_in_time_are_counted_however_they_were_handed_over(times_ms: list[int], block: int) -> None:
    for pace in (AsFast(), ByEventTime(), AtRate(1000)):
        tally = Driven(csv_at(*times_ms), pace, block=block).run().session.tally
        earlier = sum(time_ms < max(times_ms[:at], default=0) for at, time_ms in enumerate(times_ms))
        assert (tally.earlier_rows, tally.first_ms, tally.last_ms) == (earlier, min(times_ms), max(times_ms))


def test_each_pass_is_counted_by_itself() -> None:
    tally = Driven(csv_at(1000, 3000, 2000), AsFast(), repeat=3).run().session.tally
    assert (tally.earlier_rows, tally.first_ms, tally.last_ms) == (3, 1000, 3000)


def test_a_person_learns_times_span_and_how_many_rows_go_back() -> None:
    driven = Driven(csv_at(3_600_000, 1500, 3000), ByEventTime(2)).run()
    tally, span_ns = driven.session.tally, driven.schedule.span_ns
    assert times_line(tally, span_ns, ZoneInfo("Asia/Shanghai")) == (
        "event times 1970-01-01 08:00:01.500+08:00 to 1970-01-01 09:00:00+08:00, 0.000 s at this pace"
    )
    assert order_line(tally) == (
        "2 of 3 rows are earlier than one before them and go without a wait; "
        "--reverse reads a newest-first file from its end"
    )
    assert order_line(Driven(csv_at(1, 2, 2)).run().session.tally) is None
    assert times_line(Driven(csv_at()).run().session.tally, None, UTC) is None


def test_times_at_the_calendars_end_are_shown_in_any_zone() -> None:
    tally = Driven(csv_at(253_402_300_799_999), AsFast()).run().session.tally
    line = times_line(tally, None, ZoneInfo("Asia/Shanghai"))
    assert line is not None
    assert "9999-12-31 23:59:59.999+00:00, as fast as they can go" in line


def test_the_summary_has_null_where_no_row_was_sent() -> None:
    driven = Driven(csv_at()).run()
    summary = json.loads(summary_json(driven.session.tally, driven.sink, 0, 1))
    assert (summary["earlier_rows"], summary["first_event_time"], summary["last_event_time"]) == (0, None, None)


# ---- the greatest gap ----


def test_no_wait_between_rows_is_longer_than_the_greatest_gap() -> None:
    pace = ByEventTime(2, max_gap_ns=3 * NS_PER_S)
    driven = Driven(csv_at(0, 2000, 86_400_000, 86_402_000, 5, 200_000_000), pace).run()
    assert driven.times == [(1, 0), (2, 1000), (3, 4000), (4, 5000), (5, 5000), (6, 8000)]
    assert driven.event_times == [0, 2000, 86_400_000, 86_402_000, 5, 200_000_000]
    assert driven.schedule.span_ns == 8 * NS_PER_S


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=30), st.integers(1, 400))
def test_a_gap_that_no_wait_reaches_changes_nothing(times_ms: list[int], block: int) -> None:
    free = Driven(csv_at(*times_ms), ByEventTime(), block=block + 40).run()
    bound = Driven(csv_at(*times_ms), ByEventTime(1.0, 10**11 * NS_PER_MS), block=block + 40).run()
    assert free.times == bound.times


def test_it_bounds_the_wait_from_pass_to_pass_and_before_the_first_row_of_a_resumed_replay() -> None:
    pace = ByEventTime(1.0, NS_PER_S)
    driven = Driven(csv_at(0, 60_000), pace, repeat=2, continues=True).run()
    assert [at_ms for _, at_ms in driven.times] == [0, 1000, 2000, 3000]
    assert Driven(csv_at(0, 60_000, 60_500), pace, start_row=2).run().times == [(2, 0), (3, 500)]


@pytest.mark.parametrize("pace", [ByEventTime(), ByEventTime(4), ByEventTime(1.0, NS_PER_S), AtRate(3)])
@given(times_ms=st.lists(st.integers(0, 5000), min_size=1, max_size=20))
def test_a_dry_run_sends_at_once_and_knows_how_long_it_would_take(pace: Pace, times_ms: list[int]) -> None:
    dry = Driven(csv_at(*times_ms), pace, at_once=True).run()
    real = Driven(csv_at(*times_ms), pace).run()
    assert {at_ms for _, at_ms in dry.times} == {0}
    assert dry.schedule.span_ns == real.schedule.span_ns
    assert real.schedule.span_ns is not None
    assert abs(real.times[-1][1] - real.schedule.span_ns / NS_PER_MS) <= 1
