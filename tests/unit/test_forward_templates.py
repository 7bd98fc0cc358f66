"""What `forward` sends: the body that each template makes of an alert."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.forward.templates import TEMPLATES, Context, Forwarded
from tests.unit.forwarded import NOW_MS, alert


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


def test_a_long_id_makes_no_longer_line_or_summary_than_the_targets_take() -> None:
    long = alert(transaction_id="<" * 10_000)
    assert body("slack", long)["text"].count("&lt;") < 3_000
    assert len(body("pagerduty", long, **{"X-Routing-Key": "r"})["payload"]["summary"]) == 1_024


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
def test_alertmanager_gets_the_end_of_an_alert(fields: dict[str, str], ends: str) -> None:
    (sent,) = body("alertmanager", alert(**fields))
    assert (sent["startsAt"], sent["endsAt"]) == ("2027-01-15T08:00:00.000Z", ends)


def test_both_alerts_of_an_episode_have_the_same_labels() -> None:
    (opened,) = body("alertmanager", alert(status="open", episode_id="e"))
    (resolved,) = body("alertmanager", alert(alert_id="a2", status="resolved", episode_id="e"))
    assert opened["labels"] == resolved["labels"]
    assert body("alertmanager", alert())[0]["labels"] != body("alertmanager", alert(alert_id="a2"))[0]["labels"]
