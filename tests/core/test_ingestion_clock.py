"""The clock of append times by itself: runs of records, what is committed, and how it starts from that."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.clocks.ingestion import IngestionClock
from service.core.model import (
    Accepted,
    ClockName,
    EventTimeMs,
    LatePolicy,
    Offset,
    Progress,
    ReadAhead,
    Reason,
    SetAside,
    WallTimeMs,
)
from service.core.watermark import BoundedOutOfOrderness
from tests.driver import T0, rules, tx

LATENESS_MS = 1_000


def ahead(**changed: Any) -> ReadAhead:  # noqa: ANN401
    """What an owner with the default rules commits; times are milliseconds after the epoch."""
    usual: dict[str, Any] = {
        "read": Offset(0),
        "watermark_ms": None,
        "closed_to_ms": None,
        "clock": ClockName.INGESTION,
        "window_size_ms": 10_000,
        "lateness_ms": LATENESS_MS,
        "max_future_ms": 300_000,
        "late_policy": LatePolicy.INCLUDE,
    }
    return ReadAhead(**{**usual, **changed})


class Driven:
    """A clock; records are read at the next offsets, and all times are milliseconds after T0."""

    def __init__(self, earlier: ReadAhead | None = None, **changed: Any) -> None:  # noqa: ANN401
        """Start where an earlier owner left."""
        self.watermark = BoundedOutOfOrderness(LATENESS_MS)
        self.clock = IngestionClock(rules(clock=ClockName.INGESTION, **changed), self.watermark, earlier)
        self.offset = 0

    def read(self, *records: tuple[int, int]) -> Accepted:
        """Read one batch of (append time, event time)."""
        offsets = [Offset(self.offset + number) for number in range(len(records))]
        self.offset += len(records)
        times = [WallTimeMs(T0 + appended_ms) for appended_ms, _ in records]
        return self.clock.accept(WallTimeMs(T0), offsets, [tx(event_ms) for _, event_ms in records], lambda: times)

    def windows(self) -> list[tuple[int, int]]:
        """Start and count of records of each closed window."""
        self.clock.close_open()
        found = [(one.window.start_ms - T0, one.aggregates["tx1"].count) for one in self.clock.closed]
        self.clock.closed = []
        return found

    def progress(self) -> Progress:
        """What is committed after all that was read."""
        return self.clock.progress(Offset(self.offset))


def test_before_the_first_record_nothing_is_closed() -> None:
    assert Progress(Offset(0), None, ahead()) == Driven().progress()


def test_what_is_committed_after_a_close_has_the_end_of_what_is_closed() -> None:
    driven = Driven(late_policy=LatePolicy.DROP, max_future_ms=7_000)
    driven.read((0, 5_000), (1, 3_000))
    driven.clock.at_end(WallTimeMs(T0 + 11_000), WallTimeMs(T0))
    watermark_ms = EventTimeMs(T0 + 4_000)
    expected = ahead(
        read=Offset(2), watermark_ms=watermark_ms, closed_to_ms=T0 + 10_000, late_policy=LatePolicy.DROP,
        max_future_ms=7_000,
    )  # fmt: skip
    assert Progress(Offset(2), watermark_ms, expected) == driven.progress()


def test_what_is_committed_with_an_open_window_starts_at_its_first_record() -> None:
    driven = Driven()
    driven.read((0, 5_000), (10_000, 6_000), (10_001, 9_000))
    expected = ahead(read=Offset(3), watermark_ms=EventTimeMs(T0 + 8_000), closed_to_ms=T0 + 10_000)
    assert Progress(Offset(1), EventTimeMs(T0 + 4_000), expected) == driven.progress()


@pytest.mark.parametrize(("appended_ms", "late"), [(19_999, 1), (20_000, 0)])
def test_the_next_owner_keeps_closed_what_was_closed(appended_ms: int, late: int) -> None:
    driven = Driven(ahead(closed_to_ms=T0 + 20_000), late_policy=LatePolicy.DIVERT)
    assert late == driven.read((appended_ms, 0)).late


def test_a_window_is_closed_by_a_record_appended_exactly_at_its_end() -> None:
    driven = Driven()
    driven.read((9_999, 0))
    driven.read((10_000, 0))
    assert [(0, 1), (10_000, 1)] == driven.windows()


def test_several_records_of_closed_windows_are_all_late_in_the_open_one() -> None:
    driven = Driven()
    driven.read((10_000, 0))
    assert 3 == driven.read((9_999, 5), (1, 6), (9_998, 7)).late
    driven.clock.close_open()
    (window,) = driven.clock.closed
    assert (4, 3) == (window.aggregates["tx1"].count, window.aggregates["tx1"].late_count)


def test_a_window_that_a_late_record_opens_starts_recovery_at_that_record() -> None:
    driven = Driven(ahead(closed_to_ms=T0 + 10_000))
    driven.offset = 7
    driven.read((9_999, 0))
    assert 7 == driven.progress().offset


def test_an_event_time_exactly_as_far_ahead_as_allowed_is_taken_and_the_next_is_not() -> None:
    driven = Driven(max_future_ms=1_000)
    why = f"timestamp {T0 + 1_501} is 1001 ms ahead of the append time, allowed are 1000"
    expected = Accepted(0, [SetAside(Offset(1), Reason.TIMESTAMP_IN_FUTURE, why)])
    assert expected == driven.read((500, 1_500), (500, 1_501), (600, 1_600))
    assert [(0, 2)] == driven.windows()


def test_offsets_of_records_behind_one_that_is_set_aside_are_their_own() -> None:
    driven = Driven(max_future_ms=1_000)
    driven.read((0, 9_999), (1, 0), (10_000, 0))
    (window, *_) = driven.clock.closed
    assert (1, 1) == (window.aggregates["tx1"].first_offset, window.aggregates["tx1"].last_offset)


def test_without_a_limit_no_event_time_is_too_far_ahead() -> None:
    assert Accepted(0, []) == Driven(max_future_ms=0).read((0, 10**9))


@given(st.lists(st.lists(st.integers(0, 49_999), min_size=1, max_size=8), max_size=8))
def test_any_batches_give_the_same_windows_as_one_record_at_a_time(batches: Sequence[Sequence[int]]) -> None:
    at_once, one_by_one = Driven(), Driven()
    for batch in batches:
        found = at_once.read(*((appended_ms, 0) for appended_ms in batch))
        assert found.late == sum(one_by_one.read((appended_ms, 0)).late for appended_ms in batch)
    assert one_by_one.progress() == at_once.progress()
    assert one_by_one.windows() == at_once.windows()


def test_a_keys_aggregate_in_the_open_window_can_be_looked_at() -> None:
    driven = Driven()
    assert None is driven.clock.open_aggregate("tx1")
    driven.read((0, 0))
    found = driven.clock.open_aggregate("tx1")
    assert found is not None
    assert 1 == found.count
    assert None is driven.clock.open_aggregate("another")
