"""Standard error that is not read, is read slowly, is full or is closed: no thread of the service waits for it."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TextIO, cast

import pytest

from brokerkit.service_process import ROOT
from service.process.stderr import FLUSH_S, MOST_BYTES, Stderr

pytestmark = pytest.mark.slow

LINES: Final = 20_000
FILLER: Final = "x" * 127 + "\n"
"""A part of a page: a pipe that has no room for it takes no shorter line either."""
QUIET_S: Final = 2.0
"""Nothing more comes then, on a busy machine either."""
QUICK_S: Final = 10.0
"""So many lines take some hundredths of a second where no thread waits for a reader."""


class Pipe:
    """A pipe with a Stderr at its one end."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.reading, self.writing = os.pipe()
        self.stream = Stderr(self.writing, most_bytes=most_bytes)

    def read_lines(self, pause_s: float = 0.0) -> list[str]:
        """Read everything that comes, 4 KiB at a time, until it is quiet for a while."""
        read = b""
        while select.select([self.reading], [], [], QUIET_S)[0]:
            read += os.read(self.reading, 4096)
            time.sleep(pause_s)
        return [line for line in read.decode().splitlines() if line != FILLER.strip()]

    def say(self, count: int = LINES) -> float:
        """Write numbered lines; returns how long that took."""
        began = time.monotonic()
        for number in range(count):
            self.stream.write(f"line {number}\n")
        return time.monotonic() - began


def fill(descriptor: int) -> None:
    """Write to a pipe until it takes no more."""
    os.set_blocking(descriptor, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(descriptor, FILLER.encode()):
            pass
    os.set_blocking(descriptor, True)


@pytest.fixture
def make_pipe() -> Iterator[Callable[..., Pipe]]:
    """Makes pipes that are gone at the end: then no thread waits for their readers."""
    pipes: list[Pipe] = []

    def make(most_bytes: int = MOST_BYTES) -> Pipe:
        pipes.append(Pipe(most_bytes))
        return pipes[-1]

    yield make
    for pipe in pipes:
        os.close(pipe.reading)
        pipe.stream.drain(5)
        os.close(pipe.writing)


def test_lines_come_in_their_order(make_pipe: Callable[..., Pipe]) -> None:
    pipe = make_pipe()
    pipe.say(1_000)
    assert [f"line {number}" for number in range(1_000)] == pipe.read_lines()


def test_a_slow_reader_gets_every_line_that_found_room(make_pipe: Callable[..., Pipe]) -> None:
    pipe = make_pipe()
    assert pipe.say() < QUICK_S
    assert 0 == pipe.stream.dropped
    assert [f"line {number}" for number in range(LINES)] == pipe.read_lines(pause_s=0.002)


def test_a_writer_does_not_wait_where_it_is_not_read_and_what_has_no_room_is_counted(
    make_pipe: Callable[..., Pipe],
) -> None:
    pipe = make_pipe(most_bytes=10_000)
    fill(pipe.writing)
    assert pipe.say() < QUICK_S
    kept = pipe.read_lines()
    assert [f"line {number}" for number in range(len(kept))] == kept
    assert LINES == len(kept) + pipe.stream.dropped
    assert pipe.stream.dropped > LINES / 2


def test_the_next_line_that_is_written_says_how_many_were_not(make_pipe: Callable[..., Pipe]) -> None:
    pipe = make_pipe(most_bytes=10_000)
    fill(pipe.writing)
    pipe.say()
    dropped = pipe.stream.dropped
    pipe.read_lines()
    pipe.stream.write("after\n")
    pipe.stream.write("all\n")
    assert [f"txwatch: {dropped} lines were dropped here", "after", "all"] == pipe.read_lines()
    assert dropped == pipe.stream.dropped


def test_a_line_that_is_longer_than_all_the_room_is_written_alone(make_pipe: Callable[..., Pipe]) -> None:
    pipe = make_pipe(most_bytes=10_000)
    pipe.stream.write("x" * 100_000 + "\n")
    assert ["x" * 100_000] == pipe.read_lines()


def test_a_line_in_pieces_is_one_line(make_pipe: Callable[..., Pipe]) -> None:
    pipe = make_pipe()
    print("a", 1, file=cast("TextIO", pipe.stream))
    pipe.stream.write("b")
    pipe.stream.flush()
    assert ["a 1"] == pipe.read_lines()
    assert pipe.stream.drain(5)
    assert ["b"] == pipe.read_lines()


def test_the_wait_for_the_last_lines_is_bounded(make_pipe: Callable[..., Pipe]) -> None:
    pipe = make_pipe()
    pipe.say()
    began = time.monotonic()
    assert not pipe.stream.drain(0.2)
    assert time.monotonic() - began < QUICK_S


def test_the_wait_for_the_last_lines_ends_with_them(make_pipe: Callable[..., Pipe]) -> None:
    pipe = make_pipe()
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.extend(pipe.read_lines()))
    pipe.say()
    reader.start()
    assert pipe.stream.drain(30)
    reader.join()
    assert LINES == len(read)


def test_a_reader_that_is_gone_costs_lines_and_no_error(make_pipe: Callable[..., Pipe]) -> None:
    pipe = make_pipe()
    os.close(pipe.reading)
    pipe.say(10)
    assert pipe.stream.drain(5)
    assert 10 == pipe.stream.dropped
    pipe.reading = os.open(os.devnull, os.O_RDONLY)


def test_a_full_disk_costs_lines_and_no_error() -> None:
    with Path("/dev/full").open("wb") as full:
        stream = Stderr(full.fileno())
        for _ in range(10):
            stream.write("line\n")
            assert stream.drain(5)
    assert 10 == stream.dropped


def test_where_it_is_closed_every_line_is_counted() -> None:
    stream = Stderr(None)
    print("a\nb", file=cast("TextIO", stream))
    assert (2, False, True) == (stream.dropped, stream.isatty(), stream.drain(0))


def test_a_pipe_that_another_process_made_non_blocking_gets_every_line(make_pipe: Callable[..., Pipe]) -> None:
    pipe = make_pipe()
    os.set_blocking(pipe.writing, False)
    pipe.say()
    assert LINES == len(pipe.read_lines())


def test_text_that_the_encoding_does_not_have_is_written_with_a_backslash() -> None:
    reading, writing = os.pipe()
    stream = Stderr(writing, encoding="ascii")
    stream.write("M\u00fcller \udcff\n")
    stream.drain(5)
    assert b"M\\xfcller \\udcff\n" == os.read(reading, 100)
    os.close(reading)
    os.close(writing)


def test_a_traceback_goes_through_it(make_pipe: Callable[..., Pipe]) -> None:
    pipe = make_pipe()
    try:
        int("broken")
    except ValueError:
        traceback.print_exc(file=cast("TextIO", pipe.stream))
    lines = pipe.read_lines()
    assert lines[0].startswith("Traceback")
    assert lines[-1].startswith("ValueError: invalid literal")


# ---- whole processes ----------------------------------------------------------------------------------------


def command(body: str) -> list[str]:
    """The service with this for its command line."""
    code = f"""
import sys, logging, warnings
import service.cli.main
def run():
    {body}
service.cli.main.main = run
from service.__main__ import main
main()
"""
    return [sys.executable, "-c", code]


CONFIGURE: Final = "from service.observe import log; log.configure('info', 'json')"


@contextlib.contextmanager
def started(arguments: list[str], **more: Any) -> Iterator[subprocess.Popen[bytes]]:  # noqa: ANN401 - Popen's
    """A process that is killed at the end of the block, should it be there still."""
    with subprocess.Popen(arguments, **more) as process:
        try:
            yield process
        finally:
            process.kill()


WRITERS: Final = {
    "log": f"{CONFIGURE}; log.get('x').info('a', n='x' * 300)",
    "library": f"{CONFIGURE}; logging.getLogger('x').info('x' * 300)",
    "print": "print('x' * 300, file=sys.stderr)",
    "warning": "warnings.warn('x' * 300 + str(n), stacklevel=1)",
    "traceback": "import traceback; traceback.print_stack()",
}


@pytest.mark.parametrize("writer", sorted(WRITERS))
def test_whatever_writes_there_the_process_ends_in_time_where_it_is_not_read(writer: str) -> None:
    reading, writing = os.pipe()
    body = f"for n in range(3000):\n        {WRITERS[writer]}\n    return 3"
    began = time.monotonic()
    with started(command(body), cwd=ROOT, stderr=writing) as process:
        os.close(writing)
        assert 3 == process.wait(60)
    assert time.monotonic() - began < FLUSH_S + 20
    os.close(reading)


def test_a_crash_is_read_to_its_last_line_by_a_reader_that_comes_late() -> None:
    reading, writing = os.pipe()
    body = f"{CONFIGURE}\n    for n in range(700): log.get('x').info('a', n='x' * 300)\n    1 // 0"
    with started(command(body), cwd=ROOT, stderr=writing) as process:
        os.close(writing)
        while len(read := os.read(reading, 1)) == 0:
            pass
        time.sleep(0.5)  # by now all is said, and the process waits for the pipe
        with os.fdopen(reading, "rb") as rest:
            lines = (read + rest.read()).decode().splitlines()
        assert 1 == process.wait(60)
    assert 700 == sum(line.startswith("{") for line in lines)
    assert "ZeroDivisionError: integer division or modulo by zero" == lines[-1]


def test_the_log_says_in_its_own_form_that_lines_are_missing() -> None:
    reading, writing = os.pipe()
    body = f"""{CONFIGURE}
    for n in range(3000): log.get('x').info('a', n='x' * 300)
    print("said", flush=True)
    sys.stdin.readline()
    log.get('x').info('b')
    return 0"""
    log = b""
    pipe = subprocess.PIPE
    with started(command(body), cwd=ROOT, stdin=pipe, stdout=pipe, stderr=writing) as process:
        os.close(writing)
        assert process.stdout is not None
        assert b"said\n" == process.stdout.readline()
        while select.select([reading], [], [], QUIET_S)[0]:
            log += os.read(reading, 4096)
        process.communicate(b"\n", 60)
    with os.fdopen(reading, "rb") as rest:
        log += rest.read()
    events = [json.loads(line) for line in log.splitlines()]
    assert ["log_lines_dropped", "b"] == [event["event"] for event in events[-2:]]
    assert {"event", "level", "lines", "timestamp"} == events[-2].keys()
    missing = sum(event["lines"] for event in events if event["event"] == "log_lines_dropped")
    assert 3000 == missing + sum(event["event"] == "a" for event in events)


@pytest.mark.parametrize(
    ("redirection", "arguments"),
    [("2>&-", "config"), ("2>&-", "run"), ("2>/dev/full", "config"), ("2>/dev/full", "run"), ("<&- >&- 2>&-", "run")],
)
def test_wrong_settings_end_it_with_2_where_standard_error_is_of_no_use(redirection: str, arguments: str) -> None:
    shell = f'exec "$0" -m service {arguments} {redirection}'
    done = subprocess.run(
        ["bash", "-c", shell, sys.executable],  # noqa: S607
        cwd=ROOT,
        env={**os.environ, "WINDOW_SIZE_MS": "-1"},
        stdout=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    assert (2, b"") == (done.returncode, done.stdout)


def test_wrong_settings_end_it_with_2_where_a_full_pipe_is_not_read() -> None:
    reading, writing = os.pipe()
    fill(writing)
    environment = {**os.environ, "WINDOW_SIZE_MS": "-1"}
    with started([sys.executable, "-m", "service"], cwd=ROOT, env=environment, stderr=writing) as process:
        os.close(writing)
        assert 2 == process.wait(60)
    os.close(reading)


@pytest.mark.parametrize(
    ("body", "closed", "output"),
    [
        pytest.param("print('err', file=sys.stderr); print('out')", "2>&-", b"out\n", id="a line for it"),
        pytest.param("print(open('/dev/null').fileno() > 2)", "<&- 2>&-", b"True\n", id="a file that is opened"),
    ],
)
def test_a_closed_standard_error_is_neither_standard_output_nor_the_next_file(
    body: str, closed: str, output: bytes
) -> None:
    done = subprocess.run(
        ["bash", "-c", f'exec "$@" {closed}', "bash", *command(f"{body}; return 0")],  # noqa: S607
        cwd=ROOT,
        stdout=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    assert (0, output) == (done.returncode, done.stdout)


def test_the_interpreters_own_end_waits_for_the_last_lines() -> None:
    code = (
        "import sys; from service.process.stderr import install; install(); print('x' * 200_000, file=sys.stderr); 1/0"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert 1 == done.returncode
    assert "ZeroDivisionError: division by zero" == done.stderr.splitlines()[-1]
