"""How both programs end: with their exit code and all their output, and without any exit handler."""

import shlex
import subprocess
import sys

import pytest

from brokerkit.service_process import ROOT

pytestmark = pytest.mark.slow

COMMAND_LINES = {"service": "service.cli.main", "producer": "producer.cli"}
CRASHES_AT_EXIT = "import atexit, os; atexit.register(os.abort)"


def ended(program: str, body: str) -> subprocess.CompletedProcess[str]:
    """Run the program with this body as its command line."""
    code = f"""
{CRASHES_AT_EXIT}
import {COMMAND_LINES[program]}
def run(*_):
    {body}
{COMMAND_LINES[program]}.main = run
from {program}.__main__ import main
main()
"""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("program", ["service", "producer"])
def test_the_code_is_kept_and_what_was_printed_is_there(program: str) -> None:
    done = ended(program, "print('all of it', end=''); return 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "all of it", "")


def test_a_bug_of_the_service_shows_its_traceback_and_ends_it_with_1() -> None:
    done = ended("service", "return 1 // 0")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.splitlines()[-1].startswith("ZeroDivisionError")


def test_a_bug_of_the_replay_is_one_line_that_names_it_and_ends_it_with_1() -> None:
    done = ended("producer", "return 1 // 0")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("txwatch-replay: ")
    assert "ZeroDivisionError" in line


@pytest.mark.parametrize("program", ["service", "producer"])
def test_closed_streams_do_no_harm(program: str) -> None:
    done = ended(program, "import sys; sys.stdout = sys.stderr = None; return 2")
    assert done.returncode == 2


@pytest.mark.parametrize("command", ["service --help", "service run -h", "service --version", "producer replay --help"])
def test_help_that_cannot_be_printed_is_one_line(command: str) -> None:
    done = in_shell(f"{shlex.quote(sys.executable)} -m {command} >/dev/full")
    assert done.returncode == 1
    assert done.stderr.partition(": ")[2] == "standard output: No space left on device\n"


def test_a_completion_script_that_cannot_be_printed_is_one_line() -> None:
    done = in_shell(f"_TXWATCH_COMPLETE=bash_source {shlex.quote(sys.executable)} -m service >/dev/full")
    assert (done.returncode, done.stderr) == (1, "txwatch: standard output: No space left on device\n")


def test_a_closed_standard_input_is_an_empty_one() -> None:
    done = in_shell(f"{shlex.quote(sys.executable)} -m producer replay - --dry-run <&-")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("txwatch-replay: standard input is empty")


def in_shell(command: str) -> subprocess.CompletedProcess[str]:
    """Run a shell's command to its end, but no longer than a command without work may take."""
    return subprocess.run(["/bin/sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
