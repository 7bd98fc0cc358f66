"""Settings: environment over TOML over defaults; unknown names and wrong values stop the start and are named."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json
import os
from decimal import Decimal
from itertools import combinations
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.core.model import LatePolicy
from service.settings import NAMES, PROTECTED_PROPERTIES, load
from tests.unit.settings_files import NO_FILE, Written, complaint

# ---- where they come from -----------------------------------------------------------------------------------


def test_the_defaults_are_the_documented_ones() -> None:
    settings = load(NO_FILE, {}).settings
    assert ("localhost:9092", "txwatch", {}) == (
        settings.kafka.bootstrap_servers,
        settings.kafka.group_id,
        settings.kafka.properties,
    )
    assert os.uname().nodename == settings.kafka.instance_id
    topics = settings.topics
    assert ("transactions", "alerts", "") == (topics.transactions, topics.alerts, topics.aggregates)
    assert ("transactions.late", "transactions.dead-letter", "txwatch.state", "alerts.shadow") == (
        topics.late,
        topics.dead_letter,
        topics.state,
        topics.shadow,
    )
    assert (True, 4, -1) == (topics.create, topics.partitions, topics.replication)
    assert ("json", "transaction_id", "timestamp", "epoch_ms", "amount", "number", "", "reject") == tuple(
        settings.input.model_dump().values()
    )
    watermark = settings.watermark
    assert (1_000, 30_000, 300_000) == (watermark.lateness_ms, watermark.idle_after_ms, watermark.max_future_ms)
    assert (10_000, "processing") == (settings.window.size_ms, settings.window.clock)
    assert (LatePolicy.INCLUDE, Decimal(8000)) == (settings.late.policy, settings.detect.limit)
    assert (2_592_000_000, ()) == (settings.detect.forget_after_ms, settings.detectors)
    assert ("0.0.0.0", 8000, False) == (settings.http.host, settings.http.port, settings.http.page)  # noqa: S104 - as documented
    assert ("info", None) == (settings.log.level, settings.log.format)


def test_the_names_are_the_documented_ones() -> None:
    expected = """
        KAFKA_BOOTSTRAP_SERVERS KAFKA_GROUP_ID KAFKA_INSTANCE_ID KAFKA_PROPERTIES TOPICS_TRANSACTIONS TOPICS_ALERTS
        TOPICS_AGGREGATES TOPICS_LATE TOPICS_DEAD_LETTER TOPICS_STATE TOPICS_SHADOW TOPICS_UNDELIVERED TOPICS_CREATE
        TOPICS_PARTITIONS TOPICS_REPLICATION DETECT_FORGET_AFTER_MS
        WATERMARK_LATENESS_MS WATERMARK_IDLE_AFTER_MS WATERMARK_MAX_FUTURE_MS WINDOW_SIZE_MS WINDOW_CLOCK
        WINDOW_INGESTION_MARGIN_MS WINDOW_EVENT_FLUSH_AFTER_MS LATE_POLICY DETECT_LIMIT HTTP_HOST HTTP_PORT
        HTTP_PAGE LOG_LEVEL LOG_FORMAT INPUT_FORMAT INPUT_TRANSACTION_ID INPUT_TIMESTAMP INPUT_TIMESTAMP_FORMAT
        INPUT_AMOUNT INPUT_AMOUNT_FORMAT INPUT_WHERE INPUT_TOMBSTONES REGISTRY_URL
        REGISTRY_PROPERTIES
    """
    assert set(expected.split()) == set(NAMES)


def test_toml_beats_the_default(written: Written) -> None:
    assert 5_000 == load(written("[window]\nsize_ms = 5000"), {}).settings.window.size_ms


def test_the_environment_beats_toml(written: Written) -> None:
    loaded = load(written("[window]\nsize_ms = 5000"), {"WINDOW_SIZE_MS": "7000"})
    assert 7_000 == loaded.settings.window.size_ms


def test_each_setting_is_beaten_by_itself(written: Written) -> None:
    file = written('[kafka]\ngroup_id = "toml"\ninstance_id = "toml"')
    kafka = load(file, {"KAFKA_GROUP_ID": "environment"}).settings.kafka
    assert ("environment", "toml", "localhost:9092") == (kafka.group_id, kafka.instance_id, kafka.bootstrap_servers)


def test_every_setting_can_be_given_by_the_environment() -> None:
    given_values = {
        **{name: name.lower() for name in NAMES if name.startswith(("KAFKA_", "TOPICS_"))},
        **{
            name: "1"
            for name in NAMES
            if name.endswith(("_MS", "PARTITIONS", "REPLICATION", "CREATE", "LIMIT", "PORT"))
        },
        "KAFKA_PROPERTIES": '{"security.protocol":"SSL"}',
        "REGISTRY_URL": "https://one:8081,https://two:8081",
        "REGISTRY_PROPERTIES": '{"basic.auth.user.info": "me:word"}',
        "WINDOW_CLOCK": "processing",
        "LATE_POLICY": "divert",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PAGE": "true",
        "LOG_LEVEL": "DEBUG",
        "LOG_FORMAT": "console",
        "INPUT_FORMAT": "json",
        "INPUT_TRANSACTION_ID": "card.id+@key",
        "INPUT_TIMESTAMP": "@timestamp",
        "INPUT_TIMESTAMP_FORMAT": "iso8601",
        "INPUT_AMOUNT": "",
        "INPUT_AMOUNT_FORMAT": "minor:2",
        "INPUT_WHERE": "payload.op=c,r;test=false",
        "INPUT_TOMBSTONES": "ignore",
    }
    assert NAMES.keys() == given_values.keys()
    shown = load(NO_FILE, given_values).as_toml()
    assert len(NAMES) == shown.count("# environment ")
    assert "# default" not in shown


def test_the_file_in_its_usual_place_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "service.toml").write_text("[window]\nsize_ms = 3000")
    monkeypatch.chdir(tmp_path)
    assert 3_000 == load(None, {}).settings.window.size_ms


def test_no_file_in_the_usual_place_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert 10_000 == load(None, {}).settings.window.size_ms


def test_settings_cannot_be_changed() -> None:
    settings = load(NO_FILE, {}).settings
    with pytest.raises(ValidationError):
        settings.window.size_ms = 1  # type: ignore[misc]


# ---- wrong values -------------------------------------------------------------------------------------------

WRONG = [
    ("KAFKA_BOOTSTRAP_SERVERS", ""),
    ("KAFKA_BOOTSTRAP_SERVERS", "localhost:port"),
    ("KAFKA_BOOTSTRAP_SERVERS", "localhost:0"),
    ("KAFKA_BOOTSTRAP_SERVERS", "one:9092,"),
    ("KAFKA_GROUP_ID", ""),
    ("REGISTRY_URL", "registry:8081"),
    ("REGISTRY_URL", "https://one,"),
    ("REGISTRY_URL", "https://me:word@one"),
    ("REGISTRY_URL", "http://[::1"),
    ("REGISTRY_URL", "ftp://one"),
    ("REGISTRY_PROPERTIES", '{"url":"http://one"}'),
    ("KAFKA_PROPERTIES", ""),
    ("KAFKA_PROPERTIES", "security.protocol=SSL"),
    ("KAFKA_PROPERTIES", "[]"),
    ("KAFKA_PROPERTIES", '"x"'),
    ("KAFKA_PROPERTIES", '{"a":null}'),
    ("KAFKA_PROPERTIES", '{"a":{"b":1}}'),
    ("KAFKA_PROPERTIES", '{"group.protocol":" "}'),
    ("KAFKA_PROPERTIES", '{"group.protocol":"classic "}'),
    ("TOPICS_TRANSACTIONS", ""),
    ("TOPICS_ALERTS", "with blank"),
    ("TOPICS_ALERTS", "x" * 250),
    ("TOPICS_ALERTS", "."),
    ("TOPICS_AGGREGATES", "a/b"),
    ("TOPICS_CREATE", "perhaps"),
    ("TOPICS_PARTITIONS", "0"),
    ("TOPICS_REPLICATION", "0"),
    ("TOPICS_REPLICATION", "-2"),
    ("WATERMARK_LATENESS_MS", "-1"),
    ("WATERMARK_LATENESS_MS", "1.5"),
    ("WATERMARK_IDLE_AFTER_MS", "soon"),
    ("WATERMARK_MAX_FUTURE_MS", "-1"),
    ("WINDOW_SIZE_MS", "0"),
    ("WINDOW_SIZE_MS", "-10000"),
    ("WINDOW_SIZE_MS", "ten"),
    ("WINDOW_SIZE_MS", "10s"),
    ("WINDOW_SIZE_MS", ""),
    ("WINDOW_CLOCK", "sundial"),
    ("LATE_POLICY", "ignore"),
    ("DETECT_LIMIT", "NaN"),
    ("DETECT_LIMIT", "Infinity"),
    ("DETECT_LIMIT", "8,000"),
    ("DETECT_LIMIT", "a lot"),
    ("HTTP_HOST", ""),
    ("HTTP_PORT", "65536"),
    ("HTTP_PORT", "-1"),
    ("LOG_LEVEL", "loud"),
    ("LOG_FORMAT", "xml"),
]


@pytest.mark.parametrize(("variable", "value"), WRONG)
def test_a_wrong_value_is_named(variable: str, value: str) -> None:
    assert complaint(NO_FILE, **{variable: value}).startswith(variable)


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        ("[window]\nsize_ms = 0", "WINDOW_SIZE_MS"),
        ("[window]\nsize_ms = 'x'", "WINDOW_SIZE_MS"),
        ("[window]\nsize_ms = true", "WINDOW_SIZE_MS"),
        ("[http]\nport = false", "HTTP_PORT"),
        ("[late]\npolicy = 'ignore'", "LATE_POLICY"),
        ("[kafka.properties]\nsecurity.protocol = 'SSL'", "KAFKA_PROPERTIES"),
        ("[kafka]\nproperties = 'x'", "KAFKA_PROPERTIES"),
    ],
)
def test_a_wrong_value_in_a_file_is_named_with_the_file(written: Written, text: str, variable: str) -> None:
    file = written(text)
    line = complaint(file)
    assert line.startswith(f"{variable} ({file})")


INVISIBLE = [" ", "\t", "\n", "\r\n", "\x00", "\x1b", "\x7f", "\x85", "\u00a0", "\u2003", "\u2028", "\u200b", "\ufeff"]
NAME_SETTINGS = {
    "KAFKA_GROUP_ID": "payments",
    "KAFKA_INSTANCE_ID": "payments-0",
    "KAFKA_BOOTSTRAP_SERVERS": "one:9092,two:9092",
    "HTTP_HOST": "127.0.0.1",
    "TOPICS_TRANSACTIONS": "in",
    "TOPICS_ALERTS": "out",
    "TOPICS_AGGREGATES": "sums",
    "TOPICS_LATE": "late",
    "TOPICS_DEAD_LETTER": "dead",
    "TOPICS_STATE": "state",
    "TOPICS_SHADOW": "shadow",
}


@pytest.mark.parametrize("variable", NAME_SETTINGS)
@pytest.mark.parametrize("text", INVISIBLE, ids=ascii)
def test_what_is_invisible_at_an_end_of_a_name_is_refused(written: Written, variable: str, text: str) -> None:
    name = NAME_SETTINGS[variable]
    group, _, field = variable.lower().partition("_")
    for value in (text, text + name, name + text):
        assert complaint(NO_FILE, **{variable: value}).startswith(f"{variable}: ")
        file = written(f"[{group}]\n{field} = {json.dumps(value)}")
        assert complaint(file).startswith(f"{variable} ({file}): ")


@pytest.mark.parametrize("variable", ["KAFKA_GROUP_ID", "KAFKA_INSTANCE_ID", "KAFKA_BOOTSTRAP_SERVERS", "HTTP_HOST"])
@pytest.mark.parametrize("text", ["a\tb", "a\nb", "a\x00b", "a\x9fb"], ids=ascii)
def test_a_control_character_is_part_of_no_name(variable: str, text: str) -> None:
    assert complaint(NO_FILE, **{variable: text}).startswith(f"{variable}: ")


@pytest.mark.parametrize("name", ["my group", "Gr\u00fc\u00dfe", "a" * 1_000, "\U0001f4b6", "a.b_c-d/e:f"])
def test_any_other_name_of_a_group_or_an_instance_is_taken(name: str) -> None:
    kafka = load(NO_FILE, {"KAFKA_GROUP_ID": name, "KAFKA_INSTANCE_ID": name}).settings.kafka
    assert (name, name) == (kafka.group_id, kafka.instance_id)


@pytest.mark.parametrize("variable", ["KAFKA_GROUP_ID", "KAFKA_INSTANCE_ID"])
def test_a_name_that_fits_nowhere_is_refused(variable: str) -> None:
    assert f"{variable}: is longer than 1000 bytes" == complaint(NO_FILE, **{variable: "\u00fc" * 501})


@pytest.mark.parametrize(
    "servers", ["[::1]:9092", "[::1]", "one:9092, two:9092", "SSL://[fe80::1%eth0]:9093,one", "a" * 2_000]
)
def test_lists_of_brokers_are_taken_as_they_are(servers: str) -> None:
    assert servers == load(NO_FILE, {"KAFKA_BOOTSTRAP_SERVERS": servers}).settings.kafka.bootstrap_servers


@pytest.mark.parametrize("servers", ["::1", "::1:9092", "[::1", "::1]:9092", "[::1]:", "[::1]:0", "[]:9092"])
def test_an_ipv6_address_of_a_broker_needs_its_brackets(servers: str) -> None:
    assert complaint(NO_FILE, KAFKA_BOOTSTRAP_SERVERS=servers).startswith("KAFKA_BOOTSTRAP_SERVERS")


@pytest.mark.parametrize("host", ["[::1]", "[::]", "local host", "http://localhost", "localhost:8000", "::1/128"])
def test_what_is_no_host_to_listen_at_is_refused(host: str) -> None:
    assert complaint(NO_FILE, HTTP_HOST=host).startswith("HTTP_HOST: ")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::1", "fe80::1%eth0", "localhost", "my-host.example"])  # noqa: S104
def test_hosts_to_listen_at_are_taken_as_they_are(host: str) -> None:
    assert host == load(NO_FILE, {"HTTP_HOST": host}).settings.http.host


TOPICS = ["TRANSACTIONS", "ALERTS", "AGGREGATES", "LATE", "DEAD_LETTER", "STATE", "SHADOW"]


@pytest.mark.parametrize(("one", "other"), list(combinations(TOPICS, 2)))
def test_two_topics_of_one_name_are_refused(one: str, other: str) -> None:
    assert "same" in complaint(NO_FILE, **{f"TOPICS_{one}": "same", f"TOPICS_{other}": "same"})


@pytest.mark.parametrize(("one", "other"), list(combinations(TOPICS, 2)))
def test_two_topics_of_one_name_are_both_named(one: str, other: str) -> None:
    line = complaint(NO_FILE, **{f"TOPICS_{one}": "same", f"TOPICS_{other}": "same"})
    assert [] == [part for part in (f"TOPICS_{one}", f"TOPICS_{other}") if part not in line]


def test_aggregates_that_are_off_collide_with_nothing() -> None:
    assert "" == load(NO_FILE, {"TOPICS_AGGREGATES": ""}).settings.topics.aggregates


@pytest.mark.parametrize("name", sorted(PROTECTED_PROPERTIES))
def test_a_property_that_the_guarantees_rest_on_is_refused_by_name(name: str) -> None:
    line = complaint(NO_FILE, KAFKA_PROPERTIES=json.dumps({"security.protocol": "SSL", name: "x"}))
    assert line.startswith("KAFKA_PROPERTIES")
    assert name in line


def test_the_guarantees_rest_on_these_at_least() -> None:
    needed = {
        "enable.auto.commit",
        "enable.auto.offset.store",
        "isolation.level",
        "transactional.id",
        "enable.idempotence",
    }
    assert needed | {"acks", "group.id", "partitioner", "auto.offset.reset"} <= PROTECTED_PROPERTIES


def test_a_limit_is_exact_from_the_environment() -> None:
    limit = Decimal("8000.00000000000000001")
    assert limit == load(NO_FILE, {"DETECT_LIMIT": str(limit)}).settings.detect.limit


def test_a_limit_is_exact_from_a_file(written: Written) -> None:
    limit = Decimal("8000.00000000000000001")
    assert limit == load(written(f"[detect]\nlimit = {limit}"), {}).settings.detect.limit
