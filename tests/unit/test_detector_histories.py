"""What detectors find and remember follows from the input to the last bit, whatever goes wrong and whenever."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histories.clock_oracle import Rules, expect
from histories.detector_audit import Due, Outputs, differences
from histories.detector_oracle import Rule, fold
from service.app.detectors import configured, detail_for
from service.settings import load
from tests.loop import TOPIC, Loop
from tests.unit.settings_files import NO_FILE
from tests.unit.test_clock_histories import (
    EVENT,
    INGESTION,
    PARTITIONS,
    STEPS,
    Crash,
    Fail,
    History,
    Put,
    Slow,
    Step,
    Take,
    Turn,
    undisturbed,
)  # fmt: skip

FORGET_AFTER_MS: Final = 8_000
NAMED: Final[Sequence[Rule]] = (
    {"name": "sum", "type": "threshold", "limit": 8_000, "limits": {"a": "5000.5"}},
    {"name": "least", "type": "threshold", "of": "min", "limit": 300, "direction": "below", "mode": "shadow"},
    {"name": "mean", "type": "threshold", "of": "mean", "limit": 7_000},
    {"name": "max", "type": "threshold", "of": "max", "limit": 6_000, "resolve_after": 2, "resolve_after_ms": 2_500},
    {
        "name": "both", "type": "deviation", "sigmas": 0.75, "direction": "both", "min_windows": 2, "clip_sigmas": 1.5,
        "resolve_after": 1,
    },
    {"name": "recent", "type": "deviation", "of": "count", "sigmas": 0.5, "min_windows": 2, "half_life": 2.5},
    {"name": "silent", "type": "inactivity", "after_ms": 2_000},
    {"name": "very-silent", "type": "inactivity", "after_ms": 6_000, "mode": "shadow"},
)  # fmt: skip


def _history(rules: Rules, batch: int = 500) -> History:
    detectors = configured(load(NO_FILE, {"DETECTORS": json.dumps(NAMED)}).settings)
    detail = detail_for(detectors)
    return History(rules, batch, detectors=detectors, detail=detail, forget_after_ms=FORGET_AFTER_MS)


def _outputs(loop: Loop) -> Outputs:
    states: dict[tuple[int, str, str], bytes] = {}
    for record in loop.records("state"):
        detector, _, key = (record.key or b"").decode().partition("\0")
        place = (record.partition or 0, detector, key)
        states.pop(place, None)
        if record.value is not None:
            states[place] = record.value
    alerts, shadow = (
        [json.loads(record.value or b"", parse_float=Decimal) for record in loop.records(topic)]
        for topic in ("alerts", "shadow")
    )
    return Outputs(alerts, shadow, states)


def _lasting(found: Outputs) -> list[Any]:
    alerts = [{**one, "detected_at": 0} for one in (*found.alerts, *found.shadow)]
    return [sorted(json.dumps(one, sort_keys=True, default=str) for one in alerts), found.states]


def _due(history: History) -> Due:
    due = Due()
    for partition in PARTITIONS:
        windows = expect(history.partition(partition), history.rules).closed(history.rules)
        due.add(partition, fold(NAMED, TOPIC, partition, windows, forget_after_ms=FORGET_AFTER_MS))
    return due


def _check(steps: list[Step], rules: Rules, batch: int) -> None:
    history = _history(rules, batch).to_the_end(steps)
    found = _outputs(history.loop)
    assert differences(_due(history), found) == []
    calm = _history(rules).to_the_end(undisturbed(steps))
    assert _lasting(_outputs(calm.loop)) == _lasting(found)


@settings(max_examples=100)
@given(STEPS, INGESTION, st.sampled_from([1, 3, 500]))
def test_by_append_time_detectors_find_and_remember_what_the_input_says(
    steps: list[Step], rules: Rules, batch: int
) -> None:
    _check(steps, rules, batch)


@settings(max_examples=100)
@given(STEPS, EVENT, st.sampled_from([1, 3, 500]))
def test_by_event_time_detectors_find_and_remember_what_the_input_says(
    steps: list[Step], rules: Rules, batch: int
) -> None:
    _check(steps, rules, batch)


# ---- a long history, in which all of it happens ----------------------------------------------------------------

FAULTS: Final[Sequence[Step]] = (
    Crash(), Fail("send"), Fail("commit"), Fail("restore"), Fail("ends"), Take(0, lost=False, back=True),
    Take(1, lost=True, back=True), Slow(0), Slow(1),
)  # fmt: skip
CLOCKS: Final = (Rules("ingestion", 1_000, 1_000, "include"), Rules("event", 1_000, 1_000, "divert"))


def _long() -> list[Step]:
    """Two minutes with a fault every few seconds. Each key sleeps for 3 s of 12, and one for 20 s of each minute."""
    dice = random.Random(19)  # noqa: S311 - no secret
    steps: list[Step] = []
    for second in range(120):
        for partition in PARTITIONS:
            awake = "abc" if second % 60 >= 20 else "ab"
            keys = [key for at, key in enumerate(awake) if second // 3 % 4 != at]
            values = [(dice.randrange(-1_500, 500), dice.randrange(1_000_000), key) for key in keys * 2]
            steps += [Put(partition, [one]) for one in values if dice.random() < 0.7]
        steps += [Turn(dice.choice([0, 400])), Turn(600)]
        if dice.random() < 0.3:
            steps.append(dice.choice(FAULTS))
    return steps


@pytest.mark.parametrize("rules", CLOCKS, ids=lambda one: one.name)
def test_all_kinds_of_alerts_and_states_come_up_in_a_long_history(rules: Rules) -> None:
    steps = _long()
    _check(steps, rules, 3)
    due = _due(_history(rules).to_the_end(steps))
    seen = Counter((one["detector"], one.get("status")) for one in (*due.alerts, *due.shadow))
    assert set(seen) == {
        *(("sum", None), ("least", None), ("mean", None), ("recent", None), ("silent", None), ("very-silent", None)),
        *((name, status) for name in ("max", "both") for status in ("open", "resolved")),
    }
    assert min(seen.values()) >= 2, seen


def test_partitions_that_are_added_after_the_last_window_drop_states_too(right: tuple[Due, Outputs]) -> None:
    closed = expect(_history(CLOCKS[0]).to_the_end(_long()).partition(0), CLOCKS[0]).closed(CLOCKS[0])
    asked: list[float] = []

    def moves(before_ms: float) -> Callable[[str], bool] | None:
        asked.append(before_ms)
        return (lambda key: key == "a") if before_ms == math.inf else None

    states = [one.states for one in fold(NAMED, TOPIC, 0, closed, forget_after_ms=FORGET_AFTER_MS, moves=moves)]
    kept = {name for partition, name, key in right[0].states if (partition, key) == (0, "b")}
    assert len(asked) == len(closed) + 1
    assert kept
    assert sum("b" in one for one in states) == len(kept)
    assert not any("a" in one for one in states)


# ---- what the audit says when something is wrong --------------------------------------------------------------


@pytest.fixture(scope="module")
def right() -> tuple[Due, Outputs]:
    """What a long history must give, and what was committed."""
    history = _history(CLOCKS[0]).to_the_end(_long())
    return _due(history), _outputs(history.loop)


def _first_state(found: Outputs, detector: str) -> tuple[int, str, str]:
    return min(one for one in found.states if one[1] == detector)


def _without_a_state(found: Outputs) -> Outputs:
    gone = _first_state(found, "silent")
    return replace(found, states={one: state for one, state in found.states.items() if one != gone})


def _with_an_older_state(found: Outputs) -> Outputs:
    one = _first_state(found, "both")
    held = msgspec.msgpack.decode(found.states[one][1:])
    held[2][0] -= 1
    return replace(found, states={**found.states, one: found.states[one][:1] + msgspec.msgpack.encode(held)})


def _with_another_mean(found: Outputs) -> Outputs:
    one = _first_state(found, "both")
    held = msgspec.msgpack.decode(found.states[one][1:])
    held[2][1] *= 1 + 1e-7
    return replace(found, states={**found.states, one: found.states[one][:1] + msgspec.msgpack.encode(held)})


def _last_alert(found: Outputs, **fields: Any) -> int:  # noqa: ANN401
    return max(at for at, one in enumerate(found.alerts) if all(one.get(name) == x for name, x in fields.items()))


def _without_the_end_of_an_episode(found: Outputs) -> Outputs:
    at = _last_alert(found, status="resolved")
    return replace(found, alerts=[*found.alerts[:at], *found.alerts[at + 1 :]])


def _with_a_silence_twice(found: Outputs) -> Outputs:
    return replace(found, alerts=[*found.alerts, found.alerts[_last_alert(found, detector="silent")]])


def _with_another_peak(found: Outputs) -> Outputs:
    at = _last_alert(found, status="resolved")
    other = {**found.alerts[at], "peak": found.alerts[at]["peak"] + Decimal("0.01")}
    return replace(found, alerts=[*found.alerts[:at], other, *found.alerts[at + 1 :]])


def _with_an_episode_of_another_id(found: Outputs) -> Outputs:
    at = _last_alert(found, status="resolved")
    other = {**found.alerts[at], "episode_id": "other"}
    return replace(found, alerts=[*found.alerts[:at], other, *found.alerts[at + 1 :]])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_without_a_state, "state missing"),
        (_with_an_older_state, "state of"),
        (_with_another_mean, "state of"),
        (_without_the_end_of_an_episode, "alert missing"),
        (_with_a_silence_twice, "is there 2 times"),
        (_with_another_peak, "alert where"),
        (_with_an_episode_of_another_id, "was never opened"),
    ],
)
def test_the_audit_finds_what_is_wrong(
    right: tuple[Due, Outputs], spoil: Callable[[Outputs], Outputs], says: str
) -> None:
    due, found = right
    assert differences(due, found) == []
    assert any(says in fault for fault in differences(due, spoil(found)))
