"""What the detectors remember of one partition's keys, and what they find in its closed windows.

States change in two steps. judge() stages what the windows change; committed() makes it the state, and dropped()
forgets it. So a txn that is aborted leaves nothing to undo, and a detector judges only what is being written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from service.core.detectors import DAY_MS, ConfiguredDetector, KeyWindow
from service.core.memory.alerts import Alert, Judgement, Place, alert_of, check_finding, facts_of
from service.core.memory.episodes import Episode, resolved
from service.core.memory.failure import DetectorError
from service.core.memory.silences import WallSilences
from service.core.memory.states import any_entry
from service.core.memory.table import Table
from service.core.model import Aggregate, EventTimeMs, WindowClosed

Why = tuple[str, str]
"""A detector, and why states of it are not kept: it was ``removed`` or ``changed``, or the keys have ``moved``."""
REFRESH: Final = 100
"""How many deadlines one turn may compare with the states ahead of time: less than a millisecond."""
OpenAggregate = Callable[[str], Aggregate | None]
"""Returns a key's newest aggregate among the open windows; None where it has none."""


def _never(_: str) -> bool:
    return False


def keeps_state(configured: ConfiguredDetector) -> bool:
    """Whether something is remembered of each key."""
    return configured.detector.state_type is not None or configured.resolve_after > 0


def _needs_window_only(configured: ConfiguredDetector) -> bool:
    """Whether each window is judged by itself: nothing is remembered, and no BatchDetector judges many at once."""
    return not keeps_state(configured) and not hasattr(configured.detector, "judge_all")


class Memory:
    """The detectors' states for one partition. It outlives a rewind, and goes away with the partition."""

    def __init__(
        self,
        detectors: Sequence[ConfiguredDetector],
        place: Place,
        *,
        forget_after_ms: int = 30 * DAY_MS,
        partitions: int | None = None,
        rules: str | None = None,
    ) -> None:
        """Remember nothing yet; a key without an event for ``forget_after_ms`` is forgotten."""
        self._place = place
        self.rules: Final = rules
        """The hash of the configured detectors; None for the default detector."""
        self.partitions: Final = partitions
        """How many partitions the input had; None where nothing is remembered."""
        self._plain = [one for one in detectors if _needs_window_only(one)]
        self._tables = {
            one.name: Table(one, place, forget_after_ms) for one in detectors if not _needs_window_only(one)
        }
        self._by_key = [one for one in self._tables.values() if one.silence is None or one.silence.scope == "key"]
        by_wall = [one for one in self._tables.values() if one.silence is not None and one.silence.clock == "wall"]
        self.silences: Final = WallSilences(by_wall)
        self._removed: list[tuple[str, str, Alert | None]] = []
        """Detector, key, and the end of its episode, for each state that has to go although no window closes."""

    @property
    def keys(self) -> int:
        """How many states there are, counted for each detector."""
        return sum(len(table.states) for table in self._tables.values())

    @property
    def open_episodes(self) -> dict[str, int]:
        """How many episodes are open, by detector."""
        tables = self._tables.items()
        return {name: len(one.states.open_episodes) for name, one in tables if one.configured.resolve_after}

    def episodes(self, most: int) -> list[tuple[str, str, Episode]]:
        """Open episodes, as committed, each with its detector and key; at most ``most``. Nothing may be staged."""
        ids = ((name, one.states, key) for name, one in self._tables.items() for key in one.states.open_episodes)
        found = ((name, key, states.get(key)) for name, states, key in islice(ids, most))
        return [(name, key, entry.episode) for name, key, entry in found if entry is not None and entry.episode]

    @property
    def has_due(self) -> bool:
        """Whether something has to be written although no window has closed."""
        return bool(self._removed) or (self.silences.any and self.silences.has_due)

    def restore(self, states: Mapping[str, Mapping[str, bytes]], moved: Callable[[str], bool] = _never) -> Counter[Why]:
        """Keep states that were committed, by detector and key; returns how many are not kept, and why.

        The next txn removes those from the state topic, and ends their episodes. ``moved`` returns whether a key's
        records go to another partition now.

        Raises:
            UnknownStateError: another version has written a state, or it is damaged.
        """
        why: Counter[Why] = Counter()
        for name, found in states.items():
            table = self._tables.get(name)
            gone = [one for one in found.items() if moved(one[0])]
            away = dict(gone)
            here = ((key, packed) for key, packed in found.items() if key not in away)
            why[name, "moved"] += len(gone)
            refused = list(here) if table is None else table.restore(here)
            why[name, "removed" if table is None else "changed"] += len(refused)
            for key, packed in gone + refused:
                episode = any_entry(packed).episode
                self._removed.append((name, key, None if episode is None else resolved(episode, name, key)))
        return +why

    def refresh(self) -> None:
        """Look at some deadlines before they come up. Takes less than a millisecond; nothing may be staged."""
        for table in self._tables.values():
            table.refresh(REFRESH // len(self._tables))

    # ---- one txn --------------------------------------------------------------------------------------------

    def judge(
        self, closed: Iterable[WindowClosed], watermark_ms: EventTimeMs | None, open_aggregate: OpenAggregate
    ) -> Judgement:
        """Judge closed windows, earliest end first, and stage what they change; ``watermark_ms`` is the present one.

        Raises:
            DetectorError: a detector raised an exception.
        """
        found = Judgement()
        found.alerts = list(self.judge_each(closed, watermark_ms, open_aggregate, found))
        return found

    def judge_each(
        self,
        closed: Iterable[WindowClosed],
        watermark_ms: EventTimeMs | None,
        open_aggregate: OpenAggregate,
        found: Judgement,
    ) -> Iterator[Alert]:
        """The same, alert by alert: a million of them need no memory. ``found`` gets the counts.

        Raises:
            DetectorError: a detector raised an exception.
        """
        yield from [end for _, _, end in self._removed if end is not None]
        for one in sorted(closed, key=lambda one: one.window.end_ms):
            for configured in self._plain:
                yield from self._judge_plain(configured, one, found)
            if self._by_key:
                aggregates = one.aggregates.items()
                windows = [KeyWindow(key, aggregate, one.window, one.watermark_ms) for key, aggregate in aggregates]
                for table in self._by_key:
                    table.fold(windows, one.clock, found)
                    table.expire(one, found)
                    yield from found.take_alerts()
        if self.silences.any:
            self.silences.report(watermark_ms, open_aggregate, found)
            yield from found.take_alerts()

    def changes(self) -> Iterator[tuple[str, str, bytes | None]]:
        """Detector, key and new state of all that is staged; None: the state is forgotten."""
        yield from [(name, key, None) for name, key, _ in self._removed]
        for name, table in self._tables.items():
            for key, packed in table.states.staged.items():
                yield name, key, packed

    def _judge_plain(self, configured: ConfiguredDetector, closed: WindowClosed, found: Judgement) -> Iterator[Alert]:
        judge = configured.detector.judge
        for key, aggregate in closed.aggregates.items():
            window = KeyWindow(key, aggregate, closed.window, closed.watermark_ms)
            try:
                _, finding = judge(None, window)
                if finding is None:
                    continue
                check_finding(finding)
            except Exception as error:  # a detector may be somebody's own code, and raise anything
                raise DetectorError.about(configured.name, window, error) from error
            found.count(configured)
            facts = facts_of(window, closed.clock, configured.of, finding)
            yield alert_of(configured, self._place, key, facts)

    def committed(self) -> None:
        """Make what was staged the state."""
        self._removed = []
        for table in self._tables.values():
            table.committed()

    def dropped(self) -> None:
        """Forget what was staged; the partition is read again from its committed offset."""
        for table in self._tables.values():
            table.dropped()
        self.silences.begin()
