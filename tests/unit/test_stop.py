"""From a signal to the end of the process there is a bound, for every command."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final

import pytest

from brokerkit.service_process import ROOT
from service.process.stop import STOP_TIMEOUT_S

pytestmark = pytest.mark.slow

MARGIN_S: Final = 3.0

STANDING: Final = {
    "a write to standard output that no program reads": "while True: print('x' * 1000, flush=True)",
    "a call that comes back after each signal": "while True: time.sleep(1)",
    "a call of C that no signal ends": (
        "from tests.integration.standing_service import wait_for_the_clock; wait_for_the_clock(time.time() + 7200)"
    ),
}


@contextlib.contextmanager
def started(body: str) -> Iterator[subprocess.Popen[bytes]]:
    """The program with this for its command, once it can be stopped; killed at the end of the block."""
    code = f"""
import sys, time
import service.cli.main
from service.process.stop import stopped_by_signals
def run():
    with stopped_by_signals() as stop:
        print("x" * 9, flush=True)
        {body}
    return 3
service.cli.main.main = run
from service.__main__ import main
main()
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
        try:
            assert process.stdout is not None
            assert b"x" * 9 + b"\n" == process.stdout.readline()
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("what", "number"), list(zip(sorted(STANDING), (signal.SIGTERM, signal.SIGINT, signal.SIGTERM), strict=True))
)
def test_a_command_that_stands_is_ended_in_time_with_a_line(what: str, number: signal.Signals) -> None:
    with started(STANDING[what]) as process:
        assert process.stderr is not None
        time.sleep(0.5)
        began = time.monotonic()
        process.send_signal(number)
        assert 0 == process.wait(60)
        assert time.monotonic() - began < STOP_TIMEOUT_S + MARGIN_S
        assert [b"txwatch: the command did not end in time after the signal\n"] == process.stderr.readlines()


def test_a_command_that_ends_by_itself_keeps_its_code() -> None:
    with started("stop.event.wait()") as process:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (3, b"", b"") == (process.returncode, out, err)


def test_what_is_called_each_tick_is_not_called_after_the_signal() -> None:
    body = """ticks = []
        stop.on_tick = lambda: ticks.append(0)
        stop.event.wait()
        before = len(ticks)
        time.sleep(2.5)
        print(before > 0, len(ticks) - before, flush=True)"""
    with started(body) as process:
        time.sleep(1.5)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert b"True 0\n" == out


def test_signals_are_as_before_afterwards() -> None:
    body = "pass\n    print('left', flush=True)\n    time.sleep(60)"
    with started(body) as process:
        assert process.stdout is not None
        assert b"left\n" == process.stdout.readline()
        began = time.monotonic()
        os.kill(process.pid, signal.SIGTERM)
        assert 0 == process.wait(30)
        assert time.monotonic() - began < STOP_TIMEOUT_S / 2
