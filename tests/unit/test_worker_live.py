"""What the loop hands to the page: committed alerts, open windows and episodes; nothing where there is no page."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from service.core.detectors import ConfiguredDetector
from service.core.detectors.threshold import Threshold
from service.core.model import ClockName, LatePolicy
from service.loop.checkpoint import Checkpoint
from service.loop.errors import Abortable
from service.loop.shown import MOST_EPISODES, MOST_WINDOWS
from service.observe.live import MOST_ALERTS, Live
from tests.driver import T0
from tests.loop import Loop, pay

EPISODES = (ConfiguredDetector("spree", Threshold(Decimal(8000)), resolve_after=2),)
SHADOW = (ConfiguredDetector("try", Threshold(Decimal(8000)), shadow=True),)


def shown(live: Live) -> list[dict[str, Any]]:
    """The alerts that the page may show."""
    return [json.loads(one.value) for one in live.alerts.kept]


def test_an_alert_is_shown_once_its_txn_has_committed_as_it_is_in_the_topic() -> None:
    live = Live({})
    loop = Loop(live=live)
    loop.put(pay(1_000, 9_000.0))
    loop.turn(1_000, 9_999)
    assert ([], None) == (shown(live), live.committed_ms)
    loop.turn(10_000)
    assert (loop.payloads("alerts"), 1) == (shown(live), live.alerts.total)
    assert [one["alert_id"] for one in loop.payloads("alerts")] == [one.alert_id for one in live.alerts.kept]
    assert T0 + 10_000 == live.committed_ms


@pytest.mark.parametrize("step", ["send", "commit"])
def test_what_was_not_committed_is_never_shown(step: str) -> None:
    live = Live({})
    loop = Loop(live=live)
    loop.put(pay(1_000, 9_000.0))
    loop.turn(1_000)
    loop.output.problems[step].append(Abortable("no"))
    loop.turn(10_000)
    assert ([], 0, None) == (shown(live), live.alerts.total, live.committed_ms)
    loop.turn(10_100, 10_200, 20_000)
    assert 1 == live.alerts.total == len(loop.payloads("alerts"))


def test_a_shadow_alert_is_not_shown() -> None:
    live = Live({})
    loop = Loop(live=live, detectors=SHADOW)
    loop.put(pay(1_000, 9_000.0))
    loop.turn(1_000, 10_000)
    assert (1, []) == (len(loop.payloads("shadow")), shown(live))


def test_of_many_alerts_the_newest_are_kept_and_all_are_counted() -> None:
    live = Live({})
    loop = Loop(live=live)
    loop.put(*(pay(1_000, 9_000.0, f"tx{number}") for number in range(MOST_ALERTS + 200)))
    loop.turn(1_000, 1_100, 1_200, 10_000)
    assert (MOST_ALERTS + 200, MOST_ALERTS) == (live.alerts.total, len(live.alerts.kept))
    assert loop.payloads("alerts")[200:] == shown(live)


@pytest.mark.parametrize("clock", [ClockName.PROCESSING, ClockName.INGESTION])
def test_the_open_window_is_one_for_all_partitions(clock: ClockName) -> None:
    live = Live({})
    loop = Loop(live=live, partitions=(0, 1), clock=clock)
    loop.put(pay(1_000, 1.0, "a"), pay(1_000, 1.0, "b"), appended_ms=T0 + 1_000)
    loop.put(pay(1_000, 1.0, "c"), partition=1, appended_ms=T0 + 1_000)
    loop.turn(1_000, 2_500)
    (window,) = live.windows
    assert (T0, T0 + 10_000, 3, 2) == (window.start, window.end, window.keys, window.partitions)
    loop.turn(11_000, 11_200, 12_500)
    assert () == live.windows


def test_by_event_time_windows_are_open_side_by_side_earliest_first() -> None:
    live = Live({})
    loop = Loop(live=live, clock=ClockName.EVENT, late_policy=LatePolicy.DIVERT, late="late", lateness_ms=15_000)
    loop.put(pay(21_000), pay(9_000), pay(12_000, 1.0, "tx2"), pay(13_000))
    loop.turn(21_000, 22_500)
    assert [(0, 1), (10_000, 2), (20_000, 1)] == [(one.start - T0, one.keys) for one in live.windows]


def test_the_windows_that_are_shown_are_bounded() -> None:
    live = Live({})
    loop = Loop(live=live, clock=ClockName.EVENT, late_policy=LatePolicy.DIVERT, late="late", lateness_ms=10**7)
    loop.put(*(pay(10_000 * number) for number in range(3 * MOST_WINDOWS)))
    loop.turn(10**7, 10**7 + 1_500)
    assert MOST_WINDOWS == len(live.windows)


def test_an_open_episode_is_shown_as_committed_until_it_is_resolved() -> None:
    live = Live({})
    loop = Loop(live=live, detectors=EPISODES)
    for window, paid in enumerate((9_000.0, 9_500.5, 1.0)):
        loop.put(pay(10_000 * window + 1_000, paid))
        loop.turn(10_000 * window + 1_000, 10_000 * window + 2_500)
        loop.turn(10_000 * window + 10_000, 10_000 * window + 11_100)
    (episode,) = live.episodes
    opening = loop.payloads("alerts")[0]
    assert (opening["alert_id"], "spree", "tx1", 0, 2, 1, "9500.5", "9500.5") == (
        episode.episode_id, episode.detector, episode.transaction_id, episode.partition, episode.windows,
        episode.quiet, episode.peak, episode.amount,
    )  # fmt: skip
    assert ("8000.0", T0 + 10_000) == (str(float(episode.limit)), episode.window[0])
    loop.put(pay(31_000))
    loop.turn(31_500, 32_600, 40_000, 41_100)
    assert () == live.episodes
    assert ["open", "resolved"] == [one["status"] for one in shown(live)]


def test_the_episodes_that_are_shown_are_bounded() -> None:
    live = Live({})
    loop = Loop(live=live, detectors=EPISODES)
    loop.put(*(pay(1_000, 9_000.0, f"tx{number}") for number in range(2 * MOST_EPISODES)))
    loop.turn(1_000, 10_000, 11_100)
    assert (MOST_EPISODES, {"spree": 2 * MOST_EPISODES}) == (len(live.episodes), dict(loop.board.status.open_episodes))


def test_without_a_page_nothing_of_this_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Checkpoint] = []
    take = Checkpoint.take

    def noted(*arguments: Any, **named: Any) -> Checkpoint:  # noqa: ANN401
        taken.append(take(*arguments, **named))
        return taken[-1]

    monkeypatch.setattr(Checkpoint, "take", noted)
    for name in ("open_windows", "open_episodes"):
        monkeypatch.setattr(f"service.loop.health.{name}", lambda _: pytest.fail("made for nobody"))
    loop = Loop()
    loop.put(pay(1_000, 9_000.0))
    loop.turn(1_000, 10_000, 11_100)
    assert (1, [None]) == (len(loop.payloads("alerts")), [one.to_show for one in taken])
