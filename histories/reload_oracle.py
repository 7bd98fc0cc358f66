"""What must be found where the detectors change while services run: each window by the rules that were in force.

One detector, the witness, is in all rules and reports every key of every window to the shadow topic. An alert carries
the hash of its rules, so the witness's alerts say which rules judged a window, and that it was judged once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from histories.detector_audit import Due
from histories.detector_oracle import Fold, Rule
from histories.detector_values import Closed

WITNESS: Final[Rule] = {"name": "witness", "type": "threshold", "of": "count", "limit": 0, "mode": "shadow"}
Sets = Mapping[str, Sequence[Rule]]
"""The detectors by their hash. Those that keep a state are in all of them, with other parameters."""
_Window = tuple[int, int]
"""Partition, and the window's end."""


class ChangingFold:
    """The detectors of one partition, which change from window to window."""

    def __init__(self, sets: Sets, topic: str, partition: int, forget_after_ms: int) -> None:
        """Remember nothing yet."""
        self._sets = sets
        self._make = partial(Fold, topic=topic, partition=partition, forget_after_ms=forget_after_ms)
        self.folds: dict[str, Fold] = {}
        """Those in force."""
        self._ended: list[Fold] = []
        self._rules = ""

    @property
    def all(self) -> list[Fold]:
        """Those that are not in force any more, too: they remember nothing."""
        return [*self._ended, *self.folds.values()]

    def close(self, closed: Closed, rules: str) -> None:
        """Fold a window by the rules of this hash."""
        if rules != self._rules:
            self._rules = rules
            self._change({one["name"]: one for one in self._sets[rules]})
        for one in self.folds.values():
            first = len(one.alerts)
            one.close(closed)
            for alert in one.alerts[first:]:
                alert["rules"] = rules

    def _change(self, now: Mapping[str, Rule]) -> None:
        for name in self.folds.keys() - now.keys():
            gone = self.folds.pop(name)
            assert not gone.keeps_state, "nobody says when it was removed"
            self._ended.append(gone)
        for name, rule in now.items():
            if name in self.folds:
                self.folds[name].change(rule)
            else:
                self.folds[name] = self._make(rule)


def expect_changing(
    sets: Sets,
    topic: str,
    windows: Mapping[int, Sequence[Closed]],
    shadow: Iterable[Mapping[str, Any]],
    *,
    forget_after_ms: int,
) -> tuple[Due, list[str]]:
    """The outputs that must be there, by the rules that the witness names, and the faults found, few of each kind."""
    by_window, faults = _judged_by(sets, shadow)
    due = Due()
    for partition, closed in windows.items():
        changing = ChangingFold(sets, topic, partition, forget_after_ms)
        for one in sorted(closed, key=lambda one: one.end_ms):
            rules = by_window.get((partition, one.end_ms))
            if rules is None:
                faults.append(f"partition {partition}: nobody has judged the window that ends at {one.end_ms}")
            else:
                changing.close(one, rules)
        due.add(partition, changing.all)
    return due, faults[:10]


def in_one_txn(alerts: Iterable[Mapping[str, Any]]) -> list[str]:
    """The faults where alerts of one txn have different rules.

    All alerts of a txn have the same time. So this is for a history in which only one service lived at a time.
    """
    found: dict[int, set[str]] = defaultdict(set)
    for one in alerts:
        found[one["detected_at"]].add(one["rules"])
    mixed = {at_ms: rules for at_ms, rules in found.items() if len(rules) > 1}
    return [f"the txn of {at_ms} has alerts by several rules: {rules}" for at_ms, rules in mixed.items()][:3]


def _judged_by(sets: Sets, shadow: Iterable[Mapping[str, Any]]) -> tuple[dict[_Window, str], list[str]]:
    """The rules of each window, by the witness."""
    found: dict[_Window, set[str]] = defaultdict(set)
    for one in shadow:
        if one["detector"] == WITNESS["name"]:
            found[one["source"]["partition"], one["window"]["end"]].add(one["rules"])
    faults = [
        f"window {window} was judged by several rules: {rules}" for window, rules in found.items() if len(rules) > 1
    ]
    unknown = {rules for several in found.values() for rules in several} - sets.keys()
    faults += [f"rules that were never good: {rules}" for rules in unknown]
    return {window: min(rules) for window, rules in found.items() if not rules & unknown}, faults
