"""NAME_FILE: a setting from a file, as Docker and Kubernetes hand over secrets. What the file holds is never shown."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from service.settings import MASK, NAMES, load
from tests.unit.settings_files import NO_FILE, Written, complaint

SECRET = "hunter2hunter2"  # noqa: S105 - made up for the test

VALUES = {
    **{name: name.lower() for name in NAMES if name.startswith(("KAFKA_", "TOPICS_"))},
    **{name: "1" for name in NAMES if name.endswith(("_MS", "PARTITIONS", "REPLICATION", "CREATE", "LIMIT", "PORT"))},
    "KAFKA_PROPERTIES": '{"security.protocol": "SSL"}',
    "WINDOW_CLOCK": "ingestion",
    "TOPICS_CREATE": "false",
    "LATE_POLICY": "divert",
    "HTTP_HOST": "127.0.0.1",
    "HTTP_PAGE": "true",
    "LOG_LEVEL": "DEBUG",
    "LOG_FORMAT": "console",
    "INPUT_FORMAT": "json",
    "INPUT_TRANSACTION_ID": "card.id+currency",
    "INPUT_TIMESTAMP": "@timestamp",
    "INPUT_TIMESTAMP_FORMAT": "iso8601",
    "INPUT_AMOUNT": "cents",
    "INPUT_AMOUNT_FORMAT": "minor:2",
    "INPUT_WHERE": "op=c",
    "INPUT_TOMBSTONES": "ignore",
}
ONE_VALUE = "INPUT_FORMAT"
"""It can have no value but its default yet."""
ANY_TEXT = {"KAFKA_GROUP_ID", "KAFKA_INSTANCE_ID", "INPUT_TRANSACTION_ID", "INPUT_TIMESTAMP", "INPUT_AMOUNT"}
"""Nearly any text in one line is a value of these."""

Held = Callable[[str | bytes], str]


@pytest.fixture
def held(tmp_path: Path) -> Held:
    """Writes a file that holds a value; returns its path."""

    def write(content: str | bytes) -> str:
        path = tmp_path / "held"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


# ---- it works -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["", "\n", "\r\n"], ids=ascii)
@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_setting_can_come_from_a_file(held: Held, name: str, end: str) -> None:
    loaded = load(NO_FILE, {f"{name}_FILE": held(VALUES[name] + end)})
    assert load(NO_FILE, {name: VALUES[name]}).settings == loaded.settings
    assert (loaded.settings != load(NO_FILE, {}).settings) == (name != ONE_VALUE)
    assert [f"# environment {name}_FILE"] == [
        f"# {line.rpartition('# ')[2]}" for line in loaded.as_toml().splitlines() if "# environment" in line
    ]


def test_all_settings_can_come_from_files(tmp_path: Path) -> None:
    for name, value in VALUES.items():
        (tmp_path / name).write_text(f"{value}\n")
    loaded = load(NO_FILE, {f"{name}_FILE": str(tmp_path / name) for name in NAMES})
    assert load(NO_FILE, VALUES).settings == loaded.settings


def test_no_setting_has_the_name_of_anothers_file() -> None:
    assert set() == {f"{name}_FILE" for name in NAMES} & set(NAMES)


def test_a_file_beats_toml(held: Held, written: Written) -> None:
    file = written('[kafka]\ngroup_id = "toml"\ninstance_id = "toml"')
    kafka = load(file, {"KAFKA_GROUP_ID_FILE": held("held")}).settings.kafka
    assert ("held", "toml") == (kafka.group_id, kafka.instance_id)


def test_an_empty_file_is_an_empty_value(held: Held) -> None:
    assert "" == load(NO_FILE, {"TOPICS_AGGREGATES_FILE": held("")}).settings.topics.aggregates


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("held",), daemon=True)
    writer.start()
    assert "held" == load(NO_FILE, {"KAFKA_GROUP_ID_FILE": str(pipe)}).settings.kafka.group_id
    writer.join()


def test_a_secret_from_a_file_reaches_the_client_and_is_masked(held: Held) -> None:
    path = held(json.dumps({"sasl.password": SECRET, "sasl.username": "me"}, indent=2) + "\n")
    loaded = load(NO_FILE, {"KAFKA_PROPERTIES_FILE": path})
    assert {"sasl.password": SECRET, "sasl.username": "me"} == loaded.settings.kafka.properties
    shown = loaded.as_toml()
    assert SECRET not in shown
    assert f'"sasl.password" = "{MASK}", "sasl.username" = "me" }}  # environment KAFKA_PROPERTIES_FILE' in shown


# ---- it does not ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_setting_and_its_file_together_are_refused(held: Held, name: str) -> None:
    expected = f"{name} and {name}_FILE are both set: unset one of them"
    assert expected == complaint(NO_FILE, **{name: VALUES[name], f"{name}_FILE": held(VALUES[name])})
    assert expected == complaint(NO_FILE, **{name: "", f"{name}_FILE": "/nowhere"})


def test_a_file_that_is_missing_is_named() -> None:
    expected = "KAFKA_PROPERTIES_FILE: /nowhere/kafka: No such file or directory"
    assert expected == complaint(NO_FILE, KAFKA_PROPERTIES_FILE="/nowhere/kafka")


def test_a_directory_is_named(tmp_path: Path) -> None:
    assert f"WINDOW_SIZE_MS_FILE: {tmp_path}: Is a directory" == complaint(NO_FILE, WINDOW_SIZE_MS_FILE=str(tmp_path))


def test_a_file_that_cannot_be_read_is_named() -> None:
    line = complaint(NO_FILE, KAFKA_GROUP_ID_FILE="/proc/self/mem")  # opens, also for root, and cannot be read at 0
    assert "KAFKA_GROUP_ID_FILE: /proc/self/mem: Input/output error" == line


def test_a_file_without_an_end_is_named() -> None:
    line = complaint(NO_FILE, KAFKA_GROUP_ID_FILE="/dev/zero")
    assert "KAFKA_GROUP_ID_FILE: /dev/zero: has more than 1048576 bytes" == line


def test_a_toml_file_is_not_read_without_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "large.toml"
    path.write_bytes(b"#" * 1_048_577)
    assert f"--config {path}: has more than 1048576 bytes" == complaint(path)


def test_a_toml_file_that_is_nested_too_deeply_is_named(written: Written) -> None:
    path = written("a = " + "[" * 10_000)
    assert complaint(path).startswith(f"{path}: maximum recursion depth exceeded")


@pytest.mark.parametrize("path", ["", " ", "\t"], ids=ascii)
def test_a_blank_path_is_refused(path: str) -> None:
    expected = "KAFKA_GROUP_ID_FILE: is blank; it must be the path of a file"
    assert expected == complaint(NO_FILE, KAFKA_GROUP_ID_FILE=path)


@pytest.mark.parametrize("path", ["/no\nwhere", "/no\x1bwhere", "/no\x00where", "/no\udcffwhere"], ids=ascii)
def test_a_path_that_a_line_cannot_hold_is_escaped(path: str) -> None:
    line = complaint(NO_FILE, KAFKA_GROUP_ID_FILE=path)
    assert line.startswith(f"KAFKA_GROUP_ID_FILE: {path!a}: ")
    assert line.isprintable()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (SECRET.encode() + b"\xff", "is not UTF-8"),
        (SECRET.encode("utf-16"), "is not UTF-8"),
        (SECRET.encode("utf-16-le"), "has a NUL character in it"),
        (SECRET.encode("utf-8-sig"), "begins with a byte order mark; save it without one"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("name", ["KAFKA_PROPERTIES", "KAFKA_GROUP_ID", "WINDOW_SIZE_MS", "TOPICS_ALERTS"])
def test_a_file_that_is_no_text_is_named(held: Held, name: str, content: bytes, why: str) -> None:
    path = held(content)
    assert f"{name}_FILE: {path}: {why}" == complaint(NO_FILE, **{f"{name}_FILE": path})


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"TOPICS_AGGREGATES", "INPUT_AMOUNT", "INPUT_WHERE"}))
def test_an_empty_file_is_named_where_the_setting_needs_a_value(held: Held, name: str) -> None:
    path = held("\n")
    assert complaint(NO_FILE, **{f"{name}_FILE": path}).startswith(f"{name}_FILE ({path}): ")


@pytest.mark.parametrize(
    "content", [SECRET + " ", SECRET + "\n\n", SECRET + "\t" + SECRET, " ", f"{SECRET}:x,one:9092"]
)
@pytest.mark.parametrize("name", sorted(NAMES))
def test_what_a_wrong_file_holds_is_not_shown(held: Held, name: str, content: str) -> None:
    if name in ANY_TEXT and content.isprintable() and content == content.strip():
        content += "\n\n"  # any other text is a name of these
    path = held(content)
    line = complaint(NO_FILE, **{f"{name}_FILE": path})
    assert line.startswith(f"{name}_FILE ({path}): ")
    assert "hunter2" not in line


@pytest.mark.parametrize("content", ['{"sasl.password": "hunter2hunter2"', '["hunter2hunter2"]', '{"a": ["hunter2"]}'])
def test_what_a_wrong_object_holds_is_not_shown(held: Held, content: str) -> None:
    path = held(content)
    line = complaint(NO_FILE, KAFKA_PROPERTIES_FILE=path)
    assert line.startswith(f"KAFKA_PROPERTIES_FILE ({path}): ")
    assert "hunter2" not in line


@pytest.mark.parametrize("name", ["KAFKA_GROUP_ID", "TOPICS_ALERTS", "LOG_LEVEL", "KAFKA_PROPERTIES"])
def test_a_value_that_is_not_utf_8_is_refused_in_the_environment_too(name: str) -> None:
    assert f"{name}: is not UTF-8" == complaint(NO_FILE, **{name: "a\udcff"})


def test_a_refused_name_from_elsewhere_is_shown(written: Written) -> None:
    assert "KAFKA_GROUP_ID: 'a ' begins or ends with a space or an invisible character" == complaint(
        NO_FILE, KAFKA_GROUP_ID="a "
    )
    file = written("[kafka]\nbootstrap_servers = 'one:9092,two:x'")
    assert f"KAFKA_BOOTSTRAP_SERVERS ({file}): 'two:x' is not host:port" == complaint(file)
