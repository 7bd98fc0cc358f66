"""Episodes: one alert when they begin and one when they end, whatever happens to the service in between."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from service.core.detectors import ConfiguredDetector, Direction, Of
from service.core.detectors.threshold import Threshold
from service.core.memory.alerts import Alert
from service.core.memory.identity import resolved_id
from service.core.model import ClockName
from tests.core.remembering import Counting, Remembering, statuses, threshold
from tests.driver import T0


def episodes(resolve_after: int = 2, **more: Any) -> Remembering:  # noqa: ANN401
    """Sums above 100 open an episode."""
    return Remembering(threshold(resolve_after=resolve_after, **more))


def test_an_episode_is_opened_once_and_resolved_after_so_many_quiet_windows_of_its_key() -> None:
    one = episodes()
    for start, amount in enumerate((500.0, 1.0, 900.0, 700.0, 1.0, 2.0, 1.0)):
        one.see(start * 10_000, a=amount)
    opened, resolved = one.alerts
    assert ("open", opened.alert_id, None, None) == (opened.status, opened.episode_id, opened.windows, opened.peak)
    assert ("resolved", opened.alert_id, 3, "900.0") == (
        resolved.status, resolved.episode_id, resolved.windows, resolved.peak,
    )  # fmt: skip
    assert resolved_id(opened.alert_id) == resolved.alert_id
    assert (T0 + 50_000, "2.0", "100.0") == (resolved.facts.start_ms, resolved.facts.amount, resolved.facts.limit)
    assert {} == one.topic


def test_every_anomaly_counts_also_those_that_write_nothing() -> None:
    one = episodes()
    found = one.memory.judge([one.window(start, a=500.0) for start in (0, 10_000, 20_000)], None, lambda _: None)
    assert ({"high": 3}, 1) == (found.anomalies, len(found.alerts))


def test_a_window_without_a_record_of_the_key_is_none_of_its_windows() -> None:
    one = episodes(resolve_after=1)
    one.see(0, a=500.0)
    for start in range(10_000, 100_000, 10_000):
        one.see(start, b=1.0)
    assert [("a", "open")] == statuses(one.alerts)
    one.see(100_000, a=1.0)
    assert [("a", "open"), ("a", "resolved")] == statuses(one.alerts)


def test_an_episode_ends_some_time_after_its_last_anomaly_by_the_watermark() -> None:
    one = episodes(resolve_after=5, resolve_after_ms=60_000)
    one.see(0, a=500.0)
    one.see(10_000, a=700.0)
    one.see(70_000, 79_999, b=1.0)
    assert [("a", "open")] == statuses(one.alerts)
    (resolved,) = one.see(80_000, 80_000, b=1.0)
    assert ("resolved", 2, "700.0") == (resolved.status, resolved.windows, resolved.peak)
    assert (T0 + 10_000, "700.0", "a") == (resolved.facts.start_ms, resolved.facts.amount, resolved.transaction_id)
    (opened,) = one.see(90_000, a=500.0)
    assert opened.alert_id != resolved.episode_id


def test_the_end_by_time_counts_event_time_also_where_windows_are_of_another_clock() -> None:
    """Records of old times are read now: the windows end a million seconds after the watermark."""
    late = 1_000_000_000
    one = Remembering(threshold(resolve_after=5, resolve_after_ms=60_000), clock=ClockName.PROCESSING)
    one.see(late, 10_000, a=500.0)
    one.see(late + 10_000, 69_999, b=1.0)
    assert [("a", "open")] == statuses(one.alerts)
    assert [("a", "resolved")] == statuses(one.restarted().see(late + 20_000, 70_000, b=1.0))


def test_an_episode_ends_when_its_key_is_forgotten() -> None:
    one = Remembering(threshold(resolve_after=5), forget_after_ms=30_000)
    one.see(0, a=500.0)
    assert [("a", "resolved")] == statuses(one.see(30_000, 30_000, b=1.0))
    assert {} == one.topic


def test_a_key_with_a_state_is_forgotten_together_with_its_episode_which_ends_once() -> None:
    one = Remembering(ConfiguredDetector("count", Counting(), resolve_after=5), forget_after_ms=30_000)
    one.see(0, a=500.0)
    assert [("a", "resolved"), ("b", "open")] == sorted(statuses(one.see(30_000, b=1.0)))
    assert {("count", "b")} == one.topic.keys()
    assert [("b", "resolved")] == statuses(one.restarted().see(60_000))


def test_episodes_that_come_and_go_leave_no_deadlines_behind() -> None:
    one = episodes(resolve_after=1, resolve_after_ms=60_000)
    for start in range(0, 2_000_000, 10_000):
        one.see(start, a=500.0 if start % 20_000 else 1.0)
    table = one.memory._tables["high"]
    assert 10 > len(table._to_resolve._heap)
    assert 0 == len(table._to_forget._heap)


def test_an_episode_that_begins_and_ends_in_one_txn_is_not_open_afterwards() -> None:
    one = episodes(resolve_after=1)
    one.commit(one.window(0, a=500.0), one.window(10_000, a=1.0))
    assert [("a", "open"), ("a", "resolved")] == statuses(one.alerts)
    assert {"high": 0} == one.memory.open_episodes


def test_an_open_episode_ends_when_episodes_are_turned_off() -> None:
    count = ConfiguredDetector("count", Counting(), resolve_after=5)
    one = Remembering(count)
    one.see(0, a=1.0)
    other = one.restarted(ConfiguredDetector("count", Counting()))
    assert [("a", "resolved"), ("a", None)] == statuses(other.see(10_000, a=1.0))
    assert [("a", None)] == statuses(other.see(20_000, a=1.0))


def test_the_value_of_an_alert_is_what_the_detector_looks_at_although_it_does_not_say_so() -> None:
    one = Remembering(ConfiguredDetector("count", Counting(), of=Of.COUNT, resolve_after=1))
    (opened,) = one.see(0, a=7.0)
    assert (Of.COUNT, "1") == (opened.facts.of, opened.facts.value)


def test_an_open_episode_outlives_crashes_and_aborts() -> None:
    one = episodes()
    one.see(0, a=500.0)
    one.abort(one.window(10_000, a=1.0))
    one = one.restarted()
    one.abort(one.window(10_000, a=1.0))
    assert {"high": 1} == one.memory.open_episodes
    assert [] == one.see(10_000, a=1.0)
    one = one.restarted()
    assert [("a", "resolved")] == statuses(one.see(20_000, a=1.0))
    assert {"high": 0} == one.memory.open_episodes


def test_the_end_by_time_outlives_a_restart() -> None:
    one = episodes(resolve_after=5, resolve_after_ms=60_000)
    one.see(0, a=500.0)
    assert [("a", "resolved")] == statuses(one.restarted().see(80_000, b=1.0))


@pytest.mark.parametrize(
    ("direction", "amounts", "peak"),
    [(Direction.BELOW, (50.0, 20.0, 70.0), "20.0"), (Direction.ABOVE, (150.0, 120.0), "150.0")],
)
def test_the_peak_is_the_value_that_is_furthest_beyond_the_limit(
    direction: Direction, amounts: tuple[float, ...], peak: str
) -> None:
    detector = Threshold(Decimal(100), direction=direction)
    one = Remembering(ConfiguredDetector("edge", detector, direction=direction, resolve_after=1))
    for number, amount in enumerate(amounts):
        one.see(number * 10_000, a=amount)
    (resolved,) = one.see(90_000, a=100.0)
    assert peak == resolved.peak


def test_an_episode_of_another_value_shows_that_value() -> None:
    one = Remembering(ConfiguredDetector("many", Threshold(Decimal(0), of=Of.COUNT), of=Of.COUNT, resolve_after=1))
    (opened,) = one.see(0, a=7.0)
    assert (Of.COUNT, "1") == (opened.facts.of, opened.facts.value)


@pytest.mark.parametrize("shadow", [True, False])
def test_both_alerts_of_an_episode_go_to_one_topic_although_the_mode_changes(shadow: bool) -> None:  # noqa: FBT001
    one = Remembering(threshold(resolve_after=2, shadow=shadow))
    one.see(0, a=500.0)
    other = one.restarted(threshold(resolve_after=2, shadow=not shadow))
    assert [] == other.see(10_000, a=900.0)
    other.see(20_000, a=1.0)
    (resolved,) = other.see(30_000, a=1.0)
    assert (shadow, 2, "900.0") == (resolved.shadow, resolved.windows, resolved.peak)
    (opened,) = other.see(40_000, a=500.0)
    assert shadow is not opened.shadow


def test_without_episodes_each_anomalous_window_is_an_alert_without_a_status() -> None:
    one = episodes(resolve_after=0)
    alerts: list[Alert] = [*one.see(0, a=500.0), *one.see(10_000, a=500.0)]
    assert [("a", None), ("a", None)] == statuses(alerts)
    assert {} == one.topic
