"""Detectors that remember, in the loop: what they found and what they remember are committed together, or neither."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from typing import Any

import pytest

from service.core.detectors import ConfiguredDetector
from service.core.detectors.inactivity import Inactivity
from service.core.model import AggregateDetail, ClockName, LatePolicy
from service.loop.errors import Abortable, Fatal, KafkaProblem, Replaced
from tests.core.remembering import Counting, silence, threshold
from tests.core.test_memory import Broken
from tests.driver import T0
from tests.loop import FakeKafka, Loop, pay

BY_EVENT: dict[str, Any] = {"clock": ClockName.EVENT, "late_policy": LatePolicy.DIVERT}
LATEST = AggregateDetail(latest=True)


def counting() -> tuple[ConfiguredDetector, Counting]:
    """A detector that counts windows, and itself."""
    detector = Counting()
    return ConfiguredDetector("count", detector), detector


def counted(loop: Loop) -> list[float]:
    """The counts that were committed, window by window: each window's should be one more."""
    return [one["limit"] for one in loop.payloads("alerts")]


def states(kafka: FakeKafka) -> dict[bytes, bytes]:
    """The state topic, compacted."""
    found: dict[bytes, bytes] = {}
    for record in kafka.out:
        if record.topic == "state":
            found.pop(record.key or b"", None)
            if record.value is not None:
                found[record.key or b""] = record.value
    return found


@pytest.mark.parametrize("problem", [Abortable("no"), Replaced("a new producer takes over")])
@pytest.mark.parametrize("at", ["send", "commit"])
def test_a_stateful_detector_counts_a_window_once_although_its_txn_was_aborted(at: str, problem: KafkaProblem) -> None:
    configured, detector = counting()
    loop = Loop(detectors=(configured,))
    loop.put(pay(0))
    loop.output.problems[at].append(problem)
    loop.turn(1, 10_000, 10_001, 20_000)
    loop.put(pay(1))
    loop.turn(20_001, 30_000)
    assert [(10_000, "tx1", 1.0, 1), (20_000, "tx1", 1.0, 1)] == loop.sums()
    assert 2 == len(states_written(loop))
    assert states(loop.kafka) == states(undisturbed())
    assert detector.judged == (3 if at == "commit" else 2)


def states_written(loop: Loop) -> list[bytes | None]:
    """Every committed record of the state topic."""
    return [record.value for record in loop.records("state")]


def undisturbed() -> FakeKafka:
    """The same two windows without a fault."""
    loop = Loop(detectors=(counting()[0],))
    loop.put(pay(0))
    loop.turn(1, 10_000)
    loop.put(pay(1))
    loop.turn(20_001, 30_000)
    return loop.kafka


def test_the_states_of_a_txn_are_written_to_the_partition_that_its_records_come_from() -> None:
    loop = Loop(partitions=(0, 3), detectors=(counting()[0],))
    loop.put(pay(0), partition=3)
    loop.turn(1, 10_000)
    assert [("state", b"count\x00tx1", 3)] == [
        (record.topic, record.key, record.partition) for record in loop.records("state")
    ]


def test_states_outlive_a_rewind_and_are_read_back_only_if_the_commits_outcome_is_unknown() -> None:
    loop = Loop(detectors=(counting()[0],))
    assert [0] == loop.input.read_back
    loop.put(pay(0))
    loop.output.problems["send"].append(Abortable("no"))
    loop.turn(1, 10_000, 10_001, 20_000)
    assert [0] == loop.input.read_back
    loop.put(pay(1))
    loop.output.problems["commit"].append(Replaced("nobody knows"))
    loop.turn(20_001, 30_000, 30_001)
    assert [0, 0] == loop.input.read_back


def test_a_partition_takes_its_states_with_it() -> None:
    loop = Loop(detectors=(counting()[0],))
    loop.put(pay(0))
    loop.turn(1, 10_000)
    loop.input.take(0)
    loop.turn(10_001)
    loop.input.give(0)
    loop.turn(10_002, 10_003)
    assert [0, 0] == loop.input.read_back


def test_when_the_input_gets_more_partitions_the_states_are_read_back() -> None:
    loop = Loop(detectors=(counting()[0],))
    loop.input.partition_count = 2
    loop.put(pay(0))
    loop.turn(1, 10_000, 10_001)
    assert [0, 0] == loop.input.read_back
    assert [2] == [one["partitions"] for one in loop.events("input_partitions_changed")]


def test_a_broker_that_has_not_heard_of_all_partitions_moves_nothing() -> None:
    loop = Loop(partitions=(0, 1), detectors=(counting()[0],))
    loop.input.partition_count = 1
    loop.put(pay(0))
    loop.turn(1, 10_000, 10_001)
    assert [0, 1] == loop.input.read_back


def test_an_exception_in_a_detector_ends_the_service_and_nothing_is_committed() -> None:
    loop = Loop(detectors=(ConfiguredDetector("mine", Broken()),))
    loop.put(pay(0, key="bad"))
    loop.turn(1)
    with pytest.raises(Fatal, match="detector mine: id 'bad', window"):
        loop.turn(10_000)
    assert [] == loop.kafka.commits


def test_shadow_alerts_go_to_their_own_topic_and_are_counted_apart() -> None:
    loop = Loop(detectors=(threshold("high", 5), threshold("trial", 5, shadow=True)))
    loop.put(pay(0, 9.0))
    loop.turn(1, 10_000)
    assert ["high"] == [one["detector"] for one in loop.payloads("alerts")]
    assert ["trial"] == [one["detector"] for one in loop.payloads("shadow")]
    assert (1, 1) == (
        loop.metric("anomalies_total", detector="high"), loop.metric("shadow_anomalies_total", detector="trial"),
    )  # fmt: skip
    assert None is loop.metric("anomalies_total", detector="trial")


def test_open_episodes_and_states_are_shown() -> None:
    loop = Loop(detectors=(threshold("high", 5, resolve_after=2),))
    loop.put(pay(0, 9.0), pay(0, 1.0, key="tx2"))
    loop.turn(1, 10_000, 12_000)
    assert (1, 1) == (loop.metric("open_episodes", detector="high"), loop.of_partition("state_keys"))
    assert ["open"] == [one["status"] for one in loop.payloads("alerts")]


# ---- silence by the wall clock -----------------------------------------------------------------------------------


def silent(loop: Loop) -> list[tuple[str, int]]:
    """Id and begin of each silence after T0."""
    return [(one["transaction_id"], one["window"]["start"] - T0) for one in loop.payloads("alerts")]


def wall(scope: str = "key", after_ms: int = 30_000) -> Loop:
    """A loop with an inactivity detector by the wall clock."""
    return Loop(detectors=(silence(after_ms, scope=scope, clock="wall"),), detail=LATEST, **BY_EVENT)


def steps(begin: int, end: int, step: int = 500) -> range:
    """Times from ``begin`` to ``end``."""
    return range(begin, end + 1, step)


def test_a_silent_partition_is_reported_without_any_record_once_and_again_after_the_next_record() -> None:
    loop = wall("partition")
    loop.put(pay(1_000))
    loop.turn(*steps(1_000, 30_500))
    assert [] == silent(loop)
    loop.turn(*steps(31_000, 100_000))
    assert [("", 1_000)] == silent(loop)
    (alert,) = loop.payloads("alerts")
    assert (0, 0.0, 30_000, "wall") == (alert["count"], alert["amount"], alert["limit"], alert["window"]["clock"])
    assert (T0 + 1_000, 0, 0) == (alert["timestamp"], alert["source"]["first_offset"], alert["source"]["last_offset"])
    loop.put(pay(2_000))
    loop.turn(*steps(100_500, 140_000))
    assert [("", 1_000), ("", 100_500)] == silent(loop)


def test_a_restart_reports_nothing_again() -> None:
    loop = wall("partition")
    loop.put(pay(1_000))
    loop.turn(*steps(1_000, 40_000))
    loop.input.take(0)
    loop.turn(40_500)
    loop.input.give(0)
    loop.turn(*steps(41_000, 200_000))
    assert [("", 1_000)] == silent(loop)


def test_after_a_rewind_silence_counts_from_the_time_when_everything_was_read_again() -> None:
    loop = wall("partition")
    loop.put(pay(1_000), pay(20_000))
    loop.turn(*steps(1_000, 5_000))
    loop.output.problems["send"].append(Abortable("no"))
    loop.put(pay(40_000))
    loop.turn(*steps(20_000, 48_000))
    assert 1 == len(loop.events("rewind"))
    assert [] == silent(loop)
    loop.turn(*steps(48_500, 60_000))
    assert 1 == len(silent(loop))


def test_our_own_absence_is_no_silence() -> None:
    loop = wall("partition")
    loop.put(pay(1_000))
    loop.turn(*steps(1_000, 5_000))
    loop.put(pay(2_000))  # comes while the service does not run for 95 s
    loop.turn(*steps(100_000, 129_000))
    assert [] == silent(loop)


def test_a_lagging_partition_is_not_silent() -> None:
    loop = wall("partition")
    loop.put(pay(1_000))
    loop.turn(*steps(1_000, 5_000))
    loop.put(pay(2_000))
    loop.input.slow.add(0)
    loop.turn(*steps(5_500, 100_000))
    assert [] == silent(loop)


def test_a_silent_key_is_reported_while_its_partition_is_not_silent() -> None:
    loop = wall()
    for at in steps(1_000, 60_000):
        keys = ("a", "b") if at < 10_000 else ("b",)
        loop.put(*(pay(at, key=key) for key in keys))
        loop.turn(at)
    assert [("a", 9_500)] == silent(loop)


def test_no_key_is_reported_while_its_whole_partition_is_silent_nor_at_once_afterwards() -> None:
    loop = wall()
    loop.put(pay(1_000, key="a"), pay(1_000, key="b"), pay(30_000, key="b"))
    loop.turn(*steps(1_000, 200_000))
    assert [] == silent(loop)
    for at in steps(200_500, 225_000):
        loop.put(pay(at, key="b"))
        loop.turn(at)
    assert [] == silent(loop)
    for at in steps(225_500, 240_000):
        loop.put(pay(at, key="b"))
        loop.turn(at)
    assert ["a"] == [key for key, _ in silent(loop)]


def test_a_key_in_an_open_window_is_not_silent() -> None:
    loop = Loop(
        detectors=(silence(5_000, clock="wall"),), detail=LATEST, clock=ClockName.EVENT,
        late_policy=LatePolicy.DIVERT, window_size_ms=60_000,
    )  # fmt: skip
    loop.put(pay(0, key="a"), pay(62_000, key="b"))
    loop.turn(1)
    for at in steps(500, 20_000):
        loop.put(pay(62_000, key="a" if at < 18_000 else "b"))
        loop.turn(at)
    assert [] == [one for one in silent(loop) if one[0] == "a"]
    for at in steps(20_500, 26_000):
        loop.put(pay(62_000, key="b"))
        loop.turn(at)
    assert [("a", 17_500)] == [one for one in silent(loop) if one[0] == "a"]


def test_a_partition_or_the_topic_has_one_state_whatever_its_ids_are() -> None:
    loop = wall("partition")
    loop.put(pay(1_000, key="a"), pay(1_000, key="b"), pay(90_000, key="c"))
    loop.turn(*steps(1_000, 20_000))
    assert {b"silent\x00"} == states(loop.kafka).keys()


def test_silence_is_found_although_the_partition_is_always_behind_its_end() -> None:
    loop = wall(after_ms=5_000)
    loop.input.batch = 1
    loop.put(*(pay(1_000, key="b") for _ in range(3)))
    for at in steps(1_000, 30_000):
        loop.put(pay(at, key="a" if at < 8_000 else "b"))
        loop.turn(at)
    assert ["a"] == [key for key, _ in silent(loop)]


def test_a_short_detector_of_silence_does_not_hold_up_a_long_one() -> None:
    short = ConfiguredDetector("short", Inactivity(after_ms=5_000, clock="wall"))
    loop = Loop(detectors=(short, silence(40_000, clock="wall")), detail=LATEST, **BY_EVENT)
    loop.put(pay(1_000, key="a"))
    for at in steps(1_000, 90_000):
        if at // 10_000 % 2 == 0:  # lulls of 10 s
            loop.put(pay(at, key="b"))
        loop.turn(at)
    assert ["a"] == [one["transaction_id"] for one in loop.payloads("alerts") if one["detector"] == "silent"]


def test_the_latency_of_alerts_is_that_of_windows_not_of_silences() -> None:
    loop = wall("partition")
    loop.put(pay(1_000))
    loop.turn(*steps(1_000, 60_000))
    assert 1 == len(silent(loop))
    assert 0 == loop.metric("alert_latency_seconds_count")


def test_the_end_of_a_shadow_episode_goes_to_the_alerts_if_no_shadow_detector_is_left() -> None:
    kafka = Loop(detectors=(threshold("high", 5, resolve_after=1, shadow=True),)).kafka
    for detectors in ((threshold("high", 5, resolve_after=1, shadow=True),), (threshold("high", 5, resolve_after=1),)):
        loop = Loop(kafka, detectors=detectors, shadow="shadow" if detectors[0].shadow else "")
        loop.put(pay(0, 9.0 if detectors[0].shadow else 1.0))
        loop.turn(1, 10_000)
    assert ["open"] == [one["status"] for one in loop.payloads("shadow")]
    assert ["resolved"] == [one["status"] for one in loop.payloads("alerts")]


def test_a_silent_topic_is_reported_by_the_owner_of_partition_0_only() -> None:
    for partitions in ((0, 1), (1,)):
        loop = Loop(
            partitions=partitions, detectors=(silence(30_000, scope="topic", clock="wall"),), detail=LATEST, **BY_EVENT
        )
        loop.input.partition_count = 2
        loop.put(pay(1_000), partition=1)
        loop.turn(*steps(1_000, 25_000))
        loop.put(pay(2_000), partition=1)
        loop.turn(*steps(25_500, 50_000))
        assert [] == silent(loop)
        loop.turn(*steps(50_500, 200_000))
        begins = [begin for _, begin in silent(loop)]  # the ends are asked for once a second
        assert len(begins) == (0 in partitions)
        assert all(25_500 <= begin < 26_500 for begin in begins)
