"""A replay ends in time after a signal, and without a reader of its output, whatever hangs then."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from brokerkit.files import free_ports
from brokerkit.service_process import wait_until
from producer.publisher import Publisher
from producer.reading.rows import Rows
from producer.replay import Batch
from service.process.stop import STOP_TIMEOUT_S
from tests.full_pipe import fill
from tests.replay_process import EXAMPLE, HEADER, ROOT

MARGIN_S: Final = 3.0
ROW: Final = "tx1,2024-05-11 10:00:00,1\n"
OVERDUE: Final = b"txwatch-replay: the replay did not end in time after the signal; there is no summary\n"


@contextlib.contextmanager
def unread_pipe() -> Iterator[int]:
    """The writing end of a full pipe that has a reader, which does not read."""
    reading, writing = os.pipe()
    fill(writing)
    try:
        yield writing
    finally:
        os.close(writing)
        os.close(reading)


@contextlib.contextmanager
def started(
    *arguments: str | Path, code: str = "", stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[bytes]]:
    """The replay, after this code if there is some; killed at the end of the block."""
    run = f"{code}\nfrom producer.__main__ import main\nmain()"
    command = [sys.executable, "-c", run, "replay", *map(str, arguments)]
    environment = {**os.environ, "HTTP_HOST": "127.0.0.1"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=pipe, stdout=stdout, stderr=stderr, bufsize=0
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("progress", ["--progress", "--no-progress"])
def test_a_standard_error_without_a_reader_stops_no_row_and_no_summary(tmp_path: Path, progress: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(HEADER + "bad\n" * 20 + ROW)
    with unread_pipe() as stderr, started(path, "--dry-run", progress, stderr=stderr) as process:
        out, _ = process.communicate(timeout=60)
    summary = json.loads(out.splitlines()[-1])
    assert (process.returncode, summary["read"], summary["rejected"]) == (0, 21, 20)


def sent_rows(port: int) -> bool:
    """Whether the replay has sent a row, as its metrics say."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
        return b"txwatch_replay_event_time_seconds 1" in page.read()
    return False


def test_a_signal_is_obeyed_where_standard_error_has_no_reader() -> None:
    (port,) = free_ports(1)
    arguments = ("-", "--dry-run", "--metrics-port", str(port))
    with unread_pipe() as stderr, started(*arguments, stderr=stderr) as process:
        assert process.stdin is not None
        process.stdin.write((HEADER + "bad\n" * 20 + ROW).encode())
        wait_until(lambda: sent_rows(port), 60)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
        assert time.monotonic() - began < STOP_TIMEOUT_S / 2
    summary = json.loads(out.splitlines()[-1])
    assert (process.returncode, summary["read"], summary["next_row"]) == (0, 21, 22)


def stopped_while_it_waits(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """Send SIGTERM to a replay that hangs, check that it ends within the deadline, and return what it wrote."""
    time.sleep(3)
    assert process.poll() is None
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    written = process.communicate(timeout=60)
    assert time.monotonic() - began < STOP_TIMEOUT_S + MARGIN_S
    return written


@pytest.mark.slow
def test_a_summary_without_a_reader_holds_a_stop_no_longer_than_its_deadline() -> None:
    with unread_pipe() as stdout, started(EXAMPLE, "--dry-run", stdout=stdout) as process:
        _, err = stopped_while_it_waits(process)
    assert (process.returncode, err) == (1, OVERDUE)


@pytest.mark.slow
def test_a_file_of_a_setting_that_nobody_writes_holds_a_stop_no_longer_than_its_deadline(tmp_path: Path) -> None:
    fifo = tmp_path / "servers"
    os.mkfifo(fifo)
    code = f"import os; os.environ['KAFKA_BOOTSTRAP_SERVERS_FILE'] = {str(fifo)!r}"
    with started(EXAMPLE, "--dry-run", code=code) as process:
        out, err = stopped_while_it_waits(process)
    assert (process.returncode, out, err) == (1, b"", OVERDUE)


HANGING: Final = """
import sys, time
import producer.app
from producer.ports import DryRun
from tests.integration.standing_service import wait_for_the_clock

class Hanging(DryRun):
    outstanding = 1

    def flush(self, wait_s):
        print("it hangs", file=sys.stderr, flush=True)
        wait_for_the_clock(time.time() + 7200)

producer.app.DryRun = Hanging
"""
RELEASED: Final = """
import ctypes, sys
import producer.app
from producer.ports import DryRun

libc, semaphore = ctypes.CDLL(None), ctypes.create_string_buffer(64)
libc.sem_init(semaphore, 0, 0)

class Released(DryRun):
    outstanding = 1

    def flush(self, wait_s):
        print("it hangs", file=sys.stderr, flush=True)
        while libc.sem_wait(semaphore):
            pass

    def purge(self):
        self.failed, self.outstanding = 1, 0
        libc.sem_post(semaphore)

producer.app.DryRun = Released
"""


def stopped(code: str) -> tuple[int, bytes, bytes, float]:
    """A replay that hangs in C and is stopped there: exit code, both outputs, and how long the end took."""
    with started(EXAMPLE, "--dry-run", code=code) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == b"it hangs\n"
        time.sleep(0.5)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err, time.monotonic() - began


@pytest.mark.slow
def test_a_call_that_hangs_as_after_a_clock_was_set_back_is_ended_in_time_with_a_line() -> None:
    code, out, err, seconds = stopped(HANGING)
    assert (code, out, err) == (1, b"", OVERDUE)
    assert seconds < STOP_TIMEOUT_S + MARGIN_S


@pytest.mark.slow
def test_a_purge_releases_such_a_call_so_that_the_summary_comes() -> None:
    code, out, err, seconds = stopped(RELEASED)
    assert (code, err) == (1, b"")
    assert json.loads(out.splitlines()[-1])["failed"] == 1
    assert seconds < STOP_TIMEOUT_S


def test_a_purge_from_another_thread_ends_a_wait_of_the_real_client() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        publisher = Publisher("nowhere", f"127.0.0.1:{taken.getsockname()[1]}", {}, 1)
        publisher.send(Batch(Rows((1,), ("tx1",), (0,), ("1",)), None, 0, 1), lambda: False)
        threading.Timer(0.5, publisher.purge).start()
        began = time.monotonic()
        while publisher.outstanding and time.monotonic() - began < 30:
            publisher.flush(30)
    assert time.monotonic() - began < 10
    assert (publisher.failed, publisher.first_failed() is not None) == (1, True)
