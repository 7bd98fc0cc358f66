"""The loop: windows close by the clock, and what is committed is what is in closed windows."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json
from typing import Any

import pytest

from service.core.model import ClockName, LatePolicy, Offset
from service.wire.input.decoder import InputMapping, MappedJsonDecoder
from service.wire.progress import decode_progress
from service.wire.records import OutRecord
from tests.driver import T0
from tests.loop import FakeKafka, Loop, pay

BAD = b"not json"


def reasons(records: list[OutRecord]) -> list[bytes | str | None]:
    """Why each of these records was set aside."""
    return [dict(record.headers or [])["txwatch.reason"] for record in records]


def test_a_window_closes_by_the_clock_with_no_new_data() -> None:
    loop = Loop()
    loop.put(pay(0, 5.0))
    loop.turn(1_000, 9_999)
    assert [] == loop.kafka.out
    loop.turn(10_000)
    assert [(0, "tx1", 5.0, 1)] == loop.sums()


def test_an_anomaly_is_written_with_its_partitions_watermark() -> None:
    loop = Loop(partitions=(0, 1))
    loop.put(pay(5_000, 9_000.0))
    loop.put(pay(500_000, 1.0), partition=1)
    loop.turn(1, 10_000)
    (alert,) = loop.payloads("alerts")
    assert (T0 + 4_000, 9_000.0, "tx1") == (alert["watermark"], alert["amount"], alert["transaction_id"])
    assert T0 + 10_000 == alert["detected_at"]


def test_no_anomaly_is_no_alert() -> None:
    loop = Loop()
    loop.put(pay(0, 8_000.0))
    loop.turn(1, 10_000)
    assert [] == loop.payloads("alerts")


def test_without_a_topic_for_them_aggregates_go_nowhere() -> None:
    loop = Loop(aggregates="")
    loop.put(pay(0, 9_000.0))
    loop.turn(1, 10_000)
    assert ["alerts"] == [record.topic for record in loop.kafka.out]


def test_a_batch_that_arrives_after_the_end_belongs_to_the_next_window() -> None:
    loop = Loop()
    loop.put(pay(0, 1.0))
    loop.turn(9_999)
    loop.put(pay(0, 2.0))
    loop.turn(10_000)
    assert [(0, "tx1", 1.0, 1)] == loop.sums()
    loop.turn(20_000)
    assert [(0, "tx1", 1.0, 1), (10_000, "tx1", 2.0, 1)] == loop.sums()


def test_a_batch_that_arrives_after_the_end_is_not_committed_with_the_window_before() -> None:
    loop = Loop()
    loop.put(pay(0, 1.0))
    loop.turn(9_999)
    loop.put(pay(0, 2.0))
    loop.turn(10_000)
    assert [{0: 1}] == loop.kafka.commits


def test_the_watermark_is_committed_with_the_offset() -> None:
    loop = Loop()
    loop.put(pay(3_000), pay(2_500))
    loop.turn(1, 10_000)
    assert {0: (2, T0 + 2_000)} == loop.kafka.committed


def test_a_watermark_that_a_batch_of_the_next_window_moved_is_not_committed_with_the_window_before() -> None:
    loop = Loop()
    loop.put(pay(3_000))
    loop.turn(1)
    loop.put(pay(9_000))
    loop.turn(10_000)
    assert {0: (1, T0 + 2_000)} == loop.kafka.committed


def test_a_boundary_with_nothing_read_commits_nothing() -> None:
    loop = Loop()
    loop.turn(*range(0, 60_000, 5_000))
    assert [] == loop.kafka.commits


def test_a_second_boundary_with_nothing_new_commits_nothing() -> None:
    loop = Loop()
    loop.put(pay(0))
    loop.turn(1, 10_000, 20_000, 30_000)
    assert 1 == len(loop.kafka.commits)


def test_only_partitions_that_moved_are_committed() -> None:
    loop = Loop(partitions=(0, 1))
    loop.put(pay(0), partition=1)
    loop.turn(1, 10_000)
    assert [{1: 1}] == loop.kafka.commits


def test_a_partition_that_moved_once_is_not_committed_again() -> None:
    loop = Loop(partitions=(0, 1))
    loop.put(pay(0))
    loop.put(pay(0), partition=1)
    loop.turn(1, 10_000)
    loop.put(pay(0))
    loop.turn(10_001, 20_000)
    assert [{0: 1, 1: 1}, {0: 2}] == loop.kafka.commits


def test_markers_behind_the_last_record_are_committed_past() -> None:
    loop = Loop()
    loop.put(pay(0))
    loop.kafka.put_marker(0)
    loop.turn(1, 2, 10_000)
    assert [{0: 2}] == loop.kafka.commits


def test_offsets_with_gaps_are_reported_as_they_are() -> None:
    loop = Loop()
    loop.put(pay(0))
    loop.kafka.put_marker(0)
    loop.put(pay(0))
    loop.turn(1, 10_000)
    (aggregate,) = loop.payloads("aggregates")
    assert (0, 2, 2) == (aggregate["source"]["first_offset"], aggregate["source"]["last_offset"], aggregate["count"])


def test_partitions_know_nothing_of_each_other() -> None:
    loop = Loop(partitions=(0, 1), late="late", late_policy=LatePolicy.DIVERT)
    loop.put(pay(60_000, 1.0))
    loop.put(pay(0, 2.0), partition=1)
    loop.turn(1, 10_000)
    assert [(0, "tx1", 1.0, 1), (0, "tx1", 2.0, 1)] == loop.sums()
    assert {0: (1, T0 + 59_000), 1: (1, T0 - 1_000)} == loop.kafka.committed


def test_one_bad_record_goes_to_the_dead_letters_and_its_neighbours_are_counted() -> None:
    loop = Loop()
    loop.put(pay(0, 1.0), BAD, pay(0, 2.0))
    loop.turn(1)
    assert [] == loop.kafka.out
    loop.turn(10_000)
    assert [(0, "tx1", 3.0, 2)] == loop.sums()
    assert [BAD] == [record.value for record in loop.records("dead")]
    assert [b"not_json"] == reasons(loop.records("dead"))


def test_a_dead_letter_carries_the_record_byte_for_byte() -> None:
    loop = Loop()
    loop.put(BAD, name=b"\xff", more=[("a", b"\x00")], created_ms=T0)
    loop.turn(1, 10_000)
    (record,) = loop.records("dead")
    headers = record.headers or []
    assert (b"\xff", BAD, ("a", b"\x00")) == (record.key, record.value, headers[0])
    assert str(T0).encode() == dict(headers)["txwatch.timestamp"]


def test_a_dead_letter_of_a_record_without_a_timestamp_has_no_header_for_it() -> None:
    loop = Loop()
    loop.put(BAD, created_ms=-1)
    loop.turn(1, 10_000)
    (record,) = loop.records("dead")
    assert "txwatch.timestamp" not in dict(record.headers or [])


def test_a_window_with_nothing_but_bad_records_is_committed_without_an_aggregate() -> None:
    loop = Loop()
    loop.put(None, b"", BAD)
    loop.turn(1, 10_000)
    assert [b"empty_value", b"empty_value", b"not_json"] == reasons(loop.records("dead"))
    assert ([], [{0: 3}]) == (loop.sums(), loop.kafka.commits)


def test_a_record_of_the_future_is_a_dead_letter() -> None:
    loop = Loop(max_future_ms=1_000)
    loop.put(pay(1_001), pay(1_000))
    loop.turn(0, 10_000)
    assert [b"timestamp_in_future"] == reasons(loop.records("dead"))
    assert [(0, "tx1", 1.0, 1)] == loop.sums()


LATE = (pay(5_000, 1.0), pay(4_000, 2.0), pay(3_999, 4.0))


def test_late_records_are_included() -> None:
    loop = Loop(late="", late_policy=LatePolicy.INCLUDE)
    loop.put(*LATE)
    loop.turn(1, 10_000)
    assert [(0, "tx1", 7.0, 3)] == loop.sums()
    assert [1] == [one["late_count"] for one in loop.payloads("aggregates")]
    assert {"aggregates"} == {record.topic for record in loop.kafka.out}


def test_late_records_are_diverted_to_their_topic() -> None:
    loop = Loop(late="late", late_policy=LatePolicy.DIVERT)
    loop.put(*LATE)
    loop.turn(1, 10_000)
    assert [(0, "tx1", 3.0, 2)] == loop.sums()
    assert [LATE[2]] == [record.value for record in loop.records("late")]
    assert ([b"late"], []) == (reasons(loop.records("late")), loop.records("dead"))


def test_late_records_are_dropped() -> None:
    loop = Loop(late="", late_policy=LatePolicy.DROP)
    loop.put(*LATE)
    loop.turn(1, 10_000)
    assert [(0, "tx1", 3.0, 2)] == loop.sums()
    assert {"aggregates"} == {record.topic for record in loop.kafka.out}


@pytest.mark.parametrize("policy", list(LatePolicy))
def test_late_records_are_counted_whatever_becomes_of_them(policy: LatePolicy) -> None:
    loop = Loop(late="late" if policy is LatePolicy.DIVERT else "", late_policy=policy)
    loop.put(*LATE)
    loop.turn(1)
    assert (1, 3) == (loop.of_partition("records_late_total"), loop.of_partition("records_total"))
    assert 0 == loop.metric("records_rejected_total", reason="schema")


def test_a_flood_of_bad_records_does_not_wait_in_memory_for_the_windows_end() -> None:
    loop = Loop()
    flood = [bytes([number]) * 1_500_000 for number in range(25)]
    loop.put(*flood)
    loop.turn(1)
    assert (25, []) == (len(loop.output.sent), loop.kafka.out)
    loop.turn(10_000)
    assert flood == [record.value for record in loop.records("dead")]


def test_the_wait_for_records_ends_with_the_window() -> None:
    loop = Loop()
    loop.turn(1)
    loop.put(pay(0))
    loop.turn(9_970, 9_980)
    assert pytest.approx([0.1, 0.1, 0.02]) == [*loop.input.waits[-3:-1], loop.input.waits[-1]]


def test_the_wait_is_never_negative() -> None:
    loop = Loop()
    loop.put(pay(0))
    loop.turn(1, 12_345)
    assert 0 == loop.input.waits[-1]


def test_starting_again_goes_on_where_it_was_committed() -> None:
    kafka = FakeKafka()
    first = Loop(kafka)
    first.put(pay(5_000, 1.0))
    first.turn(1, 10_000)
    second = Loop(kafka, now=10_001, late="late", late_policy=LatePolicy.DIVERT)
    second.put(pay(3_999, 2.0), pay(4_000, 4.0))
    second.turn(10_002, 20_000)
    assert [(0, "tx1", 1.0, 1), (10_000, "tx1", 4.0, 1)] == second.sums()
    assert [b"late"] == reasons(second.records("late"))


def test_two_findings_of_one_window_have_names_of_their_own() -> None:
    loop = Loop(partitions=(0, 1))
    loop.put(pay(0, 9_000.0, "a"), pay(0, 9_000.0, "b"))
    loop.put(pay(0, 9_000.0, "a"), partition=1)
    loop.turn(1, 10_000)
    names = [json.loads(record.value or b"")["alert_id"] for record in loop.records("alerts")]
    assert 3 == len(set(names))


def test_what_ends_the_input_and_is_no_record_is_committed_past() -> None:
    loop = Loop()
    loop.kafka.put_marker(0)
    loop.turn(1)
    assert {} == loop.kafka.committed
    loop.turn(10_000)
    assert (1, None) == loop.kafka.committed[0]
    loop.turn(20_000, 30_000)
    assert 1 == len(loop.kafka.commits)


# ---- records that the mapping leaves out ------------------------------------------------------------------------


def test_filtered_records_are_counted_once_and_committed_past() -> None:
    decoder = MappedJsonDecoder(InputMapping(where="op=c", ignore_tombstones=True))
    loop = Loop(decoder=decoder, max_future_ms=0)
    loop.put(pay(0, key="a")[:-1] + b',"op":"c"}', pay(9_000, "x")[:-1] + b',"op":"d"}', None, b"{}")
    loop.turn(1, 2)
    labels = {"topic": "transactions", "partition": "0"}
    assert 3 == loop.registry.get_sample_value("txwatch_records_filtered_total", labels)
    assert 4 == loop.registry.get_sample_value("txwatch_records_total", labels)
    loop.turn(10_000, 10_001)
    (window,) = loop.payloads("aggregates")
    assert ("a", T0 + 8_000) == (window["transaction_id"], window["watermark"])
    assert ([], 4) == (loop.records("dead"), loop.kafka.committed[0][0])


def test_records_that_are_all_filtered_are_committed_past() -> None:
    loop = Loop(decoder=MappedJsonDecoder(InputMapping(where="op=c")))
    loop.put(b"{}", b"{}")
    loop.turn(1, 10_000, 10_001)
    assert 2 == loop.kafka.committed[0][0]
    assert [] == loop.kafka.out


def test_filtered_records_that_are_read_again_are_not_counted_again() -> None:
    decoder = MappedJsonDecoder(InputMapping(where="op=c"))
    more: dict[str, Any] = {"decoder": decoder, "clock": ClockName.EVENT, "late_policy": LatePolicy.DROP}
    loop = Loop(**more)
    loop.put(pay(0)[:-1] + b',"op":"c"}', b"{}", pay(3_000)[:-1] + b',"op":"d"}')
    loop.turn(1, 10_000, 10_001)
    assert (0, 3) == (loop.kafka.committed[0][0], decode_progress(Offset(0), loop.kafka.metadata[0]).ahead.read)  # type: ignore[union-attr]
    after = Loop(loop.kafka, now=10_002, **more)
    after.turn(10_003)
    labels = {"topic": "transactions", "partition": "0"}
    assert after.registry.get_sample_value("txwatch_records_filtered_total", labels) is None
