"""How a program ends: one exit code and one line for each thing that its work can raise, and a closed server."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import contextlib
import socket
import time
from threading import Thread
from typing import cast

import pytest
import structlog
from confluent_kafka import KafkaError
from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from service.app.ending import leave_group, run_to_the_end
from service.app.waiting import StoppedWaiting
from service.loop.errors import Fatal, Fenced, KafkaProblem, Misconfigured, Retriable
from service.observe.http import HttpServer, Pages
from service.observe.status import StatusBoard
from service.process.stop import Stop
from service.settings import SettingsError

FORBIDDEN = KafkaError.GROUP_AUTHORIZATION_FAILED


def needed_acl(code: int | None) -> str | None:
    return "ACL READ on group g" if code == FORBIDDEN else None


class Run:
    """A program whose work raises this."""

    def __init__(self, problem: Exception | None, *, stopped: bool = False) -> None:
        self.problem = problem
        self.stop = Stop()
        if stopped:
            self.stop.event.set()
        self.said = structlog.testing.LogCapture()
        self.server = HttpServer("127.0.0.1", 0, Pages(CollectorRegistry(), StatusBoard(time.monotonic)))

    def work(self) -> None:
        if self.problem is not None:
            raise self.problem

    def code(self) -> int:
        log = cast("FilteringBoundLogger", structlog.wrap_logger(None, processors=[self.said]))
        return run_to_the_end(self.work, self.server, self.stop, log, needed_acl)

    @property
    def lines(self) -> list[str]:
        return [
            " ".join(f"{one[key]}" for key in ("event", "error", "needs") if key in one) for one in self.said.entries
        ]


@pytest.mark.parametrize(
    ("problem", "stopped", "code", "lines"),
    [
        (None, False, 0, ["stopped"]),
        (StoppedWaiting(), True, 0, ["stopped"]),
        (Retriable("slow"), True, 0, ["stopped_while_waiting slow", "stopped"]),
        (Fatal("broken"), False, 1, ["fatal broken"]),
        (Fatal("broken"), True, 1, ["fatal broken"]),
        (Fenced("replaced", 5), False, 1, ["fatal replaced"]),
        (Fatal("forbidden", FORBIDDEN), False, 1, ["fatal forbidden ACL READ on group g"]),
    ],
)
def test_the_end_is_an_exit_code_and_one_line(
    problem: Exception | None,
    stopped: bool,  # noqa: FBT001 - a column of the table
    code: int,
    lines: list[str],
) -> None:
    run = Run(problem, stopped=stopped)
    assert (code, lines) == (run.code(), run.lines)


@pytest.mark.parametrize(
    ("problem", "raised"),
    [
        (Misconfigured("wrong setting"), SettingsError),
        (Retriable("slow"), Retriable),
        (ValueError("a bug"), ValueError),
    ],
)
def test_what_the_settings_or_a_bug_have_caused_is_raised(problem: Exception, raised: type[Exception]) -> None:
    run = Run(problem)
    with pytest.raises(raised, match=str(problem)):
        run.code()
    assert [] == run.lines


@pytest.mark.parametrize("problem", [None, Fatal("broken"), KafkaProblem("a bug")])
def test_the_server_is_closed_whatever_happens(problem: Exception | None) -> None:
    run = Run(problem)
    with contextlib.suppress(KafkaProblem):
        run.code()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", run.server.port), 1)


def test_without_a_thread_for_it_the_group_is_left_to_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", refusing)
    said = structlog.testing.LogCapture()
    leave_group(lambda: None, cast("FilteringBoundLogger", structlog.wrap_logger(None, processors=[said])))
    assert [{"event": "close_given_up", "after_s": 0.0, "log_level": "warning"}] == said.entries
