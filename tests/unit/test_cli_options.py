"""What the service's commands take and say: -h, --bootstrap-servers, settings and certificates in files."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner

from service.app.clients import check_properties
from service.cli.main import cli
from service.settings import SettingsError, load
from tests.unit.settings_files import NO_FILE
from tests.unit.test_cli_service import Txwatch

SECRET = "hunter2hunter2"  # noqa: S105 - made up for the test


@pytest.fixture
def txwatch(tmp_path: Path) -> Txwatch:
    """The program, in an empty directory."""
    return Txwatch(tmp_path)


# ---- help -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", ["", "run", "alerts", "timeline", "train", "backtest", "config", "schema", "rekey", "try-input"]
)
def test_help_has_a_short_name_in_every_command(command: str) -> None:
    short, long = (CliRunner().invoke(cli, [*command.split(), option]) for option in ("-h", "--help"))
    assert (0, long.output) == (short.exit_code, short.output)
    assert "-h, --help" in short.output


def test_help_of_schema_names_what_there_is() -> None:
    text = " ".join(CliRunner().invoke(cli, ["schema", "--help"]).output.split())
    assert "one of transaction, alert, aggregate" in text


# ---- --bootstrap-servers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("servers", "why"),
    [("one two", "'one two' is not host:port"), ("one:x", "'one:x' is not host:port"), ("", "'' is blank")],
)
def test_brokers_on_the_command_line_are_checked(servers: str, why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(NO_FILE, {"KAFKA_BOOTSTRAP_SERVERS": "one:9092"}, servers=servers)
    assert f"--bootstrap-servers: {why}" == str(caught.value)


def test_brokers_on_the_command_line_beat_the_environment() -> None:
    loaded = load(NO_FILE, {"KAFKA_BOOTSTRAP_SERVERS": "one two", "KAFKA_GROUP_ID": "mine"}, servers="one:9092")
    assert ("one:9092", "mine") == (loaded.settings.kafka.bootstrap_servers, loaded.settings.kafka.group_id)


@pytest.mark.parametrize("command", [["alerts"], ["timeline", "--output", "t.svg"], ["try-input"]], ids=" ".join)
def test_commands_that_read_take_brokers(txwatch: Txwatch, command: list[str]) -> None:
    line = txwatch(*command, "--bootstrap-servers", "one:x").complaint()
    assert "txwatch: --bootstrap-servers: 'one:x' is not host:port" == line


# ---- NAME_FILE ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["run"], ["alerts"], ["schema", "alert", "--config", "/dev/null"]], ids=" ".join)
def test_a_setting_and_its_file_together_stop_every_command(txwatch: Txwatch, command: list[str]) -> None:
    line = txwatch(*command, KAFKA_GROUP_ID="one", KAFKA_GROUP_ID_FILE="two").complaint()
    assert "txwatch: KAFKA_GROUP_ID and KAFKA_GROUP_ID_FILE are both set: unset one of them" == line


def test_a_secret_from_a_file_is_shown_nowhere(txwatch: Txwatch) -> None:
    file = txwatch.directory / "kafka.json"
    file.write_text(json.dumps({"sasl.password": SECRET, "security.protocol": "nonsense"}) + "\n")
    shown = txwatch("config", KAFKA_PROPERTIES_FILE="kafka.json")
    assert (0, "") == (shown.code, shown.err)
    assert "# environment KAFKA_PROPERTIES_FILE" in shown.out
    refused = txwatch("run", KAFKA_PROPERTIES_FILE="kafka.json", HTTP_PORT="0", LOG_LEVEL="debug")
    assert 2 == refused.code
    assert "security.protocol" in refused.err
    for text in (shown.out, refused.out, refused.err):
        assert SECRET not in text


def test_a_value_that_is_not_utf_8_is_one_line(txwatch: Txwatch) -> None:
    assert "txwatch: KAFKA_GROUP_ID: is not UTF-8" == txwatch("config", KAFKA_GROUP_ID="a\udcff").complaint()


# ---- files that properties name -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good authority, certificate and key, and a file that is none of them."""
    folder = tmp_path_factory.mktemp("pem")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate = authority.issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(folder / "tls.crt")
    certificate.private_key_pem.write_to_path(folder / "tls.key")
    (folder / "rubbish.pem").write_text("rubbish\n")
    return folder


def refusal(**properties: str) -> str:
    """What the client says of these properties over TLS."""
    named = {name.replace("_", "."): value for name, value in properties.items()}
    settings = load(NO_FILE, {"KAFKA_PROPERTIES": json.dumps({"security.protocol": "SSL", **named})}).settings
    with pytest.raises(SettingsError) as caught:
        check_properties(settings)
    return str(caught.value)


NAMED = ["ssl_ca_location", "ssl_certificate_location", "ssl_key_location", "ssl_crl_location"]


@pytest.mark.parametrize("command", ["run", "alerts"])
def test_an_authority_that_is_not_there_is_one_line(txwatch: Txwatch, command: str) -> None:
    properties = json.dumps({"security.protocol": "SSL", "ssl.ca.location": "/nowhere/ca.pem"})
    line = txwatch(command, KAFKA_PROPERTIES=properties, HTTP_PORT="0").complaint()
    assert "txwatch: KAFKA_PROPERTIES: ssl.ca.location: /nowhere/ca.pem: No such file or directory" == line


@pytest.mark.parametrize("name", NAMED)
def test_a_file_that_is_not_there_is_named_among_good_ones(pem: Path, name: str) -> None:
    good = {"ssl_ca_location": "ca.pem", "ssl_certificate_location": "tls.crt", "ssl_key_location": "tls.key"}
    paths = {one: str(pem / file) for one, file in good.items()} | {name: str(pem / "none.pem")}
    expected = f"KAFKA_PROPERTIES: {name.replace('_', '.')}: {pem}/none.pem: No such file or directory"
    assert expected == refusal(**paths)


@pytest.mark.parametrize(
    ("name", "file"), [*((name, "rubbish.pem") for name in NAMED), *((name, ".") for name in NAMED[1:])]
)
def test_a_file_that_holds_something_else_is_named(pem: Path, name: str, file: str) -> None:
    line = refusal(**{name: str(pem / file)})
    assert f"{name.replace('_', '.')}: {pem / file}: " in line


def test_a_folder_of_authorities_is_no_fault(pem: Path) -> None:
    assert 'KAFKA_PROPERTIES: No such configuration property: "no.such"' == refusal(
        ssl_ca_location=str(pem), no_such="x"
    )


def test_a_keystore_that_is_not_there_is_named(pem: Path) -> None:
    line = refusal(ssl_keystore_location=str(pem / "none.p12"), ssl_keystore_password=SECRET)
    assert f"KAFKA_PROPERTIES: ssl.keystore.location: {pem}/none.p12: No such file or directory" == line
