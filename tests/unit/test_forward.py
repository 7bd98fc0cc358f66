"""What `forward` makes of an answer, and when it sends an alert, sends it again, or gives it up."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.forward.lane import Lane, Step, Waiting
from service.forward.templates import Forwarded
from service.forward.verdicts import (
    FAILURES_TO_OPEN,
    LONGEST_WAIT_S,
    Answer,
    Breaker,
    Limits,
    Undelivered,
    asked_wait_s,
    wait_s,
)
from tests.unit.forwarded import NOW_MS, alert

LIMITS = Limits(max_age_ms=60_000, give_up_after_ms=30_000)
OK, BROKEN = Answer(200, "200 OK"), Answer(500, "500 Oops")


def waiting(offset: int, forwarded: Forwarded | None = None, value: bytes | None = b"x") -> Waiting:
    return Waiting(offset, b"k", value, [], NOW_MS, forwarded)


def a_breaker() -> Breaker:
    return Breaker(longest_asked_ms=3_600_000)


def answered(breaker: Breaker, answer: Answer, now_ms: int = NOW_MS, chance: float = 0.5) -> None:
    """A request that goes and is answered at once."""
    breaker.sent()
    breaker.answered(answer, now_ms, chance)


def lane_of(*records: Waiting) -> Lane:
    lane = Lane(0)
    for one in records:
        lane.add(one)
    return lane


# ---- verdicts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        *((code, "good") for code in (200, 201, 202, 204, 299)),
        *((code, "refused") for code in (400, 402, 405, 410, 413, 422, 451, 499)),
        *((code, "target") for code in (401, 403, 404)),
        *((code, "again") for code in (None, 101, 301, 302, 307, 408, 425, 429, 500, 502, 503, 599, 600)),
    ],
)
def test_each_status_means_one_thing(code: int | None, verdict: str) -> None:
    answer = Answer(code)
    found = {"good": answer.good, "refused": answer.refused, "target": answer.of_the_target}
    assert [name for name, is_so in found.items() if is_so] == ([] if verdict == "again" else [verdict])


@given(st.integers(1, 10**6), st.floats(0, 1, exclude_max=True))
def test_waits_grow_within_a_bound_and_are_at_random(failures: int, chance: float) -> None:
    assert 0.25 <= wait_s(failures, chance) <= LONGEST_WAIT_S
    assert wait_s(failures, 0.0) <= wait_s(failures, chance)
    assert wait_s(failures, 0.0) <= wait_s(failures + 1, 0.0)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120), (" 5 ", 5), (None, 0), ("", 0), ("-5", 0), ("soon", 0), ("1e9", 0), ("9" * 400, 999_999_999_999),
        (formatdate(NOW_MS / 1000 + 90, usegmt=True), 90), (formatdate(NOW_MS / 1000 - 90, usegmt=True), 0),
        ("Fri, 31 Feb 2027 00:00:00 GMT", 0),
    ],
)  # fmt: skip
def test_retry_after_is_read_in_seconds_and_as_a_date(header: str | None, seconds: float) -> None:
    assert asked_wait_s(header, NOW_MS) == seconds


@given(st.text())
def test_no_retry_after_breaks_it(header: str) -> None:
    assert asked_wait_s(header, NOW_MS) >= 0


def test_the_breaker_opens_at_once_where_the_target_is_wrong_and_lets_one_request_try_it() -> None:
    breaker = a_breaker()
    answered(breaker, Answer(401, "401 No"))
    assert (breaker.why, breaker.allows(NOW_MS)) == ("401 No", False)
    assert breaker.allows(NOW_MS + 30_000)
    breaker.sent()
    assert not breaker.allows(NOW_MS + 60_000)
    breaker.answered(OK, NOW_MS + 60_000, 0.5)
    assert (breaker.why, breaker.allows(NOW_MS + 60_000)) == (None, True)


def test_the_breaker_opens_after_failures_in_a_row_only() -> None:
    breaker = a_breaker()
    for _ in range(FAILURES_TO_OPEN - 1):
        answered(breaker, BROKEN)
    answered(breaker, Answer(400))  # a refusal shows that the target works
    for _ in range(FAILURES_TO_OPEN - 1):
        assert breaker.why is None
        answered(breaker, BROKEN)
    answered(breaker, BROKEN)
    assert breaker.why == "500 Oops"


def test_while_the_breaker_is_open_no_request_goes_beside_those_from_before() -> None:
    breaker = a_breaker()
    for _ in range(3):
        breaker.sent()
    breaker.answered(Answer(404, "404 No"), NOW_MS, 0.5)
    breaker.answered(Answer(404, "404 No"), NOW_MS, 0.5)
    assert not breaker.allows(NOW_MS + 60_000)
    breaker.answered(Answer(404, "404 No"), NOW_MS, 0.5)
    assert breaker.allows(NOW_MS + 60_000)


@pytest.mark.parametrize("retry_after", ["7", formatdate(NOW_MS / 1000 + 7, usegmt=True)])
def test_retry_after_holds_back_the_whole_target(retry_after: str) -> None:
    breaker = a_breaker()
    answered(breaker, Answer(429, "429", retry_after), chance=0.0)
    assert not breaker.allows(NOW_MS + 6_999)
    assert breaker.allows(NOW_MS + 7_000)
    assert breaker.why is None


def test_a_long_retry_after_opens_the_breaker_and_is_obeyed_up_to_the_bound() -> None:
    breaker = Breaker(longest_asked_ms=3_600_000)
    answered(breaker, Answer(503, "503 Later", "999999999"))
    assert breaker.why == "503 Later"
    assert not breaker.allows(NOW_MS + 3_599_999)
    assert breaker.allows(NOW_MS + 3_600_000)


# ---- lanes ----------------------------------------------------------------------------------------------------


def test_one_alert_at_a_time_and_the_offset_moves_only_behind_an_answer() -> None:
    lane, breaker = lane_of(waiting(4, alert()), waiting(7, alert())), a_breaker()
    assert lane.step(NOW_MS, breaker, LIMITS) is Step.SEND
    lane.sent(NOW_MS)
    assert (lane.step(NOW_MS, breaker, LIMITS), lane.next_offset) == (Step.NOTHING, None)
    assert not lane.answered(BROKEN, NOW_MS, 0.0)
    assert (lane.step(NOW_MS, breaker, LIMITS), lane.next_offset) == (Step.NOTHING, None)
    assert lane.step(NOW_MS + 250, breaker, LIMITS) is Step.SEND
    lane.sent(NOW_MS + 250)
    assert lane.answered(OK, NOW_MS + 300, 0.0)
    assert (lane.next_offset, lane.first.offset) == (5, 7)


def test_a_refused_alert_is_written_before_its_offset_moves() -> None:
    lane, breaker = lane_of(waiting(4, alert()), waiting(5, alert())), a_breaker()
    lane.sent(NOW_MS)
    lane.answered(Answer(400, "400 Bad"), NOW_MS, 0.0)
    assert lane.step(NOW_MS, breaker, LIMITS) is Step.WRITE
    assert (lane.reason, lane.answer) == (Undelivered.REFUSED, "400 Bad")
    lane.writing()
    assert (lane.step(NOW_MS, breaker, LIMITS), lane.next_offset, lane.busy) == (Step.NOTHING, None, True)
    lane.written()
    assert (lane.next_offset, lane.step(NOW_MS, breaker, LIMITS)) == (5, Step.SEND)


@pytest.mark.parametrize(
    ("age_ms", "tried_ms", "reason"),
    [(60_000, None, None), (60_001, None, Undelivered.TOO_OLD), (0, 30_000, None), (0, 30_001, Undelivered.GAVE_UP)],
)
def test_an_alert_is_tried_for_a_bounded_time(age_ms: int, tried_ms: int | None, reason: Undelivered | None) -> None:
    lane = lane_of(waiting(4, alert(detected_at=NOW_MS - age_ms)))
    if tried_ms is not None:
        lane.sent(NOW_MS - tried_ms)
        lane.answered(BROKEN, NOW_MS - tried_ms, 0.0)
    assert lane.step(NOW_MS, a_breaker(), LIMITS) is (Step.SEND if reason is None else Step.WRITE)
    assert lane.reason is reason


def test_an_alert_is_judged_even_while_the_breaker_is_open() -> None:
    lane, breaker = lane_of(waiting(4, alert(detected_at=NOW_MS - 60_001))), a_breaker()
    answered(breaker, Answer(404, "404"))
    assert lane.step(NOW_MS, breaker, LIMITS) is Step.WRITE


def test_what_is_no_alert_is_set_aside_and_what_is_empty_is_passed_over() -> None:
    lane = lane_of(waiting(3, None, None), waiting(4))
    assert lane.step(NOW_MS, a_breaker(), LIMITS) is Step.WRITE
    assert (lane.reason, lane.next_offset) == (Undelivered.REFUSED, 4)


@given(st.lists(st.sampled_from([OK, BROKEN, Answer(400), Answer(404), Answer(None)]), max_size=40))
def test_whatever_is_answered_alerts_end_in_order_and_none_is_passed_over(answers: list[Answer]) -> None:
    lane, breaker, now_ms = lane_of(*(waiting(n, alert(detected_at=NOW_MS)) for n in range(5))), a_breaker(), NOW_MS
    ended: list[int] = []
    for answer in answers:
        now_ms += 31_000
        step = lane.step(now_ms, breaker, Limits(10**9, 10**9)) if lane.queue else Step.NOTHING
        if step is Step.SEND:
            offset = lane.first.offset
            lane.sent(now_ms)
            breaker.sent()
            breaker.answered(answer, now_ms, 0.5)
            if lane.answered(answer, now_ms, 0.5):
                ended.append(offset)
        elif step is Step.WRITE:
            ended.append(lane.first.offset)
            lane.writing()
            lane.written()
    assert ended == list(range(len(ended)))
    assert lane.next_offset == (len(ended) or None)
