"""What detectors must find in closed windows and remember of them, worked out a second time from the contract.

One fold for each detector and partition, over all windows from the first one on: nothing here knows of crashes, txns
or deadlines in heaps, and no code is the service's. Sums are fractions, and a baseline keeps exact sums of squares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from histories.detector_values import ANY, Baseline, Closed, Episode, Found, LastEvent, Remembered, Seen

Rule = Mapping[str, Any]
"""One table of ``[[detectors]]``."""
DAY_MS: Final = 86_400_000
_NO_RECORDS: Final = {"count": 0, "late_count": 0, "amount": Fraction(0)}


class Fold:
    """One detector over one partition."""

    def __init__(self, rule: Rule, topic: str, partition: int, forget_after_ms: int = 30 * DAY_MS) -> None:
        """Remember nothing yet."""
        self.name: str = rule["name"]
        self.of: str = rule.get("of", "sum")
        self.half_life: float = rule.get("half_life", 0)
        self.shadow = rule.get("mode") == "shadow"
        self.change(rule)
        self.states: dict[str, Remembered] = {}
        self.alerts: list[dict[str, Any]] = []
        self._topic, self._partition = topic, partition
        self._forget_after_ms = forget_after_ms
        judges: dict[str, Callable[[str, Seen, Any], tuple[Any, Found | None]]] = {
            "threshold": self._threshold,
            "deviation": self._deviation,
            "inactivity": self._inactivity,
        }
        self._judge = judges[rule["type"]]

    def change(self, rule: Rule) -> None:
        """Go on with other parameters: those by which the states stay what they are."""
        self.rule = rule
        self._resolve_after: int = rule.get("resolve_after", 0)

    def close(self, closed: Closed) -> None:
        """The keys of the window first, then silences, then episodes that are over, then keys that are forgotten."""
        for key, seen in closed.keys.items():
            self._window(key, seen, closed)
        if self.rule["type"] == "inactivity":
            self._report_silences(closed)
        mark_ms = closed.watermark_ms
        for key, one in list(self.states.items()):
            ends_ms = None if one.episode is None else self._ends_ms(one.episode)
            if ends_ms is not None and ends_ms <= mark_ms:
                self._resolve(key, one)
                self._keep(key, one)
            if key in self.states and one.seen_ms + self._forget_after_ms <= mark_ms:
                self.drop(key)

    def drop(self, key: str) -> None:
        """Forget a key; its episode ends."""
        one = self.states.pop(key)
        if one.episode is not None:
            self._resolve(key, one)

    def _ends_ms(self, episode: Episode) -> int:
        window = episode.last["window"]
        ended_ms = window["end"] if window["clock"] == "event" else episode.last["watermark"]
        return int(ended_ms) + int(self.rule.get("resolve_after_ms", DAY_MS))

    def _keep(self, key: str, one: Remembered) -> None:
        if one.state is None and one.episode is None:
            self.states.pop(key, None)
        else:
            self.states[key] = one

    # ---- one window of one key ------------------------------------------------------------------------------

    def _window(self, key: str, seen: Seen, closed: Closed) -> None:
        one = self.states.get(key) or Remembered(seen.max_timestamp, None, None)
        one.state, found = self._judge(key, seen, one.state)
        one.seen_ms = max(one.seen_ms, seen.max_timestamp)
        if found is not None:
            alert = self._alert(key, seen, closed, found.limit) | found.fields
            if one.episode is not None:
                self._continue(one.episode, alert, seen, found)
            elif self._resolve_after:
                one.episode = Episode(1, 0, seen.of(self.of), found.score, alert)
                self.alerts.append(alert | {"status": "open"})
            else:
                self.alerts.append(alert)
        elif one.episode is not None:
            one.episode.quiet += 1
            if one.episode.quiet >= self._resolve_after:
                self._resolve(key, one, self._alert(key, seen, closed, one.episode.last["limit"]))
        self._keep(key, one)

    def _continue(self, episode: Episode, alert: dict[str, Any], seen: Seen, found: Found) -> None:
        value, direction = seen.of(self.of), self.rule.get("direction", "above")
        if direction == "both":
            further = abs(found.score or 0) > abs(episode.score or 0)
        else:
            further = value > episode.peak if direction == "above" else value < episode.peak
        if further:
            episode.peak, episode.score = value, found.score
        episode.windows, episode.quiet, episode.last = episode.windows + 1, 0, alert

    def _resolve(self, key: str, one: Remembered, alert: dict[str, Any] | None = None) -> None:
        del key
        assert one.episode is not None
        more = {"status": "resolved", "windows": one.episode.windows, "peak": one.episode.peak}
        self.alerts.append((one.episode.last if alert is None else alert) | more)
        one.episode = None

    def _alert(self, key: str, seen: Seen, closed: Closed, limit: Fraction | float) -> dict[str, Any]:
        looked_at: dict[str, Any] = {"of": self.of, "value": seen.of(self.of)} if self.of != "sum" else {}
        if self.of == "mean":
            looked_at["value"] = float(looked_at["value"])
        return self._about(key, closed.watermark_ms, (closed.start_ms, closed.end_ms, closed.clock), limit) | {
            "timestamp": seen.timestamp,
            "max_timestamp": seen.max_timestamp,
            "count": seen.count,
            "late_count": seen.late_count,
            "amount": seen.amount,
            "source": self._source(seen.first, seen.last),
            **looked_at,
        }

    def _about(
        self, key: str, watermark_ms: int, window: tuple[int, int, str], limit: Fraction | float
    ) -> dict[str, Any]:
        start_ms, end_ms, clock = window
        return {
            "detector": self.name,
            "transaction_id": key,
            "watermark": watermark_ms,
            "window": {"start": start_ms, "end": end_ms, "clock": clock},
            "limit": limit,
        }

    def _source(self, first: int, last: int) -> dict[str, Any]:
        return {"topic": self._topic, "partition": self._partition, "first_offset": first, "last_offset": last}

    # ---- the detectors --------------------------------------------------------------------------------------

    def _threshold(self, key: str, seen: Seen, state: None) -> tuple[None, Found | None]:
        del state
        limit = self._limit(key)
        below = self.rule.get("direction") == "below"
        value = seen.of(self.of)
        return None, Found(limit) if (value < limit if below else value > limit) else None

    def _limit(self, key: str) -> Fraction:
        limits = self.rule.get("limits", {})
        prefixes = [one for one in limits if one.endswith("*") and key.startswith(one[:-1])]
        name = key if key in limits else max(prefixes, key=len, default=None)
        return Fraction(str(self.rule["limit"] if name is None else limits[name]))

    def _deviation(self, key: str, seen: Seen, state: Baseline | None) -> tuple[Baseline, Found | None]:
        del key
        state, value, found = state or Baseline(), seen.of(self.of), None
        deviation = math.sqrt(state.variance)
        if state.windows >= self.rule.get("min_windows", 30) and deviation:
            mean, margin = state.mean, self.rule.get("sigmas", 3.0) * deviation
            direction = self.rule.get("direction", "above")
            score = (float(value) - mean) / deviation
            fields = {
                "baseline": {"mean": mean, "deviation": deviation, "windows": state.windows},
                "score": score,
            }
            if direction != "below" and value > mean + margin:
                found = Found(mean + margin, score, fields)
            elif direction != "above" and value < mean - margin:
                found = Found(mean - margin, score, fields)
            if clip := self.rule.get("clip_sigmas", 0):
                bounds = Fraction(mean - clip * deviation), Fraction(mean + clip * deviation)
                value = max(bounds[0], min(value, bounds[1]))
        state.add(value, self.half_life)
        return state, found

    def _inactivity(self, key: str, seen: Seen, state: LastEvent | None) -> tuple[LastEvent, None]:
        del key
        if state is not None and seen.max_timestamp <= state.event_ms:
            return state, None
        return LastEvent(seen.max_timestamp, seen.latest), None

    def _report_silences(self, closed: Closed) -> None:
        now_ms = closed.end_ms if closed.clock == "event" else closed.watermark_ms
        after_ms = self.rule["after_ms"]
        for key, one in self.states.items():
            last = one.state
            assert isinstance(last, LastEvent)
            if last.reported or last.event_ms + after_ms > now_ms:
                continue
            last.reported = True
            window = (last.event_ms, last.event_ms + after_ms, "event")
            self.alerts.append(
                self._about(key, closed.watermark_ms, window, Fraction(after_ms))
                | {"timestamp": last.event_ms, "max_timestamp": last.event_ms, **_NO_RECORDS}
                | {"source": self._source(last.offset, last.offset)}
            )

    # ---- what the state topic holds -------------------------------------------------------------------------

    def packed(self) -> dict[str, list[Any]]:
        """The states as the state topic holds them."""
        return {key: self._packed(one) for key, one in self.states.items() if self.keeps_state}

    @property
    def keeps_state(self) -> bool:
        """Whether anything is remembered."""
        return bool(self._resolve_after) or self.rule["type"] != "threshold"

    def _packed(self, one: Remembered) -> list[Any]:
        state, episode = one.state, one.episode
        packed = state.packed(self.half_life) if isinstance(state, Baseline) else state and state.packed()
        return [ANY, one.seen_ms, packed, None if episode is None else self._packed_episode(episode)]

    def _packed_episode(self, episode: Episode) -> list[Any]:
        return [
            *(ANY, episode.windows, episode.quiet, episode.peak, episode.score),
            self._packed_facts(episode.last),
            self.shadow,
        ]

    def _packed_facts(self, alert: Mapping[str, Any]) -> list[Any]:
        window, source = alert["window"], alert["source"]
        return [
            *(alert[name] for name in ("timestamp", "amount", "watermark", "count", "late_count", "max_timestamp")),
            *(window["start"], window["end"], window["clock"], source["first_offset"], source["last_offset"]),
            *(alert["limit"], self.of, alert.get("value")),
            {name: alert[name] for name in ("baseline", "score") if name in alert},
        ]


def fold(
    rules: Iterable[Rule],
    topic: str,
    partition: int,
    windows: Sequence[Closed],
    *,
    forget_after_ms: int,
    moves: Callable[[float], Callable[[str], bool] | None] = lambda _: None,
) -> list[Fold]:
    """Fold the windows of a partition, by their end.

    ``moves`` is asked with the end of each window, and last with infinity: which keys have left by then, since it was
    asked before? Partitions may be added after the last window.
    """
    folds = [Fold(rule, topic, partition, forget_after_ms) for rule in rules]

    def drop_moved(before_ms: float) -> None:
        if (moved := moves(before_ms)) is not None:
            for one in folds:
                for key in filter(moved, list(one.states)):
                    one.drop(key)

    for closed in sorted(windows, key=lambda one: one.end_ms):
        drop_moved(closed.end_ms)
        for one in folds:
            one.close(closed)
    drop_moved(math.inf)
    return folds


def same(expected: Any, found: Any) -> bool:  # noqa: ANN401 - what JSON and msgpack hold
    """Whether what was found is what is expected: a fraction exactly, also as text, and a float nearly."""
    if expected is ANY:
        return True
    if isinstance(expected, dict) and isinstance(found, dict):
        return expected.keys() == found.keys() and all(same(one, found[name]) for name, one in expected.items())
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(map(same, expected, found))
    if isinstance(expected, Fraction) and isinstance(found, str | int | float | Decimal):
        return Fraction(str(found)) == expected
    if isinstance(expected, float) and isinstance(found, str | int | float | Decimal):
        return math.isclose(expected, float(found), rel_tol=1e-9, abs_tol=1e-6)
    return bool(expected == found)
