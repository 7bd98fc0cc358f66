"""Names of settings: near misses stop the start and are corrected, other programs' variables are left alone."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from service.settings import NAMES, Settings, load
from tests.unit.settings_files import NO_FILE, Written, complaint

# ---- near misses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        # The field is wrong.
        ("WINDOW_SIZE_SM", "WINDOW_SIZE_MS"),
        ("KAFKA_BOOTSTRAP_SERVER", "KAFKA_BOOTSTRAP_SERVERS"),
        ("KAFKA__GROUP_ID", "KAFKA_GROUP_ID"),
        ("DETECT_LIMITS", "DETECT_LIMIT"),
        ("TOPICS_DEADLETTER", "TOPICS_DEAD_LETTER"),
        ("LATE_POLICIES", "LATE_POLICY"),
        ("HTTP_PROT", "HTTP_PORT"),
        ("KAFKA_PROPERTIES_FLIE", "KAFKA_PROPERTIES_FILE"),
        # The group is wrong.
        ("TOPIC_ALERTS", "TOPICS_ALERTS"),
        ("WINDOWS_SIZE_MS", "WINDOW_SIZE_MS"),
        ("DETECTOR_LIMIT", "DETECT_LIMIT"),
        ("WATERMARKS_LATENESS_MS", "WATERMARK_LATENESS_MS"),
        ("WATER_MARK_LATENESS_MS", "WATERMARK_LATENESS_MS"),
        ("KAKFA_GROUP_ID", "KAFKA_GROUP_ID"),
        ("HTP_PORT", "HTTP_PORT"),
        ("HTTPD_HOST", "HTTP_HOST"),
        ("LOGS_LEVEL", "LOG_LEVEL"),
        ("LATER_POLICY", "LATE_POLICY"),
        ("TOPIC_ALERTS_FILE", "TOPICS_ALERTS_FILE"),
        # Both are.
        ("TOPIC_ALERT", "TOPICS_ALERTS"),
        ("TOPIC_DEADLETTER", "TOPICS_DEAD_LETTER"),
        # The group is missing.
        ("BOOTSTRAP_SERVERS", "KAFKA_BOOTSTRAP_SERVERS"),
        ("BOOTSTRAP_SERVER", "KAFKA_BOOTSTRAP_SERVERS"),
        ("BOOTSTRAP_SERVERS_FILE", "KAFKA_BOOTSTRAP_SERVERS_FILE"),
        ("LATENESS_MS", "WATERMARK_LATENESS_MS"),
        ("IDLE_AFTER_MS", "WATERMARK_IDLE_AFTER_MS"),
        ("MAX_FUTURE_MS", "WATERMARK_MAX_FUTURE_MS"),
        ("INGESTION_MARGIN_MS", "WINDOW_INGESTION_MARGIN_MS"),
        ("EVENT_FLUSH_AFTER_MS", "WINDOW_EVENT_FLUSH_AFTER_MS"),
        ("DEAD_LETTER", "TOPICS_DEAD_LETTER"),
        # In small letters.
        ("topic_alerts", "TOPICS_ALERTS"),
        ("bootstrap_servers", "KAFKA_BOOTSTRAP_SERVERS"),
    ],
)
def test_a_misspelt_variable_stops_the_start_and_is_corrected(variable: str, meant: str) -> None:
    assert f"{variable}: there is no such setting; did you mean {meant}?" == complaint(NO_FILE, **{variable: "1"})


@pytest.mark.parametrize("variable", ["KAFKA_NONSENSE", "LOG_DIRECTORY", "WINDOW_", "TOPICS_1"])
def test_an_unknown_name_in_a_group_stops_the_start(variable: str) -> None:
    assert complaint(NO_FILE, **{variable: "1"}).startswith(f"{variable}: there is no such setting")


@pytest.mark.parametrize(
    "variable", ["window_size_ms", "Window_Size_Ms", "kafka_group_id", "kafka_properties_file", "Http_Port_FILE"]
)
def test_a_variable_in_small_letters_is_not_silently_ignored(variable: str) -> None:
    expected = f"{variable}: environment variables are in capitals, {variable.upper()}"
    assert expected == complaint(NO_FILE, **{variable: "1"})


LETTERS = string.ascii_uppercase + string.digits


@st.composite
def edited(draw: st.DrawFn, word: str) -> str:
    """The word with one letter added, dropped or replaced."""
    at = draw(st.integers(0, len(word) - 1))
    letter = draw(st.sampled_from(LETTERS))
    rest = word[at + 1 :]
    return draw(
        st.sampled_from([word[:at] + letter + word[at:], word + letter, word[:at] + rest, word[:at] + letter + rest])
    )


@st.composite
def swapped(draw: st.DrawFn, word: str) -> str:
    """The word with two neighbours swapped."""
    at = draw(st.integers(0, len(word) - 2))
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


@st.composite
def near_misses(draw: st.DrawFn) -> tuple[str, str]:
    """A setting, and its name with as many edits in its group as make a near miss."""
    name = draw(st.sampled_from(sorted(NAMES)))
    group, _, field = name.partition("_")
    wrong = draw(st.one_of(swapped(group), edited(group)))
    if len(group) >= 6 and draw(st.booleans()):
        wrong = draw(edited(draw(edited(group))))
    suffix = draw(st.sampled_from(["", "_FILE"]))
    return f"{wrong}_{field}{suffix}", name + suffix


@given(near_misses())
@example(("TOPIC_ALERTS", "TOPICS_ALERTS"))
def test_every_near_miss_of_a_group_is_corrected(case: tuple[str, str]) -> None:
    variable, meant = case
    assume(not variable.startswith(("HTTPS_", "SMTP_", "SFTP_", "_")))
    assume(variable.partition("_")[0].lower() not in Settings.model_fields)
    assert f"{variable}: there is no such setting; did you mean {meant}?" == complaint(NO_FILE, **{variable: "1"})


# ---- other programs' variables --------------------------------------------------------------------------------


def left_alone(environment: dict[str, str]) -> bool:
    """Whether the settings are the defaults."""
    return load(NO_FILE, environment).settings == load(NO_FILE, {}).settings


@pytest.mark.parametrize(
    "variable",
    [
        # As the contract names them.
        *(
            f"{group}_{field}"
            for group in ("HTTPS", "SMTP", "SFTP")
            for field in ("HOST", "PORT", "PROXY", "PAGE", "X")
        ),
        *("PORT", "HOST", "INSTANCE_ID", "HTTP_PROXY", "HTTP_PROXY_HOST", "http_proxy", "https_proxy", "https_port"),
        *("HTTPS_PORT_FILE", "SMTP_HOST_FILE", "PORT_FILE", "HOST_FILE", "INSTANCE_ID_FILE"),
        # Fields that are no clear case without their group.
        *("GROUP_ID", "PROPERTIES", "TRANSACTIONS", "ALERTS", "AGGREGATES", "STATE", "CREATE", "PARTITIONS"),
        *("REPLICATION", "SIZE_MS", "CLOCK", "POLICY", "LIMIT", "LEVEL", "FORMAT", "LATE", "KAFKA", "WINDOW", "LOG"),
        # More edits than a near miss has.
        *("KAFKAJS_GROUP_ID", "LOGGER_LEVEL", "FTP_HOST", "TCP_PORT", "LASTLY_POLICY", "DETECTIVES_LIMIT"),
        *("WINDOWING_SIZE_MS", "TOPICALLY_ALERTS", "THE_BOOTSTRAP_SERVERS", "HTTPX_LOG_LEVEL", "LATER_STATE"),
        # What is often there.
        *("PATH", "HOME", "LANG", "KAFKAESQUE", "LOGNAME", "WINDOWID", "NO_PROXY", "ALL_PROXY", "FTP_PROXY", "PGHOST"),
        *("KAFKA_HOME", "KAFKA_HEAP_OPTS", "DB_HOST", "DB_PORT", "REDIS_PORT", "GROUP", "LOGLEVEL", "DATE_FORMAT"),
        *("LC_ALL", "HOSTNAME", "PYTHONPATH", "_TXWATCH_COMPLETE", "SERVICE_PORTS", "POSTGRES_PASSWORD_FILE"),
    ],
)
def test_variables_of_other_programs_are_left_alone(variable: str) -> None:
    assert left_alone({variable: "1"})


@pytest.mark.parametrize(
    "service",
    ["KAFKA", "KAFKA_BROKER", "KAFKA_0", "LOG_STORE", "HTTP_GATEWAY", "WINDOW", "KAFKA1", "TOPIC", "WINDOWS", "LOGS"],
)
def test_the_links_kubernetes_sets_for_a_service_are_left_alone(service: str) -> None:
    address = "tcp://10.96.0.11:9092"
    links = {
        f"{service}_SERVICE_HOST": "10.96.0.11",
        f"{service}_SERVICE_PORT": "9092",
        f"{service}_SERVICE_PORT_PLAIN_TEXT": "9092",
        f"{service}_PORT": address,
        f"{service}_PORT_9092_TCP": address,
        f"{service}_PORT_9092_TCP_PROTO": "tcp",
        f"{service}_PORT_9092_TCP_PORT": "9092",
        f"{service}_PORT_9092_TCP_ADDR": "10.96.0.11",
    }
    assert left_alone(links)


@pytest.mark.parametrize("service", ["HTTP", "HTP", "HTTPD"])
def test_a_link_to_a_service_whose_port_would_be_ours_is_left_alone(service: str) -> None:
    assert left_alone({f"{service}_PORT": "tcp://10.96.0.11:80"})


# ---- in a file ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[window]\nsize_sm = 5", "there is no setting size_sm in [window]; did you mean size_ms?"),
        ("[window]\nSIZE_MS = 5", "there is no setting SIZE_MS in [window]; did you mean size_ms?"),
        (
            "[window]\nwindow_size_ms = 5",
            "there is no setting window_size_ms in [window]; did you mean [window] size_ms?",
        ),
        (
            "[kafka]\nWINDOW_SIZE_MS = 5",
            "there is no setting WINDOW_SIZE_MS in [kafka]; did you mean [window] size_ms?",
        ),
        ("[kafka]\nalerts = 'x'", "there is no setting alerts in [kafka]; did you mean [topics] alerts?"),
        ("[kafka]\ndead_leter = 'x'", "there is no setting dead_leter in [kafka]; did you mean [topics] dead_letter?"),
        ("[kafka]\nzzz = 'x'", "there is no setting zzz in [kafka]"),
        (
            "[kafka]\nproperties_file = 'x'",
            "there is no setting properties_file in [kafka]; only the environment names files: KAFKA_PROPERTIES_FILE",
        ),
        ("[windows]\nsize_ms = 5", "there is no group [windows]; did you mean [window]?"),
        ("[topic]\nalerts = 'x'", "there is no group [topic]; did you mean [topics]?"),
        ("[Kafka]\ngroup_id = 'x'", "there is no group [Kafka]; did you mean [kafka]?"),
        (
            "[properties]\nx = 'x'",
            "there is no group [properties]; did you mean [kafka] properties or [registry] properties?",
        ),
        (
            "[zzz]\nsize_ms = 5",
            f"there is no group [zzz]; the groups are {', '.join(Settings.model_fields)}",
        ),
        ("size_ms = 5", "size_ms is in no group; did you mean [window] size_ms?"),
        ("WINDOW_SIZE_MS = 5", "WINDOW_SIZE_MS is in no group; did you mean [window] size_ms?"),
        ("window = 5", "window is a group: write it as [window]"),
    ],
)
def test_a_name_in_a_file_is_corrected_as_it_is_in_toml(written: Written, text: str, line: str) -> None:
    file = written(text)
    assert f"{file}: {line}" == complaint(file)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[kafka]\nsasl.password = 'x'", ["sasl"]),
        ("[window]\nsize_ms = ", []),
        ("[window", []),
        ("[window]\nsize_ms = 5\nsize_ms = 6", []),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_the_file(written: Written, text: str, named: list[str]) -> None:
    file = written(text)
    line = complaint(file)
    assert [] == [part for part in [str(file), *named] if part not in line]


def test_a_file_that_was_asked_for_and_is_missing_is_named(tmp_path: Path) -> None:
    line = complaint(tmp_path / "no.toml")
    assert "--config" in line
    assert "no.toml" in line


def test_a_file_that_is_a_directory_is_named(tmp_path: Path) -> None:
    assert str(tmp_path) in complaint(tmp_path)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "service.toml").write_bytes(b"\xff\xfe\x00")
    assert "service.toml" in complaint(tmp_path / "service.toml")
