"""How both programs end: with their code and all their output, without the handlers that Python runs at exit."""

import subprocess
import sys

import pytest

from brokerkit.service_process import ROOT

COMMAND_LINES = {"service": "service.cli.main", "producer": "producer.cli"}
CRASHES_AT_EXIT = "import atexit, os; atexit.register(os.abort)"


def ended(program: str, body: str) -> subprocess.CompletedProcess[str]:
    """The program, with this for its command line."""
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
