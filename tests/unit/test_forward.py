"""What `forward` makes of an answer, what it sends, and what a target can do to it."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from service.forward.http_client import HttpTarget
from service.forward.lane import Lane, Step, Waiting
from service.forward.templates import TEMPLATES, Body, Context, Forwarded
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
from service.settings import SettingsError, load
from service.settings.forward import ForwardSettings
from service.wire.alerts import AlertPayload
from tests.bad_target import (
    Behaviour,
    a_byte_a_while,
    a_gigabyte,
    bad_target,
    closes_at_once,
    closes_mid_answer,
    endless_headers,
    rubbish,
    silence,
    status,
)
from tests.unit.settings_files import NO_FILE

NOW_MS = 1_800_000_000_000
LIMITS = Limits(max_age_ms=60_000, give_up_after_ms=30_000)
OK, BROKEN = Answer(200, "200 OK"), Answer(500, "500 Oops")


def alert(**other: Any) -> Forwarded:  # noqa: ANN401
    fields = {
        "alert_id": "a1", "detector": "threshold", "transaction_id": "tx<1>", "timestamp": 1, "watermark": 0,
        "count": 1, "late_count": 0, "max_timestamp": 1, "window": {"start": 0, "end": 10_000, "clock": "event"},
        "source": {"topic": "t", "partition": 3, "first_offset": 0, "last_offset": 0}, "detected_at": NOW_MS, **other,
    }  # fmt: skip
    value = json.dumps(fields)[:-1].encode() + b',"amount":9000.10000000000000000001,"limit":8000.0}'
    return Forwarded(AlertPayload.from_json(value), value)


def waiting(offset: int, forwarded: Forwarded | None = None, value: bytes | None = b"x") -> Waiting:
    return Waiting(offset, b"k", value, [], NOW_MS, forwarded)


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
    breaker = Breaker()
    breaker.sent()
    breaker.answered(Answer(401, "401 No"), NOW_MS, 0.5)
    assert (breaker.why, breaker.allows(NOW_MS)) == ("401 No", False)
    assert breaker.allows(NOW_MS + 30_000)
    breaker.sent()
    assert not breaker.allows(NOW_MS + 60_000)
    breaker.answered(OK, NOW_MS + 60_000, 0.5)
    assert (breaker.why, breaker.allows(NOW_MS + 60_000)) == (None, True)


def test_the_breaker_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker()
    for _ in range(FAILURES_TO_OPEN - 1):
        breaker.answered(BROKEN, NOW_MS, 0.5)
    breaker.answered(Answer(400), NOW_MS, 0.5)  # a refusal shows that the target works
    for _ in range(FAILURES_TO_OPEN - 1):
        assert breaker.why is None
        breaker.answered(BROKEN, NOW_MS, 0.5)
    breaker.answered(BROKEN, NOW_MS, 0.5)
    assert breaker.why == "500 Oops"


def test_retry_after_holds_back_the_whole_target() -> None:
    breaker = Breaker()
    breaker.answered(Answer(429, "429", "7"), NOW_MS, 0.0)
    assert not breaker.allows(NOW_MS + 6_999)
    assert breaker.allows(NOW_MS + 7_000)


# ---- lanes ----------------------------------------------------------------------------------------------------


def test_one_alert_at_a_time_and_the_offset_moves_only_behind_an_answer() -> None:
    lane, breaker = lane_of(waiting(4, alert()), waiting(7, alert())), Breaker()
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
    lane, breaker = lane_of(waiting(4, alert()), waiting(5, alert())), Breaker()
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
    assert lane.step(NOW_MS, Breaker(), LIMITS) is (Step.SEND if reason is None else Step.WRITE)
    assert lane.reason is reason


def test_an_alert_is_judged_even_while_the_breaker_is_open() -> None:
    lane, breaker = lane_of(waiting(4, alert(detected_at=NOW_MS - 60_001))), Breaker()
    breaker.answered(Answer(404, "404"), NOW_MS, 0.0)
    assert lane.step(NOW_MS, breaker, LIMITS) is Step.WRITE


def test_what_is_no_alert_is_set_aside_and_what_is_empty_is_passed_over() -> None:
    lane = lane_of(waiting(3, None, None), waiting(4))
    assert lane.step(NOW_MS, Breaker(), LIMITS) is Step.WRITE
    assert (lane.reason, lane.next_offset) == (Undelivered.REFUSED, 4)


@given(st.lists(st.sampled_from([OK, BROKEN, Answer(400), Answer(404), Answer(None)]), max_size=40))
def test_whatever_is_answered_alerts_end_in_order_and_none_is_passed_over(answers: list[Answer]) -> None:
    lane, breaker, now_ms = lane_of(*(waiting(n, alert(detected_at=NOW_MS)) for n in range(5))), Breaker(), NOW_MS
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


# ---- templates ------------------------------------------------------------------------------------------------


def body(template: str, one: Forwarded, **headers: str) -> Any:  # noqa: ANN401
    return json.loads(TEMPLATES[template](one, Context(NOW_MS, 86_400_000, headers)).data)


def test_cloudevents_keep_the_alert_byte_for_byte() -> None:
    one = alert()
    sent = TEMPLATES["cloudevents"](one, Context(NOW_MS, 1, {}))
    assert sent.content_type == "application/cloudevents+json"
    assert one.value in sent.data
    event = json.loads(sent.data)
    assert (event["specversion"], event["id"], event["source"]) == ("1.0", "a1", "/t/3")
    assert (event["type"], event["time"]) == ("txwatch.alert.v1", "2027-01-15T08:00:00.000Z")


def test_slack_gets_a_line_whose_id_can_be_no_markup() -> None:
    assert body("slack", alert()) == {
        "text": "Anomaly detected: ('tx&lt;1&gt;', 1, 9000.10000000000000000001), current watermark: 0"
    }


@pytest.mark.parametrize(
    ("fields", "action", "key"),
    [
        ({}, "trigger", "a1"),
        ({"status": "open", "episode_id": "e"}, "trigger", "e"),
        ({"status": "resolved", "episode_id": "e"}, "resolve", "e"),
    ],
)
def test_pagerduty_joins_an_episodes_events_by_its_id(fields: dict[str, str], action: str, key: str) -> None:
    event = body("pagerduty", alert(**fields), **{"x-routing-key": "r"})
    assert (event["routing_key"], event["event_action"], event["dedup_key"]) == ("r", action, key)
    assert event["payload"]["custom_details"]["amount"] == "9000.10000000000000000001"
    assert event["payload"]["severity"] == "error"


@pytest.mark.parametrize(
    ("fields", "ends"),
    [
        ({}, "2027-01-15T08:05:00.000Z"),
        ({"status": "open", "episode_id": "e"}, "2027-01-16T08:00:00.000Z"),
        ({"status": "resolved", "episode_id": "e"}, "2027-01-15T08:00:00.000Z"),
    ],
)
def test_alertmanager_is_told_when_an_alert_ends(fields: dict[str, str], ends: str) -> None:
    (sent,) = body("alertmanager", alert(**fields))
    assert (sent["startsAt"], sent["endsAt"]) == ("2027-01-15T08:00:00.000Z", ends)


def test_both_alerts_of_an_episode_have_the_same_labels() -> None:
    (opened,) = body("alertmanager", alert(status="open", episode_id="e"))
    (resolved,) = body("alertmanager", alert(alert_id="a2", status="resolved", episode_id="e"))
    assert opened["labels"] == resolved["labels"]
    assert body("alertmanager", alert())[0]["labels"] != body("alertmanager", alert(alert_id="a2"))[0]["labels"]


# ---- the HTTP client ------------------------------------------------------------------------------------------

BODY = Body("application/json", b"{}")


def test_a_request_is_a_post_with_its_headers() -> None:
    with bad_target() as target:
        answer = HttpTarget(target.url, {"Authorization": "Bearer x"}, 5).send(BODY, "id-1")
        (request,) = target.requests
    assert (answer.status, answer.text) == (200, "200 Any")
    assert (request.line, request.body) == ("POST /hook?x=1 HTTP/1.1", b"{}")
    assert (request.headers["idempotency-key"], request.headers["authorization"]) == ("id-1", "Bearer x")


@pytest.mark.parametrize(
    ("behave", "code", "within_s"),
    [
        (silence, None, 1.5), (a_byte_a_while, None, 1.5), (endless_headers, None, 1.5), (closes_at_once, None, 0.5),
        (closes_mid_answer, None, 0.5), (rubbish, None, 0.5), (a_gigabyte, 200, 1.5),
        (status(302, "Location: http://127.0.0.1:1/"), 302, 0.5), (status(503, "Retry-After: 9"), 503, 0.5),
    ],
)  # fmt: skip
def test_whatever_a_target_does_the_request_ends_in_time(behave: Behaviour, code: int | None, within_s: float) -> None:
    with bad_target() as target:
        target.behave = lambda _: behave
        began_s = time.monotonic()
        answer = HttpTarget(target.url, {}, 0.5).send(BODY, "id")
        took_s = time.monotonic() - began_s
        assert len(target.requests) == 1
    assert answer.status == code
    assert answer.text
    assert took_s < within_s
    assert answer.retry_after == ("9" if code == 503 else None)


def test_of_a_gigabyte_little_is_read_however_much_time_there_is() -> None:
    sent: list[int] = []

    def sends(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        for _ in range(1_000):
            sock.sendall(b"x" * 1_000_000)
            sent.append(1_000_000)

    with bad_target() as target:
        target.behave = lambda _: sends
        assert HttpTarget(target.url, {}, 60).send(BODY, "id").status == 200
    assert sum(sent) < 100_000_000


def test_nobody_at_the_address_is_no_answer() -> None:
    with bad_target() as target:
        url = target.url
    assert HttpTarget(url, {}, 1).send(BODY, "id") == Answer(None, "Connection refused")


def test_a_certificate_is_verified(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with bad_target(tls) as target:
        url = target.url.replace("http:", "https:")
        refused = HttpTarget(url, {}, 2).send(BODY, "id")
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        taken = HttpTarget(url, {}, 2).send(BODY, "id")
        assert len(target.requests) == 1
    assert refused.status is None
    assert refused.text.startswith("TLS: ")
    assert taken.status == 200


# ---- settings -------------------------------------------------------------------------------------------------


def forwards(*tables: Any) -> tuple[ForwardSettings, ...]:  # noqa: ANN401
    return load(NO_FILE, {"FORWARD": json.dumps(tables)}).settings.forward


def test_a_target_has_defaults_and_its_secrets_may_be_in_files(tmp_path: Any) -> None:  # noqa: ANN401
    (tmp_path / "url").write_text("https://example.org/hook\n")
    (tmp_path / "token").write_text("Bearer s3cret\n")
    headers = {"Authorization": {"file": str(tmp_path / "token")}, "X-A": "b"}
    (one,) = forwards({"name": "a", "url_file": str(tmp_path / "url"), "headers": headers})
    assert (one.template, one.timeout_ms, one.max_age_ms, one.give_up_after_ms) == (
        "cloudevents", 10_000, 3_600_000, 3_600_000,
    )  # fmt: skip
    assert one.secrets() == ("https://example.org/hook", {"Authorization": "Bearer s3cret", "X-A": "b"})


def test_config_masks_the_url_and_header_values() -> None:
    table = {"name": "a", "url": "https://example.org/hook/s3cret", "headers": {"Authorization": "s3cret"}}
    shown = load(NO_FILE, {"FORWARD": json.dumps([table])}).as_toml()
    assert "s3cret" not in shown
    assert 'url = "********"' in shown


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"url": "http://x"}, "FORWARD: forward 1: name: is required"),
        ({"name": "a"}, "FORWARD: forward a: url: give either url or url_file"),
        ({"name": "a", "url": "http://x", "url_file": "f"}, "FORWARD: forward a: url: give either url or url_file"),
        (
            {"name": "a", "url": "u", "templat": "x"},
            "FORWARD: forward a: templat: there is no such field; did you mean",
        ),
        ({"name": "a", "url": "u", "template": "x"}, "FORWARD: forward a: template: input should be 'cloudevents'"),
        ({"name": "a", "url": "u", "timeout_ms": 0}, "FORWARD: forward a: timeout_ms: input should be greater"),
        ({"name": "a", "url": "u", "headers": {"a b": "c"}}, "FORWARD: forward a: headers: 'a b' is no header's name"),
        (
            {"name": "a", "url": "u", "headers": {"Host": "c"}},
            "FORWARD: forward a: headers: Host is set by the program",
        ),
        ({"name": "A b", "url": "u"}, "FORWARD: forward A b: name: 'A b' is no "),
        (5, "FORWARD: forward 1: must be a table, not int"),
    ],
)
def test_a_wrong_target_is_named_in_one_line(table: Any, says: str) -> None:  # noqa: ANN401
    with pytest.raises(SettingsError) as found:
        forwards(table)
    assert str(found.value).startswith(says)


def test_a_name_is_taken_once() -> None:
    with pytest.raises(SettingsError, match="forward a: name: another target has it"):
        forwards({"name": "a", "url": "http://x"}, {"name": "a", "url": "http://y"})


def test_a_header_file_that_is_missing_is_named() -> None:
    (one,) = forwards({"name": "a", "url": "http://x", "headers": {"X-A": {"file": "/nonexistent"}}})
    with pytest.raises(SettingsError, match=r"forward a: headers: X-A: /nonexistent: No such file"):
        one.secrets()


def checked(url: str) -> Callable[[], object]:
    return lambda: HttpTarget(url, {}, 1)


@pytest.mark.parametrize(
    "url", ["", "x", "ftp://x", "http://", "http://x:0", "http://x:99999", "http://x/\n", "http://x y"]
)
def test_a_url_that_cannot_be_used_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match=r"^is not a URL http://… or https://…$"):
        checked(url)()
