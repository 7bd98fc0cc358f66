"""What the loop tells others: readiness with its reason, each partition, metrics, and one line a checkpoint."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import pytest

from service.loop.errors import Abortable, Retriable
from service.loop.events import Trouble
from service.observe.status import PartitionStatus
from tests.driver import T0
from tests.loop import TOPIC, Loop, pay

GAUGES = ("watermark_timestamp_seconds", "partition_idle", "consumer_lag_records", "open_windows")


def test_before_the_group_has_answered_it_is_not_ready() -> None:
    loop = Loop(partitions=())
    loop.turn(1)
    assert "waiting to join the consumer group" == loop.why_not_ready()


def test_with_partitions_that_run_it_is_ready() -> None:
    assert Loop().why_not_ready() is None


def test_a_member_without_partitions_is_ready_and_has_no_watermark() -> None:
    loop = Loop(partitions=())
    loop.input.known_to_the_group = True
    loop.turn(1_000)
    assert (None, ()) == (loop.why_not_ready(), loop.partitions())
    assert loop.metric("watermark_min_timestamp_seconds") is None


def test_partitions_that_wait_for_their_offsets_are_named() -> None:
    loop = Loop(partitions=())
    loop.input.problems["restore"].append(Retriable("no answer"))
    loop.input.give(2, 0)
    loop.turn(1)
    assert (loop.why_not_ready() or "").startswith("waiting for the committed offsets of partition 0, 2")
    assert [] == loop.events("partition_started")
    loop.turn(600)
    assert loop.why_not_ready() is None
    assert [0, 2] == [line["partition"] for line in loop.events("partition_started")]


def test_without_the_committed_offsets_the_reason_says_why_and_it_is_not_ready() -> None:
    """As with a broker that answers everything else: docs/decisions/client.md, "Stranded offsets"."""
    loop = Loop(partitions=())
    loop.input.problems["restore"] += [Retriable("no answer")] * 3
    loop.input.give(0)
    loop.turn(1, 1_001, 2_001)
    assert "waiting for the committed offsets of partition 0: no answer" == loop.why_not_ready()
    assert ([], 1) == (loop.events("kafka_well_again"), len(loop.events("kafka_trouble")))


def test_trouble_is_the_reason_until_the_broker_answers_again() -> None:
    loop = Loop()
    loop.input.problems["reach"].append(Retriable("reach the broker: timed out"))
    loop.input.stale = [Trouble("all brokers down"), Trouble("all brokers down")]
    loop.turn(1)
    loop.turn(1_001)
    assert "reach the broker: timed out" == loop.why_not_ready()
    loop.turn(2_001)
    assert loop.why_not_ready() is None
    assert 1 == len(loop.events("kafka_trouble"))
    assert 1 == len(loop.events("kafka_well_again"))


def test_that_a_throttled_consumer_gets_no_answer_is_no_trouble() -> None:
    loop = Loop()
    loop.input.stale = [Trouble("ask for the last offset: timed out")]
    loop.input.problems["reach"] += [Retriable("reach the broker: timed out")] * 2
    loop.input.throttled = True
    loop.turn(1, 1_001)
    assert loop.why_not_ready() is None
    loop.input.throttled = False
    loop.turn(2_001)
    assert "reach the broker: timed out" == loop.why_not_ready()


def test_a_partition_that_a_throttle_holds_up_is_not_stuck() -> None:
    loop = Loop()
    loop.input.slow.add(0)
    loop.input.throttled = True
    loop.put(pay(0))
    loop.turn(*range(1_000, 60_000, 1_000))
    assert loop.board.status.stuck is None
    loop.input.throttled = False
    loop.turn(*range(60_000, 100_000, 1_000))
    assert "partition 0 is stuck at offset 0 although it has records" == loop.board.status.stuck


def test_a_partition_that_a_long_commit_holds_up_is_not_stuck() -> None:
    loop = Loop(partitions=(0, 1))
    loop.input.slow.add(1)
    loop.put(pay(0), partition=1)
    loop.output.commit_takes_ms = 20_000
    for start in range(0, 120_000, 30_000):
        loop.put(pay(start))
        loop.turn(*range(start + 1_000, start + 11_000, 1_000))
    assert loop.board.status.stuck is None


def test_where_commit_after_commit_fails_it_is_not_ready_until_one_works_or_the_partitions_change() -> None:
    loop = Loop()
    loop.put(pay(0))
    loop.output.problems["commit"] += [Abortable("not taken")] * 4
    loop.turn(1, 10_000, 10_001, 20_000, 21_001)
    assert loop.why_not_ready() is None
    loop.turn(30_000, 31_001)
    assert "the last 3 commits failed: not taken" == loop.why_not_ready()
    loop.input.give(1)
    loop.turn(31_002)
    loop.input.take(1)
    loop.turn(31_003)
    assert loop.why_not_ready() is None
    loop.turn(40_000, 41_001, 50_000, 51_001)
    assert [1] == [count for _, _, _, count in loop.sums()]
    assert loop.why_not_ready() is None


def test_trouble_before_the_group_has_answered_is_in_the_reason() -> None:
    loop = Loop(partitions=())
    loop.input.problems["reach"] += [Retriable("connection refused")] * 2
    loop.input.stale = [Trouble("connection refused")]
    loop.turn(1, 1_001)
    assert "waiting to join the consumer group: connection refused" == loop.why_not_ready()


def test_a_partition_is_shown_with_everything_that_is_documented() -> None:
    loop = Loop()
    loop.put(pay(5_000, key="a"), pay(4_000, key="b"), pay(4_000, key="a"))
    loop.turn(500, 1_500)
    assert (PartitionStatus(TOPIC, 0, 3, 0, T0 + 4_000, idle=False, open_keys=2),) == loop.partitions()


def test_the_snapshot_is_a_second_old_at_most() -> None:
    loop = Loop()
    loop.put(pay(5_000))
    loop.turn(999)
    assert [0] == [one.position for one in loop.partitions()]
    loop.turn(1_000)
    assert [1] == [one.position for one in loop.partitions()]


def test_gauges_are_in_seconds_and_of_each_partition() -> None:
    loop = Loop(partitions=(0, 1))
    loop.put(pay(5_500))
    loop.turn(1_000, 2_000)
    assert [(T0 + 4_500) / 1_000, 0, 0, 1] == [loop.of_partition(name) for name in GAUGES]
    assert [None, 0, 0, 0] == [loop.of_partition(name, 1) for name in GAUGES]


def test_the_services_watermark_is_the_least_of_partitions_that_are_not_idle() -> None:
    loop = Loop(partitions=(0, 1), idle_after_ms=30_000)
    loop.put(pay(5_000))
    loop.turn(1, 2)
    loop.put(pay(9_000), partition=1)
    loop.turn(20_000)
    assert (T0 + 4_000) / 1_000 == loop.metric("watermark_min_timestamp_seconds")
    loop.turn(31_000)
    assert (1, 0) == (loop.of_partition("partition_idle"), loop.of_partition("partition_idle", 1))
    assert (T0 + 8_000) / 1_000 == loop.metric("watermark_min_timestamp_seconds")


def test_when_all_are_idle_there_is_no_watermark_of_the_service_but_those_of_the_partitions() -> None:
    loop = Loop()
    loop.put(pay(5_000))
    loop.turn(1, 2, 60_000)
    assert 1 == loop.of_partition("partition_idle")
    assert loop.metric("watermark_min_timestamp_seconds") is None
    assert (T0 + 4_000) / 1_000 == loop.of_partition("watermark_timestamp_seconds")


def test_records_that_are_still_to_be_read_are_the_lag() -> None:
    loop = Loop()
    loop.put(*[pay(0)] * 700)
    loop.turn(1_000)
    assert (500, 200) == (loop.partitions()[0].position, loop.of_partition("consumer_lag_records"))
    assert 500 == loop.of_partition("records_total")


def test_rebalances_are_counted_by_kind() -> None:
    loop = Loop(partitions=(0, 1))
    loop.input.take(0)
    loop.turn(1)
    loop.input.take(1, lost=True)
    loop.turn(2)
    kinds = [loop.metric("rebalances_total", kind=kind) for kind in ("assigned", "revoked", "lost")]
    assert [1, 1, 1] == kinds
    assert ([0], [1]) == (
        loop.events("partitions_revoked")[0]["partitions"],
        loop.events("partitions_lost")[0]["partitions"],
    )


def test_a_checkpoint_is_counted_once_it_is_committed() -> None:
    loop = Loop(partitions=(0, 1))
    loop.put(pay(0, 9_000.0, "a"), pay(0, 1.0, "b"))
    loop.put(pay(0, 9_000.0, "a"), partition=1)
    loop.turn(1)
    assert 0 == loop.metric("anomalies_total", detector="threshold")
    loop.turn(10_000)
    assert 2 == loop.metric("anomalies_total", detector="threshold")
    assert 3 == loop.metric("windows_closed_total")
    assert 1 == loop.metric("transactions_total", outcome="committed")


def test_the_latency_is_from_the_windows_end_to_the_end_of_the_commit() -> None:
    loop = Loop()
    loop.put(pay(0, 9_000.0))
    loop.turn(1)
    loop.output.commit_takes_ms = 20
    loop.turn(10_007)
    assert 1 == loop.metric("alert_latency_seconds_count") == loop.metric("commit_seconds_count")
    assert pytest.approx(0.027) == loop.metric("alert_latency_seconds_sum")
    assert pytest.approx(0.020) == loop.metric("commit_seconds_sum")


def test_a_window_without_an_alert_has_no_alert_latency() -> None:
    loop = Loop()
    loop.put(pay(0, 1.0))
    loop.turn(1, 10_000)
    assert (0, 1) == (loop.metric("alert_latency_seconds_count"), loop.metric("commit_seconds_count"))


def test_a_checkpoint_is_one_line() -> None:
    loop = Loop(partitions=(0, 1))
    loop.put(pay(0, 9_000.0, "a"), pay(0, 1.0, "b"), b"not json")
    loop.put(pay(0, 1.0), partition=1)
    loop.turn(1)
    loop.output.commit_takes_ms = 20
    before = len(loop.logged)
    loop.turn(10_000)
    expected = {
        "event": "checkpoint",
        "log_level": "info",
        "window_end": T0 + 10_000,
        "windows": 3,
        "anomalies": 1,
        "commit_ms": 20,
        "partitions": 2,
        "set_aside": 1,
        "states": 0,
    }
    assert [expected] == [dict(entry) for entry in loop.logged[before:]]


def test_a_checkpoint_without_windows_has_no_end() -> None:
    loop = Loop()
    loop.put(b"not json")
    loop.turn(1, 10_000)
    (line,) = loop.events("checkpoint")
    assert (None, 0, 0, 1) == (line["window_end"], line["windows"], line["anomalies"], line["set_aside"])


def test_nothing_is_logged_while_nothing_happens() -> None:
    loop = Loop()
    before = len(loop.logged)
    loop.turn(*range(1, 120_000, 1_000))
    assert before == len(loop.logged)


def test_a_partitions_start_is_logged_with_offset_and_watermark() -> None:
    first = Loop()
    first.put(pay(5_000))
    first.turn(1, 10_000)
    second = Loop(first.kafka, now=10_001)
    assert [(0, 1, T0 + 4_000)] == [
        (line["partition"], line["offset"], line["watermark"]) for line in second.events("partition_started")
    ]


def test_each_turn_is_a_beat() -> None:
    loop = Loop()
    loop.turn(29_000)
    assert loop.board.alive
    loop.clock.now_ms = type(loop.clock.now_ms)(T0 + 58_999)
    assert loop.board.alive
    loop.clock.now_ms = type(loop.clock.now_ms)(T0 + 59_000)
    assert not loop.board.alive


def test_an_aborted_checkpoint_has_no_line() -> None:
    loop = Loop()
    loop.put(pay(0))
    loop.turn(1)
    loop.output.problems["commit"].append(Abortable("x"))
    loop.turn(10_000)
    assert ([], 1) == (loop.events("checkpoint"), len(loop.events("rewind")))
