"""The log of a first start on a new broker: no warning, and nothing that the reference does not explain."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from brokerkit.broker import Broker
from brokerkit.client import produce
from brokerkit.service_process import ROOT, Names, running, transaction, wait_until
from tools import log_events

NOW_MS = 1_715_392_800_000
LIBRARIES = {"librdkafka": ({"info", "warning", "error"}, {"line"})}


@pytest.fixture(scope="module")
def log() -> Iterator[list[dict[str, Any]]]:
    """All lines of a service that is started on a new broker, reads good, late and bad records, and is stopped."""
    with Broker() as broker:
        names = Names(lambda name: name)
        with running(broker, names) as service:
            service.wait_ready(4)
            times = (NOW_MS, NOW_MS + 60_000, NOW_MS)
            produce(broker, names.transactions, [transaction("tx1", time_ms, 9_000) for time_ms in times])
            produce(broker, names.transactions, [("tx1", "rubbish")])
            wait_until(lambda: any(line["set_aside"] for line in service.events("checkpoint")))
            assert service.stop() == 0
            yield service.log


def test_nothing_in_it_is_a_warning(log: list[dict[str, Any]]) -> None:
    assert [line for line in log if line["level"] != "info"] == []


def test_it_has_the_events_of_a_whole_life(log: list[dict[str, Any]]) -> None:
    usual = ["http_listening", "started", "partitions_assigned", "partition_started", "checkpoint", "stopped"]
    seen = [line["event"] for line in log]
    assert [event for event in dict.fromkeys(seen) if event in usual] == usual


def test_the_reference_has_every_event_with_its_level_and_fields(log: list[dict[str, Any]]) -> None:
    known = {name: (event.levels, set(event.fields)) for name, event in log_events.find(ROOT / "service").items()}
    page = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    for line in log:
        levels, fields = (known | LIBRARIES)[line["event"]]
        assert line["level"] in levels, line
        assert set(line) - {"event", "level", "timestamp"} <= fields, line
        row = re.search(rf"^\| `{line['event']}` \|.*$", page, re.MULTILINE)
        assert line["event"] in LIBRARIES or row is not None, json.dumps(line)
