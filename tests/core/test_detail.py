"""What aggregates hold for some detectors only: each key's extremes, and its latest record."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histories.decoder_oracle import exactly
from service.core.model import (
    Aggregate,
    AggregateDetail,
    ClockName,
    LatePolicy,
    Offset,
    Progress,
    Transaction,
    WallTimeMs,
    WindowClosed,
)
from service.core.task import PartitionTask
from tests.driver import T0, Driver, rules, tx
from tests.strategies import BATCHES, Batch

BOTH = AggregateDetail(extremes=True, latest=True)
SIZE_MS = 1_000
Read = tuple[int, int, Transaction]
"""Offset, wall clock and record."""


def run(
    clock: ClockName, policy: LatePolicy, future_ms: int, batches: list[Batch]
) -> tuple[list[Read], list[WindowClosed]]:
    """Read all batches and close every window: the records that were not set aside, and the windows."""
    changed = {"clock": clock, "late_policy": policy, "max_future_ms": future_ms, "window_size_ms": SIZE_MS}
    task = PartitionTask(rules(detail=BOTH, **changed), WallTimeMs(T0), Progress(Offset(7), None))
    now_ms, offset = WallTimeMs(T0), 7
    kept: list[Read] = []
    for batch in batches:
        now_ms = WallTimeMs(now_ms + batch.after_ms)
        task.tick(now_ms)
        offsets = [Offset(offset + 3 * number) for number in range(len(batch.records))]
        appended = [now_ms] * len(offsets)
        set_aside = task.accept(now_ms, offsets, batch.records, lambda times=appended: times).set_aside  # type: ignore[misc]
        skipped = {one.offset for one in set_aside}
        kept += [(at, now_ms, one) for at, one in zip(offsets, batch.records, strict=True) if at not in skipped]
        offset += 3 * len(offsets)
        task.arrived(now_ms, Offset(offset))
    task._clock.close_open()
    return kept, task.take_closed()


@settings(max_examples=150)
@given(
    st.sampled_from(ClockName),
    st.sampled_from(LatePolicy),
    st.sampled_from([0, 1_000]),
    st.lists(BATCHES, max_size=8),
)
def test_extremes_and_the_latest_record_are_those_of_the_windows_records(
    clock: ClockName, policy: LatePolicy, future_ms: int, batches: list[Batch]
) -> None:
    kept, closed = run(clock, policy, future_ms, batches)
    held: dict[tuple[int, str], list[Read]] = defaultdict(list)
    for one in kept:
        time_ms = one[2].timestamp if clock is ClockName.EVENT else one[1]
        held[time_ms // SIZE_MS * SIZE_MS, one[2].transaction_id].append(one)
    found = {(one.window.start_ms, key): each for one in closed for key, each in one.aggregates.items()}
    assert held.keys() == found.keys()
    for key, records in held.items():
        amounts = [exactly(one.amount) for _, _, one in records]
        assert (max(amounts), min(amounts)) == (exactly(found[key].greatest), exactly(found[key].least))
        newest_ms = max(one.timestamp for _, _, one in records)
        assert next(at for at, _, one in records if one.timestamp == newest_ms) == found[key].latest_offset
        assert records[-1][1] == found[key].arrived_ms


def only(*amounts: float | Decimal) -> Aggregate:
    """The aggregate of one window with these amounts."""
    driver = Driver(detail=AggregateDetail(extremes=True))
    driver.read(*(tx(0, amount) for amount in amounts))
    (aggregate,) = driver.close(10_000).aggregates.values()
    return aggregate


ABOVE = Decimal("0.1000000000000000001")
"""Greater than 0.1, and less than the binary fraction that the float 0.1 is."""


@pytest.mark.parametrize("amounts", [(0.1, ABOVE), (ABOVE, 0.1), (0.1, ABOVE, 0.1), (ABOVE, 0.1, ABOVE)])
def test_a_float_and_a_decimal_compare_as_the_decimals_that_were_written(amounts: tuple[float | Decimal, ...]) -> None:
    assert Fraction(ABOVE) < Fraction(0.1)
    aggregate = only(*amounts)
    assert (ABOVE, Decimal("0.1")) == (aggregate.greatest, aggregate.least)


def test_a_window_of_floats_has_float_extremes() -> None:
    aggregate = only(2.5, 0.1, 7.25)
    assert ["7.25", "0.1"] == [repr(aggregate.greatest), repr(aggregate.least)]


def test_a_record_below_the_closed_windows_of_append_time_counts_in_the_open_one() -> None:
    task = PartitionTask(rules(clock=ClockName.INGESTION, detail=BOTH), WallTimeMs(T0), Progress(Offset(0), None))
    times = [WallTimeMs(T0), WallTimeMs(T0 + 10_000), WallTimeMs(T0 + 1)]
    records = [tx(0, 1.0), tx(1, 2.0), tx(2, 9.0)]
    task.accept(WallTimeMs(T0 + 10_001), [Offset(0), Offset(1), Offset(2)], records, lambda: times)
    task._clock.close_open()
    first, second = (one.aggregates["tx1"] for one in task.take_closed())
    assert (1.0, 1.0, 0) == (first.greatest, first.least, first.latest_offset)
    assert (9.0, 2.0, 2, 1) == (second.greatest, second.least, second.latest_offset, second.late_count)


@pytest.mark.parametrize("clock", ClockName)
@pytest.mark.parametrize(
    ("wanted", "there", "missing"),
    [
        (AggregateDetail(), (), ("greatest", "least", "latest_offset", "arrived_ms")),
        (AggregateDetail(extremes=True), ("greatest", "least"), ("latest_offset", "arrived_ms")),
        (AggregateDetail(latest=True), ("latest_offset", "arrived_ms"), ("greatest", "least")),
    ],
)
def test_an_aggregate_holds_what_is_asked_for_and_says_so_of_the_rest(
    clock: ClockName, wanted: AggregateDetail, there: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    task = PartitionTask(rules(clock=clock, detail=wanted), WallTimeMs(T0), Progress(Offset(0), None))
    task.accept(WallTimeMs(T0), [Offset(0)], [tx(0)], lambda: [WallTimeMs(T0)])
    task._clock.close_open()
    (closed,) = task.take_closed()
    aggregate = closed.aggregates["tx1"]
    assert [False] * len(there) == [getattr(aggregate, name) is None for name in there]
    for name in missing:
        with pytest.raises(RuntimeError, match="no detector has asked for AggregateDetail"):
            getattr(aggregate, name)
