"""Other detectors while the loop runs: they judge from a boundary on, in all partitions; nothing is judged twice."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from service.core.detectors import ConfiguredDetector, Of
from service.core.detectors.threshold import Threshold
from service.core.memory.states import any_entry
from service.core.model import AggregateDetail, ClockName, LatePolicy, Offset
from service.loop.errors import Abortable, Retriable
from service.wire.progress import decode_progress
from tests.core.remembering import Counting, threshold
from tests.loop import Loop, pay
from tests.unit.test_worker_detectors import states

BY_EVENT: dict[str, Any] = {"clock": ClockName.EVENT, "late_policy": LatePolicy.DIVERT}
LOW = threshold("low", 10)
HIGH = threshold("high", 100)
COUNT = ConfiguredDetector("count", Counting())


def judged(loop: Loop) -> list[tuple[str, str, float, int]]:
    """What was found: by which rules and detector, the sum, and the window's number."""
    return [
        (one["rules"], one["detector"], one["amount"], one["window"]["start"] // 10_000 % 100)
        for one in loop.payloads("alerts")
    ]


def start(*detectors: ConfiguredDetector, **more: Any) -> Loop:  # noqa: ANN401
    """A loop with rules of the hash ``old``."""
    return Loop(detectors=detectors, rules_hash="old", **more)


def numbers(loop: Loop) -> list[tuple[str, str, float, int]]:
    """judged(), with windows counted from the first one."""
    found = judged(loop)
    return [(rules, name, amount, number - found[0][3]) for rules, name, amount, number in found]


def test_by_processing_the_window_that_is_open_ends_by_the_old_rules_and_the_next_one_has_the_new_ones() -> None:
    loop = start(LOW, partitions=(0, 1))
    loop.put(pay(0, 50.0))
    loop.put(pay(0, 60.0, "other"), partition=1)
    loop.turn(1)
    loop.change("new", HIGH)
    loop.turn(2, 3)
    assert "old" == loop.rules_hash, "the window is open"
    loop.turn(10_000, 10_001)
    assert "new" == loop.rules_hash
    loop.put(pay(10_000, 50.0), pay(10_000, 500.0, "tx2"))
    loop.put(pay(10_000, 600.0, "other"), partition=1)
    loop.turn(10_002, 20_000)
    assert [
        ("old", "low", 50.0, 0), ("old", "low", 60.0, 0), ("new", "high", 500.0, 1), ("new", "high", 600.0, 1),
    ] == numbers(loop)  # fmt: skip
    assert 5 == len(loop.sums())


def test_records_that_come_with_the_boundary_are_read_again_and_judged_once_by_the_new_rules() -> None:
    loop = start(LOW)
    loop.put(pay(0, 50.0))
    loop.turn(1)
    loop.change("new", HIGH)
    loop.put(pay(10_000, 500.0))
    loop.turn(10_000, 10_001, 10_002, 20_000)
    assert [("old", "low", 50.0, 0), ("new", "high", 500.0, 1)] == numbers(loop)
    assert 2 == loop.of_partition("records_total")


@pytest.mark.parametrize("clock", [ClockName.EVENT, ClockName.INGESTION])
def test_by_the_other_clocks_open_windows_are_read_again_from_the_committed_offset_and_judged_by_the_new_rules(
    clock: ClockName,
) -> None:
    loop = start(LOW, clock=clock, late_policy=LatePolicy.DIVERT, margin_ms=0)

    def put(at_ms: int, amount: float) -> None:
        loop.put(pay(at_ms, amount), appended_ms=at_ms + 1_715_392_800_000)

    put(0, 50.0)
    put(10_001, 60.0)
    put(12_000, 60.0)
    loop.turn(12_001)
    assert [50.0] == [one[2] for one in loop.sums()], "the second window is open"
    loop.change("new", HIGH)
    loop.turn(12_002, 12_003)
    assert "new" == loop.rules_hash
    put(23_000, 1.0)
    loop.turn(23_001)
    put(34_000, 1.0)
    loop.turn(34_001)
    assert ("new", "high", 120.0) in [one[:3] for one in judged(loop)]
    assert [50.0, 120.0, 1.0] == [one[2] for one in loop.sums()][:3]
    assert 5 == loop.of_partition("records_total"), "those that are read again are not counted again"
    assert [] == loop.events("windows_cut")
    assert "new" == decode_progress(Offset(0), loop.kafka.metadata[0]).rules


def test_where_nothing_was_read_a_change_is_applied_at_once() -> None:
    loop = start(LOW)
    loop.turn(1)
    loop.change("new", HIGH)
    loop.turn(2)
    assert "new" == loop.rules_hash
    assert [] == loop.events("rewind")


def test_aggregates_hold_what_the_new_detectors_look_at() -> None:
    loop = start(LOW, **BY_EVENT)
    loop.put(pay(0, 60.0), pay(1, 50.0))
    loop.turn(1, 10_000)
    loop.change(
        "new",
        ConfiguredDetector("greatest", Threshold(Decimal(55), of=Of.MAX), of=Of.MAX),
        detail=AggregateDetail(extremes=True),
    )
    loop.turn(10_001, 10_002)
    loop.put(pay(15_000))
    loop.turn(15_001)
    assert [("new", "greatest", 110.0, 0)] == numbers(loop)


def test_states_of_a_detector_that_stays_go_on_and_those_of_one_that_goes_are_removed_and_its_episode_ends() -> None:
    episodes = threshold("episodes", 10, resolve_after=9)
    loop = start(COUNT, episodes)
    loop.put(pay(0, 50.0))
    loop.turn(1, 10_000)
    loop.change("new", COUNT, HIGH)
    loop.turn(10_001, 10_002, 10_003)
    loop.put(pay(10_000, 50.0))
    loop.turn(10_004, 20_000)
    ((key, packed),) = states(loop.kafka).items()
    assert (b"count\0tx1", 2) == (key, any_entry(packed).state), "both windows"
    found = [(one["rules"], one["detector"], one.get("status")) for one in loop.payloads("alerts")]
    assert [
        ("old", "count", None), ("old", "episodes", "open"),
        ("new", "episodes", "resolved"), ("new", "count", None),
    ] == found  # fmt: skip
    assert ["episodes"] == [one["detector"] for one in loop.events("states_removed")]


def test_detectors_without_states_may_be_followed_by_some_with_states_and_these_by_some_without() -> None:
    loop = start(LOW)
    loop.put(pay(0, 50.0))
    loop.turn(1, 10_000)
    assert [] == loop.input.read_back
    loop.change("new", COUNT)
    loop.turn(10_001, 10_002)
    loop.put(pay(10_000, 50.0))
    loop.turn(10_003, 20_000)
    assert [0] == loop.input.read_back
    assert {b"count\0tx1"} == states(loop.kafka).keys()
    loop.change("last", LOW)
    loop.turn(20_001, 20_002, 30_000)
    assert {} == states(loop.kafka), "what is left is removed"
    progress = decode_progress(Offset(0), loop.kafka.metadata[0])
    assert (None, "last") == (progress.partitions, progress.rules)


@pytest.mark.parametrize("at", ["send", "commit"])
def test_after_a_txn_that_was_aborted_the_new_rules_judge_what_is_read_again(at: str) -> None:
    loop = start(COUNT)
    loop.put(pay(0, 50.0))
    loop.turn(1)
    loop.change("new", COUNT, HIGH)
    loop.output.problems[at].append(Abortable("no"))
    loop.turn(10_000, 10_001, 10_002, 20_000)
    assert [("new", "count", 50.0, 0)] == numbers(loop)
    assert 1 == len(states(loop.kafka))


def test_a_partition_that_has_not_started_is_looked_up_again_because_its_states_were_read_for_the_old_rules() -> None:
    loop = start(LOW, partitions=())
    loop.input.problems["restore"].append(Retriable("the look-up is still under way"))
    rewound: list[list[int]] = []
    loop.input.give(0, 1)
    rewind = loop.input.rewind
    loop.input.rewind = lambda partitions: (rewound.append(sorted(given := list(partitions))), rewind(given))  # type: ignore[method-assign,assignment,func-returns-value]
    loop.turn(1)
    loop.change("new", HIGH)
    loop.turn(2)
    assert [[0, 1]] == rewound
    loop.turn(600, 601)
    loop.put(pay(0, 500.0), partition=1)
    loop.turn(602, 10_000)
    assert ["new"] == [one["rules"] for one in loop.payloads("alerts")]


def test_several_changes_that_wait_are_all_applied_the_last_one_last() -> None:
    loop = start(LOW)
    loop.put(pay(0, 50.0))
    loop.turn(1)
    loop.change("new", HIGH)
    loop.change("newer", LOW)
    loop.turn(10_000, 10_001, 10_002)
    loop.put(pay(10_000, 50.0))
    loop.turn(10_003, 20_000)
    assert [("old", "low", 50.0, 0), ("newer", "low", 50.0, 1)] == numbers(loop)
