"""`txwatch backtest` over a span of a real topic: the service's own alerts, by windows that can be replayed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from brokerkit.broker import Broker
from brokerkit.client import Rec, create_topics, produce
from brokerkit.service_process import ROOT, Names, payloads, running, transaction, wait_until

PARTITIONS = 2
DETECTORS = [
    {"name": "high", "type": "threshold", "limit": 120, "resolve_after": 2},
    {"name": "odd", "type": "deviation", "min_windows": 3, "sigmas": 1.5, "clip_sigmas": 3, "direction": "both"},
    {"name": "silent", "type": "inactivity", "after_ms": 4_000},
    {"name": "shadowed", "type": "threshold", "of": "max", "limit": 60, "mode": "shadow"},
]
Alerts = dict[str, dict[str, Any]]


def backtest(
    broker: Broker, names: Names, folder: Path, *arguments: str, **settings: str
) -> tuple[dict[str, Any], Alerts]:
    """Run it to its end; returns the report, and the alerts by id without `detected_at`."""
    file = folder / "alerts.jsonl"
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("KAFKA_", "TOPICS_"))}
    done = subprocess.run(
        [sys.executable, "-m", "service", "backtest", *arguments, "--format", "json", "--alerts", str(file)],
        cwd=ROOT,
        env={**kept, **names.environment(), "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, **settings},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line, parse_float=Decimal) for line in file.read_text().splitlines()]
    return json.loads(done.stdout), by_id(lines)


def by_id(alerts: Sequence[Mapping[str, Any]]) -> Alerts:
    """Each alert under its id, once, without the time of writing."""
    found = {one["alert_id"]: {key: value for key, value in one.items() if key != "detected_at"} for one in alerts}
    assert len(found) == len(alerts)
    return found


def written(broker: Broker, names: Names) -> Alerts:
    """What the service wrote, shadow alerts included."""
    return by_id([*payloads(broker, names.alerts), *payloads(broker, names.shadow)])


def some_records(seed: int, count: int, begin_ms: int, step_ms: int) -> list[Rec | tuple[str, str]]:
    """Payments of a few ids, a little out of order; some are late, far ahead, or no JSON."""
    chance = random.Random(seed)  # noqa: S311 - the same records each time
    found: list[Rec | tuple[str, str]] = []
    for number in range(count):
        key = f"tx{chance.randrange(6)}" if chance.random() < 0.9 else f"rare{chance.randrange(20)}"
        at_ms = begin_ms + number * step_ms - chance.randrange(1_500)
        if chance.random() < 0.03:
            at_ms -= 60_000
        if chance.random() < 0.01:
            at_ms += 10**10
        value = transaction(key, at_ms, f"{chance.uniform(1, 100):.2f}")
        found.append((key, "rubbish") if chance.random() < 0.02 else value)
    return found


def settings_of(clock: str) -> dict[str, str]:
    """The same for service and backtest."""
    return {
        "WINDOW_CLOCK": clock,
        "WINDOW_SIZE_MS": "2000" if clock == "event" else "1000",
        "LATE_POLICY": "divert" if clock == "event" else "include",
        "DETECTORS": json.dumps(DETECTORS),
    }


@pytest.mark.parametrize("clock", ["event", "ingestion"])
def test_the_alerts_are_the_very_ones_that_the_service_wrote(
    broker: Broker, unique: Callable[[str], str], tmp_path: Path, clock: str
) -> None:
    names, settings = Names(unique), settings_of(clock)
    config = {"message.timestamp.type": "LogAppendTime"} if clock == "ingestion" else {}
    create_topics(broker, names.transactions, partitions=PARTITIONS, config=config)
    begin_ms = time.time_ns() // 1_000_000 - 3_600_000
    with running(broker, names, settings) as service:
        service.wait_ready(PARTITIONS)
        for burst in range(8):
            begun_ms = begin_ms + burst * 100 * 200
            produce(broker, names.transactions, some_records(burst, 100, begun_ms, 200))
            time.sleep(0.7)
        time.sleep(1.5)  # the last window of append time is over, and its margin
        report, found = backtest(broker, names, tmp_path, "--from", "0", **settings)
        wait_until(lambda: len(written(broker, names)) >= len(found), 20)
        assert service.stop() == 0
    assert written(broker, names) == found
    assert {name for name, count in report["by_detector"].items() if not count} == set()
    assert report["records"] == 800
    assert report["alerts"] == len(payloads(broker, names.alerts))
    assert report["rejected"].keys() == {"not_json", "timestamp_in_future"}
    groups = AdminClient({"bootstrap.servers": broker.bootstrap_servers}).list_consumer_groups().result(10)
    assert [one.group_id for one in groups.valid if one.group_id.startswith(f"{names.group}-")] == []


def test_a_span_ends_before_its_end_and_windows_of_the_warm_up_are_not_reported(
    broker: Broker, unique: Callable[[str], str], tmp_path: Path
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions)
    base = 1_715_392_800_000
    records = [
        Rec(*transaction("tx1", base + at, 900 if at == 63_000 else 100 + at // 10_000 % 3), timestamp_ms=base + at)
        for at in range(0, 100_000, 1_000)
    ]
    produce(broker, names.transactions, records)
    odd = [{"name": "odd", "type": "deviation", "min_windows": 3, "sigmas": 2}]
    all_of_it = [{"name": "all", "type": "threshold", "of": "count", "limit": 0}]
    settings = {"WINDOW_CLOCK": "event", "LATE_POLICY": "divert", "DETECTORS": json.dumps([*all_of_it, *odd])}
    span = ("--from", str(base + 35_000), "--to", str(base + 92_000))

    def baselines(found: Alerts) -> list[tuple[int, int]]:
        odd = [one for one in found.values() if one["detector"] == "odd"]
        return [(one["window"]["start"] - base, one["baseline"]["windows"]) for one in odd]

    report, found = backtest(broker, names, tmp_path, *span, **settings)
    assert baselines(found) == [(60_000, 3)]
    # The record at 92 s is outside, so 91 s less the lateness closes no window beyond 90 s.
    starts = sorted(one["window"]["start"] - base for one in found.values() if one["detector"] == "all")
    assert (report["records"], starts) == (57, [30_000, 40_000, 50_000, 60_000, 70_000, 80_000])
    assert report["span"] == {"from": base + 35_000, "to": base + 92_000, "days": 57_000 / 86_400_000}
    warm = ("--warm-up-from", str(base))
    report, found = backtest(broker, names, tmp_path, *span, *warm, **settings)
    # By then the window of 30 s has begun.
    starts = sorted(one["window"]["start"] - base for one in found.values() if one["detector"] == "all")
    assert (report["records"], report["windows"], starts) == (57, 5, [40_000, 50_000, 60_000, 70_000, 80_000])
    assert baselines(found) == [(60_000, 6)]
    cut = backtest(broker, names, tmp_path, "--from", str(base), "--to", str(base + 91_000), **settings)[1]
    starts = sorted(one["window"]["start"] - base for one in cut.values() if one["detector"] == "all")
    assert starts == [0, 10_000, 20_000, 30_000, 40_000, 50_000, 60_000, 70_000]


def test_windows_of_processing_time_are_judged_by_the_kafka_timestamps(
    broker: Broker, unique: Callable[[str], str], tmp_path: Path
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions)
    base = 1_715_392_800_000
    produce(
        broker,
        names.transactions,
        [Rec(*transaction("tx1", base, 5_000), timestamp_ms=base + at) for at in (0, 9_999, 10_000, 20_000, 20_001)],
    )
    report, found = backtest(broker, names, tmp_path, "--from", "0", "--to", str(base + 30_000))
    windows = sorted((one["window"]["start"] - base, one["count"], one["window"]["clock"]) for one in found.values())
    assert windows == [(0, 2, "ingestion"), (20_000, 2, "ingestion")]
    assert [note.partition(":")[0] for note in report["notes"]] == [
        "Windows are by append time instead of WINDOW_CLOCK=processing",
        "The topic has no LogAppendTime",
    ]
    # The last window is not over at 25 s.
    assert len(backtest(broker, names, tmp_path, "--from", "0", "--to", str(base + 25_000))[1]) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--from", "0"], 1, ["there is no topic"]),
        ([], 2, ["--csv", "--from"]),
        (["--from", "0", "--label", "fraud"], 2, ["--label", "--csv"]),
        (["--from", "0", "--decimal", ","], 2, ["--decimal", "--csv"]),
        (["--from", "5", "--to", "5"], 2, ["--to"]),
        (["--from", "5", "--warm-up-from", "6"], 2, ["--warm-up-from"]),
        (["--from", "0", "--budget", "many"], 2, ["--budget", "many"]),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    broker: Broker, unique: Callable[[str], str], arguments: list[str], code: int, words: list[str]
) -> None:
    names = Names(unique)
    done = subprocess.run(
        [sys.executable, "-m", "service", "backtest", *arguments],
        cwd=ROOT,
        env={**os.environ, **names.environment(), "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert [word for word in words if word not in done.stderr] == []
