"""A partition that is stuck although it has records makes the service unhealthy; a silent one does not."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import itertools
from http import HTTPStatus

from prometheus_client import CollectorRegistry

from service.loop.errors import Retriable
from service.loop.events import Trouble
from service.observe.http import Pages
from tests.loop import Loop, pay


def health(loop: Loop) -> tuple[HTTPStatus, str]:
    """What /healthz answers."""
    response = Pages(CollectorRegistry(), loop.board).healthz("")
    return response.status, response.body.decode().strip()


def turn_for(loop: Loop, seconds: int, *, since: int = 0) -> None:
    """Turn twice a second."""
    loop.turn(*range(since * 1000 + 500, (since + seconds) * 1000, 500))


def test_a_partition_that_stands_still_while_others_advance_is_found() -> None:
    loop = Loop(partitions=(0, 1))
    loop.input.slow.add(1)
    loop.put(pay(0), partition=1)
    for second in range(29):
        loop.put(pay(second * 1000))
        turn_for(loop, 1, since=second)
    assert (HTTPStatus.OK, "ok") == health(loop)
    turn_for(loop, 4, since=29)
    assert (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "partition 1 is stuck at offset 0 although it has records",
    ) == health(loop)
    assert 1 == sum(entry["event"] == "no_progress" for entry in loop.logged)


def test_one_that_goes_on_is_well_again() -> None:
    loop = Loop()
    loop.input.slow.add(0)
    loop.put(pay(0))
    turn_for(loop, 40)
    assert HTTPStatus.SERVICE_UNAVAILABLE == health(loop)[0]
    loop.input.slow.clear()
    turn_for(loop, 3, since=40)
    assert (HTTPStatus.OK, "ok") == health(loop)


def test_a_silent_partition_is_well_however_long() -> None:
    loop = Loop(partitions=(0, 1))
    loop.put(pay(0))
    turn_for(loop, 300)
    assert (HTTPStatus.OK, "ok") == health(loop)


def test_a_partition_that_is_slow_but_moves_is_well() -> None:
    loop = Loop()
    loop.input.slow.add(0)
    loop.put(*[pay(n) for n in range(2_000)])
    for second in itertools.islice(itertools.count(0, 9), 8):
        turn_for(loop, 9, since=second)
        loop.input.slow.clear()
        loop.put(pay(second))
        loop.turn((second + 9) * 1000)
        loop.input.slow.add(0)
        loop.put(pay(second))
    assert (HTTPStatus.OK, "ok") == health(loop)


def test_a_broker_that_is_away_is_no_fault_of_the_process() -> None:
    loop = Loop()
    loop.input.slow.add(0)
    loop.put(pay(0))
    loop.input.news.append(Trouble("all brokers are down"))
    loop.input.problems["reach"] += [Retriable("no answer")] * 100
    turn_for(loop, 90)
    assert (HTTPStatus.OK, "ok") == health(loop)
    assert loop.board.status.not_ready is not None


def test_a_question_that_is_not_answered_is_no_verdict() -> None:
    loop = Loop()
    loop.input.slow.add(0)
    loop.put(pay(0))
    loop.input.problems["stable_ends"] += [Retriable("no answer")] * 3
    turn_for(loop, 45)
    assert (HTTPStatus.OK, "ok") == health(loop)


def test_all_silent_partitions_are_asked_about_in_one_question() -> None:
    loop = Loop(partitions=(0, 1, 2))
    turn_for(loop, 30)
    assert [[0, 1, 2]] * 2 == [sorted(asked) for asked in loop.ends.asked]


def test_the_loop_goes_on_while_no_answer_comes() -> None:
    loop = Loop(partitions=(0, 1))
    loop.ends.held = loop.reach.held = True
    for second in range(60):
        loop.put(pay(second * 1000, 9_000.0))
        turn_for(loop, 1, since=second)
    assert (5, 1) == (len(loop.payloads("alerts")), len(loop.ends.asked))
    assert (HTTPStatus.OK, "ok") == health(loop)


def behind_an_open_txn(records: int = 200) -> Loop:
    """One record that is committed, and then those of an open txn; a minute passes."""
    loop = Loop(idle_after_ms=1_000)
    loop.put(pay(0))
    turn_for(loop, 10)
    loop.kafka.open_txns[0] = 1
    loop.put(*[pay(n) for n in range(records)])
    turn_for(loop, 60, since=10)
    return loop


def test_an_open_txn_in_the_input_shows_as_what_the_partition_waits_for() -> None:
    loop = behind_an_open_txn()
    (shown,) = loop.partitions()
    assert (1, 200, False) == (shown.position, shown.lag, shown.idle)
    assert "another producer's open txn in the input" == shown.waits_for
    assert 58_000 <= (shown.blocked_ms or 0) <= 60_000
    assert (shown.blocked_ms or 0) / 1000 == loop.of_partition("input_blocked_seconds")
    assert 200 == loop.of_partition("consumer_lag_records")
    assert [[0]] == [line["partitions"] for line in loop.events("input_blocked")]
    assert (HTTPStatus.OK, "ok") == health(loop)
    assert loop.why_not_ready() is None


def test_once_the_txn_has_ended_the_partition_goes_on_and_waits_for_nothing() -> None:
    loop = behind_an_open_txn()
    loop.kafka.open_txns.clear()
    loop.kafka.put_marker(0)
    turn_for(loop, 20, since=70)
    (shown,) = loop.partitions()
    assert (202, 0, True, None, None) == (shown.position, shown.lag, shown.idle, shown.waits_for, shown.blocked_ms)
    assert loop.of_partition("input_blocked_seconds") is None
    assert 202 == loop.kafka.committed[0][0]


def test_records_that_are_on_their_way_are_no_open_txn() -> None:
    loop = Loop()
    loop.put(pay(0))
    turn_for(loop, 3)
    loop.input.slow.add(0)
    loop.put(pay(1))
    turn_for(loop, 15, since=3)
    (shown,) = loop.partitions()
    assert (1, None) == (shown.lag, shown.waits_for)
