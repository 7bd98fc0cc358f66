"""The replay's settings from files, and the lines about mistakes that name what is meant."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from producer.cli import main
from producer.stop import Stop
from tests.replay_process import EXAMPLE, HEADER, ROOT

SETTINGS = ["TOPICS_TRANSACTIONS", "KAFKA_BOOTSTRAP_SERVERS", "KAFKA_PROPERTIES", "WINDOW_SIZE_MS", "HTTP_HOST"]


class Said(NamedTuple):
    """What a command line printed, and its exit code."""

    code: int
    out: str
    err: str


class Replay:
    """Runs the command line in the test's own process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """No setting is in the environment, and the working directory is the checkout."""
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.chdir(ROOT)
        for name in SETTINGS:
            monkeypatch.delenv(name, raising=False)

    def __call__(self, *arguments: str | Path, **variables: str) -> Said:
        """Run it with these variables."""
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)
        code = main(Stop(), [str(one) for one in arguments])
        return Said(code, *self._capsys.readouterr())


@pytest.fixture
def replay(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Replay:
    """The command line."""
    return Replay(monkeypatch, capsys)


# ---- the command line ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["file.csv"], "no such command 'file.csv'; did you mean: txwatch-replay replay file.csv"),
        (
            ["data/data.csv", "--pace", "max"],
            "no such command 'data/data.csv'; did you mean: txwatch-replay replay data/data.csv",
        ),
        (["data"], "no such command 'data'; did you mean: txwatch-replay replay data"),
        (["my file.csv"], "no such command 'my file.csv'; did you mean: txwatch-replay replay 'my file.csv'"),
        (["-"], "no such command '-'; did you mean: txwatch-replay replay -"),
        (["--pace", "max", "x"], "--pace belongs after the command: txwatch-replay replay FILE --pace"),
        (["--no-progress", "x"], "--no-progress belongs after the command: txwatch-replay replay FILE --no-progress"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_a_missing_command_is_suggested(replay: Replay, arguments: list[str], line: str) -> None:
    assert replay(*arguments) == (2, "", f"txwatch-replay: {line}\n")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--bogus", "x"], "No such option '--bogus'"),
        (["repaly", "x"], "No such command 'repaly'"),
        (["a" * 10_000], "No such command 'aaa"),
        (
            ["replay", EXAMPLE, "--shuffle-ms", "10s"],
            "'--shuffle-ms': must be a whole number of milliseconds: write 10000",
        ),
        (["replay", EXAMPLE, "--shuffle-ms", "soon"], "'--shuffle-ms': 'soon'"),
        (
            ["replay", EXAMPLE, "--max-gap", "1m30s"],
            "'--max-gap': must be a number of seconds: write 90 instead of 1m30s",
        ),
        (["replay", EXAMPLE, "--max-gap", "soon"], "'--max-gap': 'soon'"),
    ],
    ids=lambda one: " ".join(map(str, one))[:40] if isinstance(one, list) else "",
)
def test_any_other_mistake_is_one_line_that_names_it(replay: Replay, arguments: list[str | Path], named: str) -> None:
    said = replay(*arguments)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert named in said.err


# ---- settings -----------------------------------------------------------------------------------------------


def test_every_setting_may_come_from_a_file(replay: Replay, tmp_path: Path) -> None:
    (rows := tmp_path / "rows.csv").write_text(HEADER)
    values = ("payments", "one:9092", '{"acks.x": 1}', "5000", "127.0.0.1")
    for name, value in zip(SETTINGS, values, strict=True):
        (tmp_path / name).write_text(f"{value}\n")
    files = {f"{name}_FILE": str(tmp_path / name) for name in SETTINGS}
    said = replay("replay", rows, "--align", **files)
    # The client got the properties of the file, and knows no such one.
    assert said == (2, "", 'txwatch-replay: KAFKA_PROPERTIES: No such configuration property: "acks.x"\n')


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        (
            {"WINDOW_SIZE_MS": "10s"},
            "WINDOW_SIZE_MS: must be a whole number of milliseconds: write 10000 instead of 10s",
        ),
        ({"WINDOW_SIZE_MS": "soon"}, "WINDOW_SIZE_MS: must be a whole number of milliseconds above 0"),
        ({"WINDOW_SIZE_MS": "0"}, "WINDOW_SIZE_MS: must be a whole number of milliseconds above 0"),
        ({"WINDOW_SIZE_MS": "0s"}, "WINDOW_SIZE_MS: must be a whole number of milliseconds above 0"),
        (
            {"KAFKA_PROPERTIES": '{"security.protocol": "ssl", "ssl.ca.location": "/nowhere/ca.pem"}'},
            "KAFKA_PROPERTIES: ssl.ca.location: /nowhere/ca.pem: No such file or directory",
        ),
        ({"KAFKA_PROPERTIES_FILE": "/"}, "KAFKA_PROPERTIES_FILE: /: Is a directory"),
        ({"TOPICS_TRANSACTIONS": "a\udcff"}, "TOPICS_TRANSACTIONS: is not UTF-8"),
        *(({f"{name}_FILE": "/nowhere"}, f"{name}_FILE: /nowhere: No such file or directory") for name in SETTINGS),
        *(
            ({f"{name}_FILE": "/x", name: "y"}, f"{name} and {name}_FILE are both set: unset one of them")
            for name in SETTINGS
        ),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, dict) else "",
)
def test_a_wrong_setting_is_one_line(replay: Replay, variables: dict[str, str], line: str) -> None:
    assert replay("replay", EXAMPLE, "--align", "--pace", "max", **variables) == (2, "", f"txwatch-replay: {line}\n")


@pytest.mark.parametrize("name", SETTINGS)
def test_an_empty_file_of_a_setting_is_named(replay: Replay, tmp_path: Path, name: str) -> None:
    (path := tmp_path / "held").write_text("\n")
    # Where the default is taken instead, --dry-run ends by itself; the window's size is of use only without it.
    options = ["--align", "--pace", "max"] if name == "WINDOW_SIZE_MS" else ["--dry-run"]
    impatient = {} if name == "KAFKA_PROPERTIES" else {"KAFKA_PROPERTIES": '{"message.timeout.ms": 100}'}
    line = f"txwatch-replay: {name}_FILE ({path}): is empty\n"
    assert replay("replay", EXAMPLE, *options, **{f"{name}_FILE": str(path)}, **impatient) == (2, "", line)


@pytest.mark.parametrize("name", SETTINGS[:-1])
def test_what_a_wrong_file_holds_is_not_shown(replay: Replay, tmp_path: Path, name: str) -> None:
    (path := tmp_path / "held").write_text("hunter2 hunter2\n")
    said = replay("replay", EXAMPLE, "--align", "--pace", "max", **{f"{name}_FILE": str(path)})
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert said.err.startswith(f"txwatch-replay: {name}_FILE ({path}): ")
    assert "hunter2" not in said.err


def test_a_duration_in_a_file_is_not_shown(replay: Replay, tmp_path: Path) -> None:
    (path := tmp_path / "held").write_text("10s\n")
    line = f"txwatch-replay: WINDOW_SIZE_MS_FILE ({path}): must be a whole number of milliseconds above 0\n"
    assert replay("replay", EXAMPLE, "--align", "--pace", "max", WINDOW_SIZE_MS_FILE=str(path)) == (2, "", line)


def test_an_option_beats_the_file_of_its_setting(replay: Replay, tmp_path: Path) -> None:
    (path := tmp_path / "held").write_text("not a topic\n")
    (rows := tmp_path / "rows.csv").write_text(HEADER + "tx1,2024-05-11 10:00:00,1\n")
    said = replay("replay", rows, "--dry-run", "--topic", "transactions", TOPICS_TRANSACTIONS_FILE=str(path))
    assert (said.code, said.err) == (0, "")
