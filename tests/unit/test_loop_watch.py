"""A loop that does not turn is reported once, with its place, and ended after twice the time."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import threading
from typing import cast

import pytest
import structlog
from structlog.typing import EventDict, FilteringBoundLogger

from service.app.loop_watch import END_AFTER_S, LoopWatch
from service.observe.status import STALLED_AFTER_S, StatusBoard
from tests.loop import Loop

pytestmark = pytest.mark.slow

STALLED = round(STALLED_AFTER_S)
END = round(END_AFTER_S)


class Watched:
    """A board whose loop turns when the test says so, and the watch over it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.board = StatusBoard(lambda: self.now_s)
        self.said = structlog.testing.LogCapture()
        self.ended: list[int] = []
        log = cast("FilteringBoundLogger", structlog.wrap_logger(None, processors=[self.said]))
        self.watch = LoopWatch(self.board, log, self.ended.append)

    def turn(self) -> None:
        self.now_s += 0.1
        self.board.beat()

    def look(self, times: int) -> None:
        for _ in range(times):
            self.watch.look()

    @property
    def events(self) -> list[str]:
        return [entry["event"] for entry in self.said.entries]

    def last(self) -> EventDict:
        return self.said.entries[-1]


def test_nothing_is_said_of_a_loop_that_turns() -> None:
    watched = Watched()
    for _ in range(3 * END):
        watched.turn()
        watched.look(1)
    assert ([], []) == (watched.events, watched.ended)


def test_a_loop_that_stands_is_reported_once() -> None:
    watched = Watched()
    watched.look(STALLED - 1)
    assert [] == watched.events
    watched.look(END - STALLED)
    assert ["loop_stands_still"] == watched.events
    assert STALLED == watched.last()["stood_s"]
    assert [] == watched.ended


def test_one_that_goes_on_in_time_is_not_ended() -> None:
    watched = Watched()
    watched.look(END - 1)
    watched.turn()
    watched.look(END)
    assert ["loop_stands_still", "loop_goes_on", "loop_stands_still"] == watched.events
    assert [] == watched.ended


def test_one_that_does_not_go_on_ends_the_process_with_1() -> None:
    watched = Watched()
    watched.look(END)
    assert (["loop_stands_still", "fatal"], [1]) == (watched.events, watched.ended)


def test_a_pause_of_the_whole_process_is_no_standing_still() -> None:
    watched = Watched()
    watched.turn()
    watched.look(1)
    watched.now_s += 10 * END_AFTER_S
    watched.look(1)
    assert ([], []) == (watched.events, watched.ended)


def test_the_place_is_the_innermost_function_of_the_service() -> None:
    loop = Loop()
    going, waiting = threading.Event(), threading.Event()

    def clock() -> int:
        waiting.set()
        going.wait()
        return 0

    loop.worker._clock = clock  # type: ignore[assignment]
    thread = threading.Thread(target=loop.worker.turn)
    thread.start()
    waiting.wait()
    assert thread.ident is not None
    board = StatusBoard(lambda: 0.0)
    watch = LoopWatch(board, structlog.get_logger("test"), lambda _: None, thread=thread.ident)
    where = watch.where()
    going.set()
    thread.join()
    assert where.startswith("Worker.turn (worker.py:")
    assert "unknown" == watch.where()


@pytest.mark.parametrize("looks", [END + 1, END + 5])
def test_it_keeps_at_it_where_the_end_does_not_come(looks: int) -> None:
    watched = Watched()
    watched.look(looks)
    assert 1 + looks - END == len(watched.ended)
