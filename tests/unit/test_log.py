"""Logs: one line each, to standard error, from the service and from libraries."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr
from typing import Any, Literal

import pytest
import structlog

from service.observe import log


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging is the process's: put back what was there."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def configured(level: str = "info", log_format: Literal["json", "console"] = "json") -> io.StringIO:
    """Standard error, once logging has been set up for it."""
    written = io.StringIO()
    with redirect_stderr(written):
        log.configure(level, log_format)
    return written


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    """What has been written, line by line, as JSON."""
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_a_line_has_its_event_level_time_and_fields() -> None:
    written = configured()
    log.get("txwatch").info("checkpoint", windows=3, note="M\u00fcller")
    (line,) = lines(written)
    assert line.pop("timestamp").endswith("Z")
    assert {"event": "checkpoint", "level": "info", "windows": 3, "note": "M\u00fcller"} == line


def test_what_is_below_the_level_is_not_written() -> None:
    written = configured("warning")
    log.get("txwatch").info("a")
    log.get("txwatch").warning("b")
    logging.getLogger("librdkafka").info("c")
    logging.getLogger("librdkafka").error("d")
    assert ["b", "librdkafka"] == [line["event"] for line in lines(written)]


def test_debug_is_written_where_it_is_asked_for() -> None:
    written = configured("debug")
    log.get("txwatch").debug("a")
    assert ["debug"] == [line["level"] for line in lines(written)]


def test_librdkafkas_lines_come_through_the_same_door() -> None:
    written = configured()
    logging.getLogger("librdkafka").warning("FAIL [%s]: %s", "rdkafka#consumer-1", "Connect refused")
    (line,) = lines(written)
    assert line.pop("timestamp")
    assert {"event": "librdkafka", "level": "warning", "line": "FAIL [rdkafka#consumer-1]: Connect refused"} == line


def test_what_the_wait_for_the_producer_says_itself_librdkafka_does_not_repeat() -> None:
    written = configured()
    said = "[rdkafka#producer-2] [thrd:main]: Failed to acquire transactional PID from broker TxnCoordinator/1: "
    logging.getLogger("librdkafka").warning("GETPID %s", f"{said}Broker: Coordinator load in progress: retrying")
    logging.getLogger("librdkafka").warning("GETPID %s", "[rdkafka#producer-2] Acquired invalid PID{1,-1}: ignoring")
    logging.getLogger("librdkafka").warning("FAIL %s", "[rdkafka#producer-2] Connection refused: retrying")
    assert ["GETPID", "FAIL"] == [line["line"].split()[0] for line in lines(written)]


@pytest.mark.parametrize("text", ["two\nlines", 'a "quote"', "\x1b[31m", "\u2028", "{}", "100%", "\x00"])
def test_whatever_it_says_it_is_one_line_of_json(text: str) -> None:
    written = configured()
    log.get("txwatch").info("event", text=text)
    logging.getLogger("librdkafka").info(text)
    assert 2 == written.getvalue().count("\n")
    assert [text, text] == [line.get("text", line.get("line")) for line in lines(written)]


def test_what_is_no_json_is_written_as_text() -> None:
    written = configured()
    log.get("txwatch").info("event", text=b"bytes", error=ValueError("x"))
    assert ["event"] == [line["event"] for line in lines(written)]


def test_a_traceback_is_a_field_of_its_line() -> None:
    written = configured()
    try:
        int("broken")
    except ValueError:
        log.get("txwatch").exception("failed")
    (line,) = lines(written)
    assert "ValueError: invalid literal" in line["exception"]


def test_the_console_format_is_for_people() -> None:
    written = configured(log_format="console")
    log.get("txwatch").info("checkpoint", windows=3)
    (line,) = written.getvalue().splitlines()
    assert "checkpoint" in line
    assert "windows=3" in line
    assert not line.startswith("{")


def test_the_console_format_has_no_colours_where_there_is_no_terminal() -> None:
    written = configured(log_format="console")
    log.get("txwatch").error("checkpoint", windows=3)
    assert "\x1b" not in written.getvalue()


def test_setting_up_twice_writes_once() -> None:
    configured()
    written = configured()
    log.get("txwatch").info("a")
    assert 1 == len(lines(written))


def test_logs_go_to_standard_error_and_never_to_standard_output() -> None:
    program = "from service.observe import log; log.configure('info', 'json'); log.get('txwatch').info('a', n=1)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ("", "a") == (done.stdout, json.loads(done.stderr)["event"])
