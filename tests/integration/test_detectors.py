"""Detectors that remember, on a real broker: their states are in the txn, and the next owner goes on with them."""

import json
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from brokerkit.broker import Broker
from brokerkit.client import add_partitions, create_topics, produce, read_all, wait_for_topic
from brokerkit.service_process import Names, payloads, running, transaction, wait_until
from service.core.memory.states import any_entry

T: int = 1_715_392_800_000


def settings(*detectors: dict[str, Any], **more: str) -> dict[str, str]:
    """These detectors, on windows of 10 s of event time."""
    return {
        "DETECTORS": json.dumps(detectors),
        "WINDOW_CLOCK": "event",
        "WINDOW_SIZE_MS": "10000",
        "LATE_POLICY": "divert",
        "WATERMARK_LATENESS_MS": "0",
        **more,
    }


def window(number: int, amount: float, transaction_id: str = "tx1") -> tuple[str, str]:
    """A record in the window of this number."""
    return transaction(transaction_id, T + number * 10_000, amount)


def states(broker: Broker, names: Names) -> dict[bytes, Any]:
    """The state topic, compacted and decoded."""
    found: dict[bytes, Any] = {}
    for message in read_all(broker, names.state):
        key, value = message.key(), message.value()
        assert isinstance(key, bytes)
        found.pop(key, None)
        if value is not None:
            found[key] = any_entry(value).state
    return found


def closed(broker: Broker, names: Names, windows: int) -> None:
    """Wait until so many windows of keys are committed."""
    wait_until(lambda: len(payloads(broker, names.aggregates)) >= windows, 30, name=f"{windows} windows")


USUAL = {"name": "usual", "type": "deviation", "min_windows": 3, "sigmas": 3}


def test_a_baseline_outlives_the_process_and_names_what_is_unusual(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=2)
    produce(broker, names.transactions, [window(number, 100 + number % 2) for number in range(6)])
    with running(broker, names, settings(USUAL)) as service:
        closed(broker, names, 5)
        assert service.stop() == 0
    produce(broker, names.transactions, [window(6, 500.0), window(7, 100.0), window(8, 100.0)])
    with running(broker, names, settings(USUAL)) as service:
        closed(broker, names, 8)
        restored = service.wait_for_event("states_restored", 2)
        assert service.metric('txwatch_anomalies_total{detector="usual"}') == 1
        assert (service.metric("txwatch_state_restore_seconds") or 11) < 10
    assert restored["seconds"] < 10
    (alert,) = payloads(broker, names.alerts)
    baseline = alert["baseline"]
    assert (alert["detector"], alert["amount"], baseline["windows"]) == ("usual", Decimal("500.0"), 6)
    assert (baseline["mean"], alert["limit"] < 103, alert["score"] > 100) == (Decimal("100.5"), True, True)
    assert len(alert["rules"]) == 8
    (state,) = states(broker, names).values()
    assert state[0] == 8


def test_an_episode_that_one_process_opened_is_resolved_by_another(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=1)
    high = {"name": "high", "type": "threshold", "limit": 100, "resolve_after": 2}
    with running(broker, names, settings(high)) as service:
        produce(broker, names.transactions, [window(0, 150), window(1, 170.5), window(2, 1)])
        closed(broker, names, 2)
        service.kill()
    with running(broker, names, settings(high)):
        produce(broker, names.transactions, [window(3, 1), window(4, 1)])
        closed(broker, names, 4)
    opened, resolved = payloads(broker, names.alerts)
    assert (opened["status"], opened["amount"]) == ("open", Decimal("150.0"))
    assert (resolved["status"], resolved["windows"], resolved["peak"]) == ("resolved", 2, Decimal("170.5"))
    assert opened["episode_id"] == resolved["episode_id"] == opened["alert_id"] != resolved["alert_id"]
    assert states(broker, names) == {}


def test_when_no_detector_keeps_states_any_more_those_that_are_left_are_removed_and_their_episodes_end(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=2)
    high = {"name": "high", "type": "threshold", "limit": 100, "resolve_after": 9}
    with running(broker, names, settings(high)) as service:
        produce(broker, names.transactions, [window(0, 150), window(1, 1)])
        closed(broker, names, 1)
        assert service.stop() == 0
    by_default = settings(WATERMARK_IDLE_AFTER_MS="1000")
    del by_default["DETECTORS"]
    with running(broker, names, by_default) as service:
        removed = service.wait_for_event("states_removed")
        (ended,) = wait_until(lambda: _resolved(broker, names, 1), 30, name="the end of the episode")
        assert service.stop() == 0
    assert (removed["detector"], removed["states"]) == ("high", 1)
    opened, _ = payloads(broker, names.alerts)
    assert (ended["episode_id"], ended["windows"]) == (opened["alert_id"], 1)
    assert states(broker, names) == {}
    produce(broker, names.transactions, [window(2, 9_000), window(3, 1)])
    with running(broker, names, by_default) as service:
        wait_until(lambda: _at_least(broker, names, 3), 30, name="an alert of the default detector")
        assert service.events("states_restored") == []


def test_silence_is_reported_by_the_wall_clock_when_nothing_comes_at_all(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=2)
    quiet = [
        {"name": f"quiet-{scope}", "type": "inactivity", "after_ms": 1_500, "scope": scope, "clock": "wall"}
        for scope in ("partition", "topic")
    ]
    with running(broker, names, settings(*quiet)) as service:
        produce(broker, names.transactions, [window(0, 150)])
        alerts = wait_until(lambda: _at_least(broker, names, 2), 30, name="two silences")
        assert service.stop() == 0
    with running(broker, names, settings(*quiet)) as service:
        service.wait_for_event("partition_started", 2)
        time.sleep(4)  # longer than the silence that would be reported
        assert _at_least(broker, names, 3) is None, "a restart reported a silence again"
        produce(broker, names.transactions, [window(0, 150)])
        wait_until(lambda: _at_least(broker, names, 4), 30, name="both silences again")
    assert sorted(alert["detector"] for alert in alerts) == ["quiet-partition", "quiet-topic"]
    for alert in alerts:
        assert (alert["transaction_id"], alert["count"], alert["limit"]) == ("", 0, 1_500)
        assert alert["window"]["clock"] == "wall"
        assert alert["window"]["end"] - alert["window"]["start"] == 1_500


def _at_least(broker: Broker, names: Names, count: int) -> list[dict[str, Any]] | None:
    found = payloads(broker, names.alerts)
    return found if len(found) >= count else None


def test_an_unknown_version_of_a_state_ends_the_service_with_one_line(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=1)
    create_topics(broker, names.state, partitions=1, config={"cleanup.policy": "compact"})
    produce(broker, names.state, [("usual\0tx1", b"\x09???")])
    with running(broker, names, settings(USUAL)) as service:
        assert service.process.wait(30) == 1
        (fatal,) = service.events("fatal")
    assert fatal["error"].startswith(
        f"topic {names.state}, partition 0: its version is 9, known is 1; start the version"
    )
    assert payloads(broker, names.alerts) == []


def test_when_partitions_are_added_the_state_topic_gets_them_and_keys_that_move_begin_there(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=1)
    ids = [f"tx{number}" for number in range(12)]
    high = {"name": "high", "type": "threshold", "limit": 100, "resolve_after": 9}
    often = {"KAFKA_PROPERTIES": '{"topic.metadata.refresh.interval.ms": 1000}'}
    with running(broker, names, settings(high, **often)) as service:
        produce(broker, names.transactions, [window(0, 500, one) for one in ids] + [window(2, 1)])
        closed(broker, names, 12)
        add_partitions(broker, names.transactions, 3)
        wait_for_topic(broker, names.transactions, 3)
        written = produce(broker, names.transactions, [window(4, 1, one) for one in ids] + [window(6, 1)])
        moved = {message.key() for message in written if message.partition()} & {one.encode() for one in ids}
        removed = service.wait_for_event("states_removed", timeout_s=60)
        ended = wait_until(lambda: _resolved(broker, names, len(moved)), 30, name="ends of episodes")
        wait_for_topic(broker, names.state, 3)
        assert len(service.events("input_partitions_changed")) == 1
    assert {one["transaction_id"].encode() for one in ended} == moved
    assert (removed["partition"], removed["detector"], removed["states"]) == (0, "high", len(moved))


def _resolved(broker: Broker, names: Names, count: int) -> list[dict[str, Any]] | None:
    found = [one for one in payloads(broker, names.alerts) if one["status"] == "resolved"]
    return found if len(found) >= count else None
