"""Detectors that change in the middle of faults: each window is judged once, by the rules that were in force."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histories.clock_oracle import Rules, expect
from histories.detector_audit import SEVERAL, differences
from histories.detector_oracle import Rule
from histories.reload import variants
from histories.reload_oracle import expect_changing
from service.app.detectors import configured, detail_for, rules_hash
from service.settings import load
from tests.loop import TOPIC
from tests.unit.settings_files import NO_FILE
from tests.unit.test_clock_histories import EVENT, INGESTION, PARTITIONS, STEPS, Crash, History, Step, Turn
from tests.unit.test_detector_histories import CLOCKS, FAULTS, FORGET_AFTER_MS, _long, _outputs


@dataclass(frozen=True, slots=True)
class Reload:
    """The detectors change: now in the file, in the loop at its next boundary."""


class ReloadHistory(History):
    """A history whose detectors change between two forms."""

    def __init__(self, rules: Rules, batch: int = 500) -> None:
        self.sets: dict[str, Sequence[Rule]] = {}
        self.changes = 0
        self.forms = [self._form(one) for one in variants(SEVERAL)]
        super().__init__(rules, batch, forget_after_ms=FORGET_AFTER_MS, **self.forms[0])

    def _form(self, rules: Sequence[Rule]) -> dict[str, Any]:
        loaded = load(NO_FILE, {"DETECTORS": json.dumps(rules)}).settings
        name, detectors = rules_hash(loaded) or "", configured(loaded)
        self.sets[name] = rules
        return {"detectors": detectors, "rules_hash": name, "detail": detail_for(detectors)}

    def do(self, step: Step | Reload) -> None:
        if isinstance(step, Reload):
            self.changes += 1
            form = self.forms[self.changes % 2]
            self._more |= form  # the next owner reads the file as it is now
            self.loop.change(form["rules_hash"], *form["detectors"], detail=form["detail"])
        else:
            super().do(step)
        in_force = {memory.rules for memory in self.loop.worker._memories._by_partition.values()}
        assert len(in_force) <= 1, "all or none"

    def faults(self) -> list[str]:
        """What differs from the oracle's fold."""
        windows = {one: expect(self.partition(one), self.rules).closed(self.rules) for one in PARTITIONS}
        found = _outputs(self.loop)
        due, faults = expect_changing(self.sets, TOPIC, windows, found.shadow, forget_after_ms=FORGET_AFTER_MS)
        return faults + differences(due, found)


def with_changes(steps: list[Step], at: list[int]) -> list[Any]:
    """The same steps, with changes before some of them."""
    found: list[Any] = list(steps)
    for place in sorted(at, reverse=True):
        found.insert(place % (len(found) + 1), Reload())
    return found


PLACES = st.lists(st.integers(0, 30), min_size=1, max_size=6)


@settings(max_examples=100)
@given(STEPS, PLACES, INGESTION | EVENT, st.sampled_from([1, 3, 500]))
def test_each_window_is_judged_once_and_by_the_rules_in_force(
    steps: list[Step], at: list[int], rules: Rules, batch: int
) -> None:
    history = ReloadHistory(rules, batch).to_the_end(with_changes(steps, at))
    assert isinstance(history, ReloadHistory)
    assert history.faults() == []


@pytest.mark.parametrize("rules", CLOCKS, ids=lambda one: one.name)
def test_in_a_long_history_both_rules_judge_many_windows_and_all_kinds_of_alerts_come_up(rules: Rules) -> None:
    dice = random.Random(22)  # noqa: S311 - no secret
    steps: list[Any] = []
    for step in _long():
        steps.append(step)
        if isinstance(step, Turn) and dice.random() < 0.05:
            steps += [Reload(), *([dice.choice(FAULTS)] if dice.random() < 0.5 else [])]
    history = ReloadHistory(rules, 3).to_the_end(steps)
    assert isinstance(history, ReloadHistory)
    assert history.faults() == []
    found = _outputs(history.loop)
    judged = Counter(one["rules"] for one in found.shadow if one["detector"] == "witness")
    assert judged.keys() == history.sets.keys()
    assert min(judged.values()) > 50
    seen = Counter((one["detector"], one.get("status")) for one in (*found.alerts, *found.shadow))
    assert {("busy", "open"), ("unusual", "open"), ("unusual", "resolved"), ("silent", None)} <= seen.keys(), seen


def test_a_crash_lets_the_next_owner_begin_with_the_rules_of_the_file() -> None:
    history = ReloadHistory(CLOCKS[1])
    history.do(Reload())
    history.do(Crash())
    assert history.loop.rules_hash == history.forms[1]["rules_hash"]
