"""Shell completion of both programs: the scripts that shells read, and what these scripts ask."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from producer.cli import cli as replay_cli
from service.cli.main import cli as service_cli
from service.process.completion import fault_of_completion
from tests.forked import Forked

ROOT = Path(__file__).parents[2]
PROGRAMS = {"txwatch": "service", "txwatch-replay": "producer"}
COMMANDS: dict[str, click.Command] = {"txwatch": service_cli, "txwatch-replay": replay_cli}
VARIABLES = {"txwatch": "_TXWATCH_COMPLETE", "txwatch-replay": "_TXWATCH_REPLAY_COMPLETE"}
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
FORKED = {
    "txwatch": Forked("service", "service.cli.main", ENVIRONMENT),
    "txwatch-replay": Forked("producer", "producer.cli", ENVIRONMENT),
}


def ask(program: str, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run a program with variables; returns its exit code and what it printed."""
    code, out, err = FORKED[program].run(arguments, {**ENVIRONMENT, **environment})
    return code, out.decode(), err.decode()


# ---- the programs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "shell"),
    [
        ("txwatch", "bash"),
        ("txwatch", "zsh"),
        ("txwatch", "fish"),
        ("txwatch-replay", "bash"),
        ("txwatch-replay", "fish"),
    ],
)
def test_the_script_is_printed(program: str, shell: str) -> None:
    code, out, err = ask(program, **{VARIABLES[program]: f"{shell}_source"})
    assert (0, "") == (code, err)
    assert f"{VARIABLES[program]}={shell}_complete" in out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_the_script_asks_is_answered(shell: str) -> None:
    word = "al" if shell == "fish" else "1"
    code, out, err = ask("txwatch", _TXWATCH_COMPLETE=f"{shell}_complete", COMP_WORDS="txwatch al", COMP_CWORD=word)
    assert (0, "", True) == (code, err, "alerts" in out)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_request_that_no_shell_makes_is_one_line(program: str) -> None:
    line = f"{program}: {VARIABLES[program]}: 'nonsense' is none of bash_source, zsh_source, fish_source\n"
    assert (2, "", line) == ask(program, **{VARIABLES[program]: "nonsense"})


def test_completion_asks_for_no_setting() -> None:
    environment = {
        "COMP_WORDS": "txwatch-replay replay --pac",
        "COMP_CWORD": "2",
        "TOPICS_TRANSACTIONS_FILE": "/nowhere",
    }
    answer = ask("txwatch-replay", _TXWATCH_REPLAY_COMPLETE="bash_complete", **environment)
    assert (0, "plain,--pace\n", "") == answer


def test_an_empty_variable_asks_for_nothing() -> None:
    assert 0 == ask("txwatch", "--version", _TXWATCH_COMPLETE="")[0]


# ---- which requests there are -------------------------------------------------------------------------------


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_requests_of_shells_are_no_fault(program: str, shell: str) -> None:
    name, words = VARIABLES[program], {"COMP_WORDS": "x", "COMP_CWORD": "0"}
    assert fault_of_completion(program, {name: f"{shell}_source"}) is None
    assert fault_of_completion(program, {name: f"{shell}_complete", **words}) is None
    assert fault_of_completion(program, {}) is None


@pytest.mark.parametrize(
    "environment",
    [
        {"": "tcsh_source"},
        {"": "bash_nonsense"},
        {"": "bash"},
        {"": "a\nb"},
        {"": "bash_complete"},
        {"": "fish_complete"},
        {"": "bash_complete", "COMP_WORDS": "x"},
        {"": "zsh_complete", "COMP_WORDS": "x", "COMP_CWORD": "first"},
    ],
    ids=lambda one: ascii(" ".join(one.values())),
)
def test_other_requests_are_a_fault(environment: dict[str, str]) -> None:
    fault = fault_of_completion("txwatch", {one or "_TXWATCH_COMPLETE": value for one, value in environment.items()})
    assert f"_TXWATCH_COMPLETE: {environment['']!a} is none of bash_source, zsh_source, fish_source" == fault


# ---- what is completed --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "words", "expected"),
    [
        ("txwatch", "schema a", ["plain alert", "plain aggregate"]),
        ("txwatch", "alerts --bo", ["plain --bootstrap-servers"]),
        ("txwatch", "timeline --output ", ["file "]),
        ("txwatch", "rek", ["plain rekey"]),
        ("txwatch", "rekey --t", ["plain --to"]),
        ("txwatch", "tr", ["plain train", "plain try-input"]),
        ("txwatch", "train --amount-style a", ["plain accounting"]),
        ("txwatch", "--config my", ["file my"]),
        ("txwatch-replay", "", ["plain replay"]),
        ("txwatch-replay", "replay --pac", ["plain --pace"]),
        ("txwatch-replay", "replay x.csv --pace e", ["plain event-time"]),
        ("txwatch-replay", "replay da", ["file da"]),
        ("txwatch-replay", "replay x.csv --rejects re", ["file re"]),
    ],
)
def test_options_values_and_files_are_completed(program: str, words: str, expected: list[str]) -> None:
    *before, last = words.split(" ")
    found = ShellComplete(COMMANDS[program], {}, program, VARIABLES[program]).get_completions(before, last)
    assert expected == [f"{one.type} {one.value}" for one in found]


# ---- a real shell -------------------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with both programs as commands."""
    for program, package in PROGRAMS.items():
        path = tmp_path / program
        path.write_text(
            f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.quote(sys.executable)} -m {package} "$@"\n'
        )
        path.chmod(0o755)
    return tmp_path


def bash(folder: Path, script: str) -> str:
    """What a script of bash prints."""
    found = shutil.which("bash")
    assert found is not None
    done = subprocess.run(
        [found, "--norc", "-euc", script],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


def test_the_line_in_readme_makes_bash_complete(installed: Path) -> None:
    (line,) = re.findall(r'`(eval "\$\(_TXWATCH_COMPLETE=bash_source txwatch\)")`', (ROOT / "README.md").read_text())
    script = 'COMP_WORDS=(txwatch sch); COMP_CWORD=1; _txwatch_completion txwatch; echo "${COMPREPLY[@]}"'
    printed = bash(installed, f"{line}; complete -p txwatch; {script}").splitlines()
    assert ["complete -o nosort -F _txwatch_completion txwatch", "schema"] == printed


def test_bash_completes_the_replay_as_well(installed: Path) -> None:
    line = 'eval "$(_TXWATCH_REPLAY_COMPLETE=bash_source txwatch-replay)"'
    words = "COMP_WORDS=(txwatch-replay rep); COMP_CWORD=1"
    script = f'{words}; _txwatch_replay_completion txwatch-replay; echo "${{COMPREPLY[@]}}"'
    assert "replay" == bash(installed, f"{line}; {script}").strip()
