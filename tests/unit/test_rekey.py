"""`rekey` in the loop: what it writes, what it commits, and that a record comes once whatever fails."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from service.app.clients import consumer_config, producer_config, transactional_id, txn_timeouts_ms
from service.app.rekeying import rekey_settings
from service.core.model import EventTimeMs
from service.loop.errors import Abortable, Replaced, Retriable
from service.loop.output_topics import OutputTopics
from service.settings import load
from service.wire.decoder import Decoded, Decoder
from service.wire.records import InRecord
from service.wire.transactions import JsonDecoder
from tests.driver import T0
from tests.loop import FakeKafka, Loop, pay
from tests.unit.settings_files import NO_FILE
from tests.unit.test_cli_service import Txwatch

SPAN_MS = 200
BAD = b"not json"
DAY_MS = 86_400_000


def rekeying(kafka: FakeKafka | None = None, **more: Any) -> Loop:  # noqa: ANN401
    """The loop of `rekey`, with two partitions."""
    return Loop(kafka, partitions=(0, 1), rekey_to="by-id", window_size_ms=SPAN_MS, **more)


def places(loop: Loop) -> list[tuple[bytes | None, bytes | None]]:
    """Partition and offset, by the headers, of what was written."""
    headers = [dict(record.headers or []) for record in loop.records("by-id")]
    return [(one["txwatch.source.partition"], one["txwatch.source.offset"]) for one in headers]  # type: ignore[misc]


# ---- one record -----------------------------------------------------------------------------------------------


def test_a_record_keeps_everything_but_its_key_and_says_where_it_was() -> None:
    loop = rekeying()
    own = [("trace", b"\xff"), ("trace", None)]
    value = pay(5, 12.50, "tx\u00e9") + b"  "
    loop.put(pay(1, 1.0, "a"), value, partition=1, name=b"shop", more=own, created_ms=T0 - 7)
    loop.turn(1, SPAN_MS)
    _, record = loop.records("by-id")
    assert ("tx\u00e9".encode(), value, T0 - 7, -1) == (
        record.key,
        record.value,
        record.timestamp_ms,
        record.partition,
    )
    coordinates = [
        ("txwatch.source.topic", b"transactions"),
        ("txwatch.source.partition", b"1"),
        ("txwatch.source.offset", b"1"),
    ]
    assert [*own, *coordinates] == record.headers


def test_an_append_time_is_kept_too_and_a_record_without_a_time_gets_the_time_of_writing() -> None:
    loop = rekeying()
    loop.put(pay(1), appended_ms=T0 - 3)
    loop.put(pay(2))
    loop.turn(1, SPAN_MS)
    assert [T0 - 3, 0] == [record.timestamp_ms for record in loop.records("by-id")]


def test_a_bad_record_goes_to_the_dead_letter_topic_with_its_reason_and_not_further() -> None:
    loop = rekeying()
    loop.put(pay(1, key="a"), BAD, pay(2, key="b"), name=b"shop")
    loop.turn(1, SPAN_MS)
    assert [b"a", b"b"] == [record.key for record in loop.records("by-id")]
    (dead,) = loop.records("dead")
    headers = dict(dead.headers or [])
    assert (b"shop", BAD, b"1", b"not_json") == (
        dead.key,
        dead.value,
        headers["__connect.errors.offset"],
        headers["txwatch.reason"],
    )
    assert 1 == loop.metric("records_rejected_total", reason="not_json")
    assert 3 == loop.of_partition("records_total")


class Leaving(Decoder):
    """Leaves out each record whose key is ``out``."""

    def decode(self, records: Sequence[InRecord]) -> Decoded:
        out = {index: EventTimeMs(T0) for index, record in enumerate(records) if record.key() == b"out"}
        found = JsonDecoder().decode([record for record in records if record.key() != b"out"])
        assert not found.rejections, "not in this test"
        return Decoded(found.transactions, {}, out)


def test_a_filtered_record_is_counted_and_not_written() -> None:
    loop = rekeying(decoder=Leaving())
    loop.put(pay(1, key="a"))
    loop.put(pay(2, key="b"), BAD, name=b"out")
    loop.put(pay(3, key="c"))
    loop.turn(1, SPAN_MS)
    assert [b"a", b"c"] == [record.key for record in loop.kafka.out]
    assert (2, 4) == (loop.of_partition("records_filtered_total"), loop.of_partition("records_total"))
    assert {0: 4} == loop.kafka.commits[-1]


# ---- commits --------------------------------------------------------------------------------------------------


def test_everything_is_committed_at_the_end_of_a_short_span_and_nothing_where_nothing_came() -> None:
    loop = rekeying()
    loop.put(pay(1), pay(2))
    loop.put(pay(3), partition=1)
    loop.turn(1, 150)
    assert [] == loop.kafka.commits
    loop.turn(SPAN_MS, 2 * SPAN_MS, 3 * SPAN_MS)
    assert [{0: 2, 1: 1}] == loop.kafka.commits
    assert [(b"0", b"0"), (b"0", b"1"), (b"1", b"0")] == sorted(places(loop))


def test_txn_markers_at_the_end_are_committed_past() -> None:
    loop = rekeying()
    loop.put(pay(1))
    loop.kafka.put_marker(0)
    loop.turn(1, 2, SPAN_MS, 2 * SPAN_MS)
    assert 2 == loop.kafka.committed[0][0]


def test_there_are_no_windows_no_watermark_and_no_output_of_the_service() -> None:
    loop = rekeying()
    loop.put(pay(1, 9_000.0), pay(60_000, 9_000.0))
    loop.turn(1, SPAN_MS, 60_000, 120_000)
    assert {"by-id"} == {record.topic for record in loop.kafka.out}
    assert (0, None) == (loop.metric("windows_closed_total"), loop.of_partition("watermark_timestamp_seconds"))


@pytest.mark.parametrize("step", ["send", "commit"])
@pytest.mark.parametrize("problem", [Abortable("x"), Retriable("stopped"), Replaced("the old one hangs")])
def test_after_an_abort_each_record_is_written_once(step: str, problem: Abortable | Retriable) -> None:
    loop = rekeying()
    loop.put(pay(1, key="a"), BAD, pay(2, key="b"))
    loop.put(pay(3, key="c"), partition=1)
    loop.turn(1)
    loop.output.problems[step].append(problem)
    loop.turn(SPAN_MS, SPAN_MS + 1, 2 * SPAN_MS, 1_000, 2_000)
    assert [(b"0", b"0"), (b"0", b"2"), (b"1", b"0")] == sorted(places(loop))
    assert [BAD] == [record.value for record in loop.records("dead")]


@pytest.mark.parametrize("lost", [False, True])
def test_a_revoked_partition_leaves_nothing_in_the_txn_and_the_next_owner_writes_it(lost: bool) -> None:  # noqa: FBT001
    loop = rekeying()
    loop.put(pay(1, key="a"))
    loop.put(pay(3, key="c"), partition=1)
    loop.turn(1)
    loop.input.take(0, lost=lost)
    loop.turn(2, SPAN_MS, 2 * SPAN_MS, 3 * SPAN_MS)
    assert [(b"1", b"0")] == places(loop)
    heir = rekeying(loop.kafka)
    heir.turn(1, SPAN_MS)
    assert [(b"0", b"0"), (b"1", b"0")] == sorted(places(heir))


# ---- what it says ---------------------------------------------------------------------------------------------


def test_there_is_one_line_a_second_about_checkpoints_and_each_counts() -> None:
    loop = rekeying(line_every_ms=1_000)
    for now in range(1, 2_000, SPAN_MS):
        loop.put(pay(now))
        loop.turn(now)
    assert 2 == len(loop.events("checkpoint"))
    assert 9 == loop.metric("transactions_total", outcome="committed")


def test_records_older_than_the_retention_are_reported_once_a_minute_with_their_number() -> None:
    loop = rekeying(retention_ms=DAY_MS)
    loop.put(pay(1), pay(2), created_ms=T0 - DAY_MS - 1)
    loop.put(pay(3), created_ms=T0 - DAY_MS + 5_000)
    loop.turn(1, SPAN_MS)
    loop.put(pay(4), pay(5), pay(6), created_ms=T0 - 2 * DAY_MS)
    loop.turn(5_000, 6_000)
    assert [2] == [entry["records"] for entry in loop.events("older_than_retention")]
    loop.put(pay(7), created_ms=T0 - 2 * DAY_MS)
    loop.turn(60_001, 60_300)
    assert [2, 4] == [entry["records"] for entry in loop.events("older_than_retention")]
    assert 7 == len(loop.records("by-id"))


@pytest.mark.parametrize("retention_ms", [-1, 3 * DAY_MS])
def test_records_that_the_topic_keeps_are_not_reported(retention_ms: int) -> None:
    loop = rekeying(retention_ms=retention_ms)
    loop.put(pay(1), created_ms=T0 - 2 * DAY_MS)
    loop.put(pay(2))
    loop.turn(1, SPAN_MS)
    assert [] == loop.events("older_than_retention")


# ---- the command ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("transactions", "transactions is the input itself (TOPICS_TRANSACTIONS): each record would come again"),
        ("transactions.dead-letter", "transactions.dead-letter is in use already, as TOPICS_DEAD_LETTER"),
        ("alerts", "alerts is in use already, as TOPICS_ALERTS"),
        ("by id", "'by id' is no topic name: 1 to 249 of A-Z a-z 0-9 . _ -, but not . or .. alone"),
        ("", "'' is no topic name: 1 to 249 of A-Z a-z 0-9 . _ -, but not . or .. alone"),
    ],
)
def test_a_target_that_cannot_be_used_is_exit_2(tmp_path: Path, target: str, why: str) -> None:
    assert f"txwatch: --to: {why}" == Txwatch(tmp_path)("rekey", "--to", target, LOG_FORMAT="json").complaint()


def test_the_target_must_be_named(tmp_path: Path) -> None:
    assert "--to" in Txwatch(tmp_path)("rekey").complaint()


def test_group_and_transactional_id_end_with_rekey_and_differ_from_the_services() -> None:
    settings = load(
        NO_FILE, {"KAFKA_GROUP_ID": "mine", "KAFKA_INSTANCE_ID": "one", "WINDOW_SIZE_MS": "1000000"}
    ).settings
    found = rekey_settings(settings, "by-id")
    assert "mine-rekey" == consumer_config(found, lambda _: None)["group.id"]
    assert "mine-one-rekey" == transactional_id(found.kafka, "one")
    assert "mine-two-rekey" == transactional_id(found.kafka, "two")
    assert "mine-one" == transactional_id(settings.kafka, "one")
    assert 60_200 == txn_timeouts_ms(found)[0]


def test_the_client_takes_records_as_large_as_the_target_does() -> None:
    topics = OutputTopics("", "", "", "dead", 1_000, 0, 2_000, rekeyed="by-id", rekeyed_max_bytes=5_000_000)
    config = producer_config(load(NO_FILE, {}).settings, lambda _: None, topics)
    assert 5_000_000 == config["message.max.bytes"]
    assert ["dead", "by-id"] == topics.names
