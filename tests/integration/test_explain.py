"""`txwatch explain` on alerts that a real service wrote."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from brokerkit.broker import Broker
from brokerkit.client import create_topics, produce
from brokerkit.service_process import Names, payloads, run_command, running, transaction, wait_until
from tests.contracts import check, parsed

DETECTORS = [
    {"name": "high", "type": "threshold", "limit": 500},
    {"name": "small", "type": "threshold", "of": "min", "limit": 10, "direction": "below", "mode": "shadow"},
    {"name": "odd", "type": "deviation", "min_windows": 3},
    {"name": "silent", "type": "inactivity", "after_ms": 60_000},
]


def explain(broker: Broker, names: Names, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return run_command(broker, names, "explain", *arguments, **more)


def test_alerts_come_out_the_same_until_their_records_have_expired(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions)
    settings = {
        "WINDOW_CLOCK": "event",
        "WINDOW_SIZE_MS": "10000",
        "LATE_POLICY": "divert",
        "DETECTORS": json.dumps(DETECTORS),
    }
    base = (time.time_ns() // 1_000_000 - 3_600_000) // 10_000 * 10_000
    records = [transaction("gone", base, 20)]
    for window in range(6):
        at = base + window * 10_000
        records += [transaction("tx1", at + 5_000, 20 + window % 2), transaction("tx2", at + 5_500, 50)]
    last = base + 60_000
    records += [transaction("tx1", last + 4_000, "5.25"), transaction("tx2", last + 5_500, 1)]
    records += [transaction("tx1", last + 4_100, "600.5"), transaction("tx2", last + 60_000, 50)]
    with running(broker, names, settings) as service:
        service.wait_ready(1)
        produce(broker, names.transactions, records)
        wait_until(lambda: len(payloads(broker, names.alerts)) >= 3 and payloads(broker, names.shadow), 20)
        assert service.stop() == 0
    found = [*payloads(broker, names.alerts), *payloads(broker, names.shadow)]
    for one in found:
        check("alert", one)
    by_name: dict[str, list[dict[str, Any]]] = {}
    for one in found:
        by_name.setdefault(one["detector"], []).append(one)
    assert by_name.keys() == {"high", "small", "odd", "silent"}
    for one in found:
        done = explain(broker, names, one["alert_id"], "--format", "json", **settings)
        assert (done.returncode, done.stderr) == (0, ""), one
        assert json.loads(done.stdout)["reproduced"] is True
        check("explanation", parsed(done.stdout))
    high = by_name["high"][0]
    shown = json.loads(explain(broker, names, high["alert_id"], "--format", "json", **settings).stdout)
    assert shown["records"] == [
        {"offset": 13, "timestamp": last + 4_000, "amount": "5.25", "late": False},
        {"offset": 15, "timestamp": last + 4_100, "amount": "600.5", "late": True},
    ]
    assert (shown["sum"], shown["count"]) == ("605.75", 2)
    text = explain(broker, names, high["alert_id"], **settings)
    assert (text.returncode, text.stdout.splitlines()[-1]) == (0, "Reproduced: everything comes out the same.")
    assert "sum 605.75 is above 500.0" in text.stdout
    judged = explain(broker, names, by_name["odd"][0]["alert_id"], **settings)
    assert "The detector judges the same, from the partition's first record on." in judged.stdout
    other = explain(broker, names, by_name["odd"][0]["alert_id"], **{**settings, "WINDOW_SIZE_MS": "5000"})
    assert "WINDOW_SIZE_MS is another one now" in other.stdout
    missing = explain(broker, names, "0" * 32, **settings)
    assert (missing.returncode, missing.stdout, missing.stderr.count("\n")) == (1, "", 1)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    admin.delete_records([TopicPartition(names.transactions, 0, 14)])[TopicPartition(names.transactions, 0, 14)].result(
        30
    )
    gone = explain(broker, names, high["alert_id"], **settings)
    assert gone.returncode == 1
    assert "have expired" in gone.stdout
    rest = json.loads(explain(broker, names, high["alert_id"], "--format", "json", **settings).stdout)
    check("explanation", rest)
    assert (rest["reproduced"], [one["late"] for one in rest["records"]]) == (False, [True])
