"""Silence by event time: judged at a window's close, reported once, armed again by the next event."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.detectors import KeyWindow
from service.core.detectors.inactivity import Inactivity, LastEvent
from service.core.memory.alerts import Alert
from service.core.model import ClockName, EventTimeMs, Offset, TumblingWindow
from tests.core.remembering import Remembering, silence
from tests.driver import T0


def silent(alerts: list[Alert]) -> list[tuple[str, int]]:
    """Key, and begin of the silence after T0."""
    return [(alert.transaction_id, alert.facts.start_ms - T0) for alert in alerts]


def test_a_silence_is_reported_once_and_again_after_the_next_event() -> None:
    one = Remembering(silence(30_000))
    one.see(0, a=1.0)
    one.see(10_000, b=1.0)
    assert [] == one.see(20_000 - 1, b=1.0)  # ends one millisecond before the deadline
    assert [("a", 0)] == silent(one.see(20_000, b=1.0))
    assert [] == silent(one.see(40_000, b=1.0))
    one.see(50_000, a=1.0, b=1.0)
    assert [] == silent(one.see(60_000, b=1.0))
    assert [("a", 50_000)] == silent(one.see(70_000, b=1.0))


def test_the_alert_is_as_documented() -> None:
    one = Remembering(silence(30_000))
    one.see(0, a=1.0)
    (alert,) = one.see(20_000, 31_000, b=1.0)
    facts = alert.facts
    assert (T0, T0, 0, 0, "0.0") == (
        facts.timestamp,
        facts.max_timestamp,
        facts.first_offset,
        facts.last_offset,
        facts.amount,
    )
    assert (0, "30000", "event", T0 + 31_000) == (facts.count, facts.limit, facts.clock, facts.watermark)
    assert (T0, T0 + 30_000) == (facts.start_ms, facts.end_ms)


def test_by_event_time_the_end_of_the_window_that_closes_decides_not_the_watermark() -> None:
    one = Remembering(silence(30_000))
    one.see(0, a=1.0)
    assert [] == one.see(10_000, 500_000, b=1.0)


@pytest.mark.parametrize("clock", [ClockName.PROCESSING, ClockName.INGESTION])
def test_by_the_other_clocks_the_watermark_decides(clock: ClockName) -> None:
    one = Remembering(silence(30_000), clock=clock)
    one.see(0, 0, a=1.0)
    assert [] == one.see(100_000, 29_999, b=1.0)
    assert [("a", 0)] == silent(one.see(110_000, 30_000, b=1.0))


def test_a_late_event_that_is_older_than_what_is_known_changes_nothing() -> None:
    one = Remembering(silence(30_000))
    one.see(20_000, a=1.0)
    one.see(0, 30_000, a=1.0)
    assert [("a", 20_000)] == silent(one.see(40_000, b=1.0))


def test_what_was_reported_stays_reported_after_a_restart_and_an_abort_reports_nothing() -> None:
    one = Remembering(silence(30_000))
    one.see(0, a=1.0)
    closing = one.window(30_000, b=1.0)
    one.abort(closing)
    assert [("a", 0)] == silent(one.commit(closing))
    assert [] == one.restarted().see(50_000, b=1.0)


def test_a_deadline_outlives_a_restart() -> None:
    one = Remembering(silence(30_000))
    one.see(0, a=1.0)
    assert [("a", 0)] == silent(one.restarted().see(30_000, b=1.0))


EVENTS = st.lists(st.sets(st.sampled_from("abcd")), min_size=1, max_size=25)


@given(EVENTS, st.integers(1, 6), st.lists(st.integers(1, 4), min_size=1), st.booleans())
def test_the_silences_are_those_of_a_brute_force_look_whatever_txns_and_restarts_there_are(
    events: list[set[str]],
    after: int,
    sizes: list[int],
    restart: bool,  # noqa: FBT001
) -> None:
    after_ms = after * 10_000 - 5_000
    one = Remembering(silence(after_ms))
    windows = [one.window(start * 10_000, **dict.fromkeys(sorted(keys), 1.0)) for start, keys in enumerate(events)]
    windows = [window for window in windows if window.aggregates]
    found, at, turn = list[tuple[str, int]](), 0, 0
    while at < len(windows):
        size = sizes[turn % len(sizes)]
        found += silent(one.commit(*windows[at : at + size]))
        at, turn = at + size, turn + 1
        one = one.restarted() if restart else one
    expected = []
    for key in "abcd":
        seen = [start * 10_000 for start, keys in enumerate(events) if key in keys]
        for last, following in pairwise([*seen, 1_000_000]):
            ends = [
                (window.window.end_ms - T0) for window in windows if last <= window.window.start_ms - T0 < following
            ]
            expected += [(key, last)] if any(end >= last + after_ms for end in ends) else []
    assert sorted(expected) == sorted(found)


def test_by_wall_an_event_of_a_topic_that_was_created_again_is_new_and_one_that_is_read_again_is_not() -> None:
    detector = Inactivity(after_ms=30_000, clock="wall")
    known = LastEvent(EventTimeMs(T0), Offset(1_000_000), T0, reported=True)
    one = Remembering()
    (again,) = one.window(0, a=1.0).aggregates.values()
    (new,) = one.window(10_000, a=1.0).aggregates.values()
    for aggregate, state in ((again, known), (new, None)):
        window = KeyWindow("a", aggregate, TumblingWindow(T0, T0 + 10_000), EventTimeMs(T0))
        found, _ = detector.judge(known, window)
        assert (found is known) == (state is known)


def test_a_partition_and_the_topic_go_by_the_wall_clock_only() -> None:
    with pytest.raises(ValueError, match="scope topic needs clock wall"):
        Inactivity(after_ms=1, scope="topic", clock="event")


def test_a_key_that_was_forgotten_is_not_silent() -> None:
    one = Remembering(silence(60_000), forget_after_ms=30_000)
    one.see(0, a=1.0)
    one.see(30_000, b=1.0)
    assert ["b"] == [key for key, _ in silent(one.see(100_000, 99_000, c=1.0))]
