"""Settings as they are shown: with their origins, fit to be read again, and never a secret among them."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.core.model import LatePolicy
from service.settings import MASK, PROTECTED_PROPERTIES, Loaded, load, mask
from service.wire.names import fault_of_name, first_bad_address
from tests.unit.settings_files import NO_FILE, Written, complaint

# ---- secrets ------------------------------------------------------------------------------------------------

SECRET = "hunter2hunter2"  # noqa: S105 - no real one
SECRETS = [
    "sasl.password",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "SASL.PASSWORD",
    "sasl.passwrd",
    "sasl.pasword",
    "sasl.pwd",
    "ssl.key.passphrase",
]
OPEN = ["security.protocol", "sasl.mechanism", "sasl.username", "ssl.ca.location", "client.rack", "socket.timeout.ms"]


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_masked_where_settings_are_shown(written: Written, name: str) -> None:
    for loaded in (
        load(NO_FILE, {"KAFKA_PROPERTIES": json.dumps({name: SECRET})}),
        load(written(f"[kafka.properties]\n'{name}' = '{SECRET}'"), {}),
    ):
        assert SECRET == loaded.settings.kafka.properties[name]
        assert SECRET not in loaded.as_toml()
        assert MASK in loaded.as_toml()


@pytest.mark.parametrize("name", OPEN)
def test_what_is_no_secret_is_shown(name: str) -> None:
    assert {name: "x"} == mask({name: "x"})


@pytest.mark.parametrize(
    "text",
    [
        '{"sasl.password":"hunter2hunter2"',
        '{"sasl.password":hunter2hunter2}',
        "{'sasl.password':'hunter2hunter2'}",
        "sasl.password=hunter2hunter2",
        '{"sasl.password":["hunter2hunter2"]}',
        '{"sasl.password":{"hunter2hunter2":1}}',
        '{"sasl.password":"hunter2hunter2","acks":"all"}',
        '["hunter2hunter2"]',
        '"hunter2hunter2"',
        "[" * 100_000,
    ],
    ids=lambda text: text[:30],
)
def test_a_secret_is_not_printed_when_it_is_written_wrong(text: str) -> None:
    line = complaint(NO_FILE, KAFKA_PROPERTIES=text)
    assert line.startswith("KAFKA_PROPERTIES")
    assert "hunter2" not in line


@pytest.mark.parametrize(
    "text",
    [
        "[kafka.properties]\n'sasl.password' = ['hunter2hunter2']",
        "[kafka]\nproperties = 'hunter2hunter2'",
        "[kafka.properties]\n'sasl.password' = hunter2hunter2",
        "[kafka.properties]\n'sasl.password' = 'hunter2hunter2",
    ],
)
def test_a_secret_is_not_printed_when_a_file_is_wrong(written: Written, text: str) -> None:
    assert "hunter2" not in complaint(written(text))


# ---- shown --------------------------------------------------------------------------------------------------


def test_each_setting_is_shown_with_where_it_came_from(written: Written) -> None:
    file = written("[window]\nsize_ms = 5000\n[late]\npolicy = 'drop'")
    lines = load(file, {"WINDOW_SIZE_MS": "7000"}).as_toml().splitlines()
    assert "size_ms = 7000  # environment WINDOW_SIZE_MS" in lines
    assert f'policy = "drop"  # {file}' in lines
    assert "lateness_ms = 1000  # default" in lines


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=10)
NAMES = TEXTS.filter(lambda text: fault_of_name(text) is None)
TOPIC_NAMES = st.from_regex(r"tx-[a-z0-9._-]{3,12}", fullmatch=True)
ENVIRONMENTS = st.fixed_dictionaries(
    {},
    optional={
        "KAFKA_BOOTSTRAP_SERVERS": NAMES.filter(lambda text: first_bad_address(text) is None),
        "KAFKA_GROUP_ID": NAMES,
        "KAFKA_INSTANCE_ID": NAMES,
        "KAFKA_PROPERTIES": st.dictionaries(
            TEXTS.filter(lambda name: name not in PROTECTED_PROPERTIES and mask({name: 1}) == {name: 1}),
            TEXTS | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.floats(allow_nan=False, allow_infinity=False),
            max_size=3,
        ).map(json.dumps),
        "TOPICS_TRANSACTIONS": TOPIC_NAMES,
        "TOPICS_AGGREGATES": TOPIC_NAMES.map(lambda name: f"sums-{name}"),
        "TOPICS_CREATE": st.sampled_from(["true", "false", "0", "1"]),
        "WINDOW_SIZE_MS": st.integers(1, 10**12).map(str),
        "LATE_POLICY": st.sampled_from([policy.value for policy in LatePolicy]),
        "DETECT_LIMIT": st.decimals(-(10**12), 10**12, allow_nan=False, allow_infinity=False, places=4).map(str),
        "HTTP_PORT": st.integers(0, 65_535).map(str),
        "LOG_LEVEL": st.sampled_from(["debug", "INFO"]),
        "LOG_FORMAT": st.sampled_from(["json", "console"]),
    },
)


@given(ENVIRONMENTS)
@example({"DETECT_LIMIT": "8000.00000000000000001"})
@example({"DETECT_LIMIT": "1E-7"})
@example({"DETECT_LIMIT": "1E+15"})
@example({"KAFKA_PROPERTIES": '{"client.rack":"-----BEGIN\\nCERTIFICATE\\n"}', "KAFKA_GROUP_ID": 'a"# \\b'})
def test_what_is_shown_gives_the_same_settings_when_it_is_read(
    tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]
) -> None:
    loaded = load(NO_FILE, environment)
    file = tmp_path_factory.getbasetemp() / "shown.toml"
    file.write_text(loaded.as_toml(), encoding="utf-8")
    assert loaded.settings == load(file, {}).settings


def test_the_masked_settings_can_be_read_too(written: Written) -> None:
    shown = load(NO_FILE, {"KAFKA_PROPERTIES": json.dumps({"sasl.password": SECRET})}).as_toml()
    assert {"sasl.password": MASK} == load(written(shown), {}).settings.kafka.properties


def test_what_is_loaded_knows_its_settings() -> None:
    loaded = load(NO_FILE, {})
    assert "lateness_ms = 1000  # default" in Loaded(loaded.settings, {}).as_toml()
