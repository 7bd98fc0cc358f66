"""Other settings after a restart: every record is in one window of the old or of the new ones, or set aside, once."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from histories.clock_oracle import Rules
from service.core.model import ClockName, LatePolicy
from tests.loop import FakeKafka, Loop, pay
from tests.unit.test_clock_histories import EVENT, INGESTION, PARTITIONS, STEPS, Crash, History, Put, Step, Turn

PROCESSING = st.builds(
    Rules,
    st.just("processing"),
    st.sampled_from([7, 1_000, 5_000]),
    st.sampled_from([0, 1_000]),
    st.sampled_from(["include", "divert"]),
)
# What is dropped cannot be found again.
ERAS = st.lists(
    st.tuples((PROCESSING | INGESTION | EVENT).filter(lambda rules: rules.policy != "drop"), STEPS),
    min_size=2,
    max_size=4,
)
ONE: list[tuple[int, int, str] | int | None] = [(0, 100, "a")]
OPEN_WINDOW: list[Step] = [Put(0, ONE), Turn(1), Turn(11_000)]
AGAIN: list[Step] = [Put(0, ONE), Turn(1)]


@settings(max_examples=150)
@given(ERAS)
@example([(Rules("event", 60_000, 1_000, "divert"), OPEN_WINDOW), (Rules("processing", 5_000, 0, "include"), AGAIN)])
@example([(Rules("event", 60_000, 1_000, "divert"), OPEN_WINDOW), (Rules("event", 5_000, 0, "divert"), AGAIN)])
@example([(Rules("ingestion", 60_000, 0, "include"), OPEN_WINDOW), (Rules("event", 5_000, 0, "divert"), AGAIN)])
@example([(Rules("processing", 5_000, 0, "include"), OPEN_WINDOW), (Rules("ingestion", 5_000, 0, "include"), AGAIN)])
def test_every_record_is_accounted_for_once_under_changing_settings(eras: list[tuple[Rules, list[Step]]]) -> None:
    history = History(eras[0][0])
    for rules, steps in eras:
        history.rules = rules
        history.do(Crash())
        for step in steps:
            history.do(step)
    history.rules = Rules("processing", 1_000, 1_000, "include")  # it leaves nothing open
    history.to_the_end([])
    aside = history.set_aside("dead") + history.set_aside("late")
    assert len(aside) == len(set(aside))
    due: dict[tuple[int, str], list[Fraction]] = {}
    for partition in PARTITIONS:
        for record in history.partition(partition):
            if (partition, record.offset) not in aside:
                one = json.loads(record.value, parse_float=Fraction)
                due.setdefault((partition, one["transaction_id"]), []).append(Fraction(one["amount"]))
    sums: dict[tuple[int, str], Fraction] = {}
    counts: Counter[tuple[int, str]] = Counter()
    for one in history.aggregates():
        place = (one["source"]["partition"], one["transaction_id"])
        sums[place] = sums.get(place, Fraction(0)) + Fraction(one["amount"])
        counts[place] += one["count"]
    assert {place: sum(amounts) for place, amounts in due.items()} == sums
    assert {place: len(amounts) for place, amounts in due.items()} == dict(counts)


def loop(kafka: FakeKafka | None, now: int, **changed: Any) -> Loop:  # noqa: ANN401
    """A service by event time, with windows of 10 s, unless it is changed."""
    usual = {"clock": ClockName.EVENT, "late_policy": LatePolicy.DIVERT, "late": "late"}
    return Loop(kafka, now=now, **{**usual, **changed})


def windows(kafka: FakeKafka) -> list[tuple[str, int, float]]:
    """Clock, length and sum of what was committed."""
    found = [json.loads(one.value or b"") for one in kafka.out if one.topic == "aggregates"]
    return [(o["window"]["clock"], o["window"]["end"] - o["window"]["start"], o["amount"]) for o in found]


def turned(one: Loop, times: Iterable[int]) -> FakeKafka:
    """After these turns."""
    one.turn(*times)
    return one.kafka


def test_a_window_that_is_open_when_its_size_changes_is_closed_as_it_was() -> None:
    first = loop(None, 0)
    first.put(pay(1_000, 1.0), pay(2_000, 2.0))
    second = loop(turned(first, [1, 10_001]), 10_002, window_size_ms=5_000)
    second.turn(10_003, 10_004)
    assert [("event", 10_000, 3.0)] == windows(second.kafka)
    assert ["the settings of windows have changed"] == [line["why"] for line in second.events("windows_cut")]
    second.put(pay(3_000, 4.0), pay(9_000, 8.0))
    second.turn(10_005)
    assert [("event", 10_000, 3.0), ("event", 5_000, 4.0)] == windows(second.kafka)


def test_a_window_that_is_open_when_the_clock_becomes_processing_is_closed_at_the_next_boundary() -> None:
    first = loop(None, 0)
    first.put(pay(1_000, 1.0))
    second = loop(turned(first, [1, 10_001]), 10_002, clock=ClockName.PROCESSING)
    second.put(pay(2_000, 2.0))
    second.turn(10_003, 10_004)
    assert [] == windows(second.kafka)
    second.turn(20_000)
    assert [("event", 10_000, 1.0), ("processing", 10_000, 2.0)] == windows(second.kafka)
    assert '{"txwatch":1,' in second.kafka.metadata[0]


def test_after_processing_the_watermark_goes_on() -> None:
    first = loop(None, 0, clock=ClockName.PROCESSING)
    first.put(pay(25_000, 1.0))
    second = loop(turned(first, [1, 10_001]), 10_002)
    second.put(pay(19_999, 2.0), pay(20_000, 4.0))
    second.turn(10_003, 20_000)
    assert [b"late"] == [dict(one.headers or [])["txwatch.reason"] for one in second.records("late")]
    assert 2 == second.of_partition("records_late_total", 0)
