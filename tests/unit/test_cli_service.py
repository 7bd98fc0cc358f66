"""The service's command line, from outside: what is printed where, and the documented exit codes."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from service import __version__
from service.settings import NAMES
from tests.forked import Forked

ROOT = Path(__file__).parents[2]
INHERITED = {**{name: value for name, value in os.environ.items() if name not in NAMES}, "PYTHONPATH": str(ROOT)}
"""The caller's environment, but for what are settings."""
FORKED = Forked("service", "service.cli.main", INHERITED)


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def complaint(self) -> str:
        """The one line that a command says when it is used wrongly."""
        assert (2, "") == (self.code, self.out)
        lines = self.err.splitlines()
        assert 1 == len(lines), self.err
        return lines[0]


@dataclass(frozen=True, slots=True)
class Txwatch:
    """Runs the program in a directory of its own, where it finds no settings but what it is given."""

    directory: Path

    def __call__(self, *arguments: str, **environment: str) -> Done:
        """Run a command to its end."""
        code, out, err = FORKED.run(arguments, {**INHERITED, **environment}, self.directory)
        return Done(code, out.decode(), err.decode())


@pytest.fixture
def txwatch(tmp_path: Path) -> Txwatch:
    """The program, in an empty directory."""
    return Txwatch(tmp_path)


# ---- help and version ---------------------------------------------------------------------------------------


def test_help_names_every_command(txwatch: Txwatch) -> None:
    done = txwatch("--help")
    assert (0, "") == (done.code, done.err)
    assert [] == [
        word for word in ("run", "alerts", "config", "schema", "--config", "--version") if word not in done.out
    ]


def test_help_of_alerts_names_every_option(txwatch: Txwatch) -> None:
    done = txwatch("alerts", "--help")
    assert (0, "") == (done.code, done.err)
    options = ("--follow", "--from-beginning", "--max", "--format", "text", "json", "--config")
    assert [] == [word for word in options if word not in done.out]


@pytest.mark.parametrize("command", [[], ["run"], ["alerts"], ["config"], ["schema"]], ids=" ".join)
def test_every_command_prints_the_version(txwatch: Txwatch, command: list[str]) -> None:
    done = txwatch(*command, "--version")
    assert (0, "") == (done.code, done.err)
    assert __version__ in done.out


# ---- schema -------------------------------------------------------------------------------------------------


def test_a_schema_is_printed_as_json(txwatch: Txwatch) -> None:
    done = txwatch("schema", "alert")
    assert (0, "") == (done.code, done.err)
    assert "transaction_id" in json.loads(done.out)["properties"]


# ---- config -------------------------------------------------------------------------------------------------


def test_the_settings_are_printed_as_toml_with_their_origins_and_no_secrets(txwatch: Txwatch) -> None:
    file = txwatch.directory / "my.toml"
    file.write_text("[window]\nsize_ms = 5000\n")
    done = txwatch("config", "--config", "my.toml", LATE_POLICY="drop", KAFKA_PROPERTIES='{"sasl.password":"hunter2"}')
    assert (0, "") == (done.code, done.err)
    shown = tomllib.loads(done.out)
    assert (5_000, "drop", 8_000) == (shown["window"]["size_ms"], shown["late"]["policy"], shown["detect"]["limit"])
    assert "hunter2" not in done.out
    assert 'policy = "drop"  # environment LATE_POLICY' in done.out.splitlines()
    assert "size_ms = 5000  # my.toml" in done.out.splitlines()


def test_what_config_prints_gives_the_same_settings_again(txwatch: Txwatch) -> None:
    first = txwatch("config", WINDOW_SIZE_MS="5000", TOPICS_AGGREGATES="sums", DETECT_LIMIT="0.5")
    (txwatch.directory / "again.toml").write_text(first.out)
    again = txwatch("--config", "again.toml", "config")
    assert tomllib.loads(first.out) == tomllib.loads(again.out)


def test_the_file_in_the_usual_place_is_read(txwatch: Txwatch) -> None:
    (txwatch.directory / "config").mkdir()
    (txwatch.directory / "config" / "service.toml").write_text("[window]\nsize_ms = 5000\n")
    assert "size_ms = 5000  # config/service.toml" in txwatch("config").out.splitlines()


def test_a_reader_that_has_had_enough_is_no_failure(txwatch: Txwatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "service", "config"],
        cwd=txwatch.directory,
        env=INHERITED,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(writing)
    assert (0, "") == (done.returncode, done.stderr)


def test_a_full_disk_is_one_line(txwatch: Txwatch) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "service", "config"],
            cwd=txwatch.directory,
            env=INHERITED,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert (1, ["txwatch: standard output: No space left on device"]) == (done.returncode, done.stderr.splitlines())


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HTTP_PROXY", "http://proxy:3128"),
        ("http_proxy", "http://proxy:3128"),
        ("KAFKA_HEAP_OPTS", "-Xmx1g"),
        ("KAFKA_SERVICE_HOST", "10.96.0.11"),
        ("KAFKA_PORT", "tcp://10.96.0.11:9092"),
        ("HTTP_PORT", "tcp://10.96.0.11:80"),
    ],
)
def test_variables_of_other_programs_stop_no_start(txwatch: Txwatch, variable: str, value: str) -> None:
    assert (0, "") == ((done := txwatch("config", **{variable: value})).code, done.err)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_well_even_while_it_is_loading(txwatch: Txwatch, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "service"],
        cwd=txwatch.directory,
        env={**INHERITED, "HTTP_PORT": "0"},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if line.split()[-1] == "click.exceptions")  # pydantic is still to come
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert (0, False) == (process.returncode, "Traceback" in err)


# ---- wrong usage --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nothing"], "nothing"),
        (["--nothing"], "--nothing"),
        (["schema", "nothing"], "nothing"),
        (["schema"], "transaction"),
        (["alerts", "--format", "xml"], "--format"),
        (["alerts", "--max", "0"], "--max"),
        (["--config"], "--config"),
        (["config", "--config", "no.toml"], "no.toml"),
        (["schema", "alert", "--config", "no.toml"], "no.toml"),
        (["--config", "no.toml", "schema", "alert"], "no.toml"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_wrong_usage_is_one_line_that_names_it(txwatch: Txwatch, arguments: list[str], named: str) -> None:
    assert named in txwatch(*arguments).complaint()


@pytest.mark.parametrize("command", [[], ["alerts"]], ids=["none", "alerts"])
def test_a_misspelt_variable_stops_every_command(txwatch: Txwatch, command: list[str]) -> None:
    assert "WINDOW_SIZE_SM" in txwatch(*command, WINDOW_SIZE_SM="5000").complaint()


def test_a_misspelt_name_in_the_file_stops_the_start(txwatch: Txwatch) -> None:
    (txwatch.directory / "my.toml").write_text("[window]\nsize_sm = 5000\n")
    line = txwatch("--config", "my.toml").complaint()
    assert "my.toml" in line
    assert "size_sm" in line


def test_a_wrong_value_stops_the_start(txwatch: Txwatch) -> None:
    assert "WINDOW_SIZE_MS" in txwatch("run", WINDOW_SIZE_MS="-1").complaint()


def test_a_secret_written_wrong_is_not_printed(txwatch: Txwatch) -> None:
    line = txwatch("run", KAFKA_PROPERTIES='{"sasl.password":"hunter2"').complaint()
    assert "KAFKA_PROPERTIES" in line
    assert "hunter2" not in line


def test_a_property_that_the_client_does_not_know_is_named(txwatch: Txwatch) -> None:
    line = txwatch("run", HTTP_PORT="0", KAFKA_PROPERTIES='{"no.such.property":"x"}').complaint()
    assert "no.such.property" in line


def test_a_taken_port_is_one_line_that_names_the_setting(txwatch: Txwatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = txwatch("run", HTTP_HOST="127.0.0.1", HTTP_PORT=port).complaint()
    assert "HTTP_PORT" in line
    assert port in line


def test_a_property_with_a_value_that_the_client_does_not_know_is_named(txwatch: Txwatch) -> None:
    line = txwatch("alerts", KAFKA_PROPERTIES='{"security.protocol":"nonsense"}').complaint()
    assert "KAFKA_PROPERTIES" in line
    assert "security.protocol" in line


@pytest.mark.parametrize("host", ["2001:db8::1", "a..b", "x" * 64 + ".example", "nowhere.invalid"])
def test_an_address_that_is_not_to_be_had_is_one_line_that_names_the_setting(txwatch: Txwatch, host: str) -> None:
    line = txwatch("run", HTTP_HOST=host, HTTP_PORT="0").complaint()
    assert "HTTP_HOST" in line
    assert host in line


@pytest.mark.parametrize("command", ["run", "alerts"])
@pytest.mark.parametrize(
    "variable", ["KAFKA_GROUP_ID", "KAFKA_INSTANCE_ID", "TOPICS_ALERTS", "KAFKA_BOOTSTRAP_SERVERS"]
)
def test_a_blank_name_stops_every_command(txwatch: Txwatch, command: str, variable: str) -> None:
    assert variable in txwatch(command, **{variable: " "}).complaint()
