"""`txwatch alerts` against a real topic: what it prints, and what it passes over."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from brokerkit.broker import Broker
from brokerkit.client import create_topics, produce
from brokerkit.service_process import Names

ROOT = Path(__file__).parents[2]


def alert(transaction_id: str) -> tuple[str, str]:
    """Key and value of an alert."""
    return transaction_id, json.dumps(
        {
            "alert_id": "x",
            "detector": "threshold",
            "transaction_id": transaction_id,
            "timestamp": 1_715_392_810_000,
            "amount": 9000.0,
            "watermark": 1_715_392_809_000,
            "limit": 8000.0,
            "count": 1,
            "late_count": 0,
            "max_timestamp": 1_715_392_810_000,
            "window": {"start": 1_715_392_810_000, "end": 1_715_392_820_000, "clock": "processing"},
            "source": {"topic": "transactions", "partition": 0, "first_offset": 3, "last_offset": 3},
            "detected_at": 1_715_392_820_004,
        },
        ensure_ascii=False,
    )


def alerts(broker: Broker, names: Names, *arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command to its end."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("KAFKA_", "TOPICS_"))}
    settings = {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, **names.environment(), **variables}
    return subprocess.run(
        [sys.executable, "-m", "service", "alerts", *arguments],
        cwd=ROOT,
        env=kept | settings,
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_is_no_alert_is_named_and_skipped(broker: Broker, unique: Callable[[str], str], form: str) -> None:
    names = Names(unique)
    create_topics(broker, names.alerts)
    strangers = [("x", b"rubbish"), ("x", b"{}"), ("x", b"\xff"), ("x", b"[" * 100_000), ("x", None)]
    produce(broker, names.alerts, [*strangers, alert("tx1"), ("x", b"null"), alert("tx2")])
    done = alerts(broker, names, "--format", form, "--max", "2")
    printed = done.stdout.decode().splitlines()
    assert (done.returncode, len(printed)) == (0, 2)
    assert ["tx1" in printed[0], "tx2" in printed[1]] == [True, True]
    assert done.stderr.decode().splitlines() == [f"txwatch: skipped a record of {names.alerts} that is no alert"] * 5


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_id_of_any_script_is_printed_under_any_locale(
    broker: Broker, unique: Callable[[str], str], form: str
) -> None:
    names = Names(unique)
    create_topics(broker, names.alerts)
    produce(broker, names.alerts, [alert("交易")])
    done = alerts(broker, names, "--format", form, PYTHONIOENCODING="ascii")
    assert (done.returncode, "交易" in done.stdout.decode()) == (0, True)


def changed(transaction_id: str, **fields: object) -> tuple[str, str]:
    """An alert with other fields."""
    key, value = alert(transaction_id)
    return key, json.dumps(json.loads(value) | fields)


def test_shadow_alerts_silences_and_the_ends_of_episodes_are_printed(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    topic = unique("shadow")
    create_topics(broker, topic)
    silence = {
        "amount": 0.0, "count": 0, "timestamp": None, "max_timestamp": None, "watermark": None, "limit": 60_000,
        "window": {"start": 1, "end": 60_001, "clock": "wall"},
        "source": {"topic": "transactions", "partition": 0, "first_offset": None, "last_offset": None},
    }  # fmt: skip
    end = {"status": "resolved", "episode_id": "x", "windows": 2, "peak": 9000.0}
    found = [changed("", **silence), changed("tx2", **end), changed("tx3", of="max", value=5000.50)]
    produce(broker, topic, found)
    done = alerts(broker, names, "--shadow", TOPICS_SHADOW=topic)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    assert sorted(done.stdout.decode().splitlines()) == [
        "Anomaly detected: ('', None, 0.0), current watermark: None",
        "Anomaly detected: ('tx3', 1715392810000, 9000.0), current watermark: 1715392809000 [threshold max=5000.5]",
        "Anomaly resolved: ('tx2', 1715392810000, 9000.0), current watermark: 1715392809000",
    ]


def test_brokers_on_the_command_line_are_the_ones_that_are_asked(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    create_topics(broker, names.alerts)
    produce(broker, names.alerts, [alert("tx1")])
    done = alerts(broker, names, "--bootstrap-servers", broker.bootstrap_servers, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert (done.returncode, done.stdout.count(b"tx1"), done.stderr) == (0, 1, b"")


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_a_terminal_gets_colours_unless_it_wants_none(
    broker: Broker, unique: Callable[[str], str], *, no_color: str, coloured: bool
) -> None:
    names = Names(unique)
    create_topics(broker, names.alerts)
    end = {"status": "resolved", "episode_id": "x", "windows": 2, "peak": 9000.0}
    produce(broker, names.alerts, [alert("tx1"), changed("tx2", **end)])
    ours, theirs = pty.openpty()
    environment = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, **names.environment()}
    command = [sys.executable, "-m", "service", "alerts", "--follow", "--from-beginning", "--max", "2"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment | {"NO_COLOR": no_color}, stdout=theirs, check=False, timeout=60
    )
    os.close(theirs)
    shown = os.read(ours, 10_000)
    os.close(ours)
    assert (done.returncode, shown.count(b"Anomaly")) == (0, 2)
    assert [colour in shown for colour in (b"\x1b[31m", b"\x1b[32m")] == [coloured] * 2
