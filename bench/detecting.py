"""Figures of detectors: CPU a record and a closed window, and alert latency while many keys close at once."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.drain import Run, drain_with_floor, drain_with_service, record
from bench.report import Figure
from bench.stand import Stand
from bench.timing import LATENCY, LIMIT, Load, latencies, spread
from brokerkit.client import create_topics

Detectors = list[dict[str, Any]]
PARTITIONS = 4
MEGA = 1e6
FEW = 10_000
"""With so few closed windows, what is added is the cost of the records."""
DAY_MS = 86_400_000
PLANTED: Detectors = [{"name": "planted", "type": "threshold", "limit": float(LIMIT)}]
ON_MAX: Detectors = [{"name": "max", "type": "threshold", "of": "max", "limit": float(LIMIT)}]
LIMITS = {f"tx-{number:06d}": float(LIMIT) for number in range(10_000)}
BY_ID: Detectors = [{"name": "limits", "type": "threshold", "limit": float(LIMIT), "limits": LIMITS}]
DEVIATION: Detectors = [{"name": "deviation", "type": "deviation", "sigmas": 1e6, "min_windows": 2}]
OF_COUNT: Detectors = [{**DEVIATION[0], "name": "of-count", "of": "count"}]
SILENCE: Detectors = [{"name": "silent", "type": "inactivity", "after_ms": DAY_MS}]
IN_EPISODES: Detectors = [{**one, "resolve_after": 3} for one in DEVIATION] + SILENCE
CASES: dict[str, Detectors] = {
    "threshold on max": ON_MAX,
    "threshold, 10,000 limits": BY_ID,
    "inactivity": SILENCE,
    "deviation": DEVIATION,
    "deviation in episodes, inactivity": IN_EPISODES,
}
CLOSING: dict[str, Detectors] = {
    "default": PLANTED,
    "one": PLANTED + DEVIATION,
    "three": PLANTED + DEVIATION + OF_COUNT + SILENCE,
}
EACH_WINDOW = {"WINDOW_CLOCK": "event", "LATE_POLICY": "drop", "WINDOW_SIZE_MS": "1000", "WATERMARK_LATENESS_MS": "0"}
"""The backlog has 100 records a millisecond, so a window has 100,000 records, whatever the machine's speed."""


def state_topics(stand: Stand, run: str) -> dict[str, str]:
    """Topics of states and shadow alerts of a run's own, made beforehand."""
    state, shadow = f"{run}.state", f"{run}.shadow"
    create_topics(stand.broker, state, partitions=PARTITIONS, config={"cleanup.policy": "compact"})
    create_topics(stand.broker, shadow)
    return {"TOPICS_STATE": state, "TOPICS_SHADOW": shadow}


# ---- cost ---------------------------------------------------------------------------------------------------


def detectors(stand: Stand) -> Figure:
    """Each kind of detector on the same backlog, and what it adds to the default."""
    columns = [
        ("floor_cpu", "floor, CPU-s a million", ".2f"),
        ("service_cpu", "service, CPU-s a million", ".2f"),
        ("ratio", "service ÷ floor", ".2f"),
        ("record_us", "added a record, µs", ".2f"),
        ("closed", "closed windows of keys", ",.0f"),
        ("closed_us", "added a closed window and detector, µs", ".2f"),
        ("commit_ms", "commit, ms", ".0f"),
    ]
    note = (
        "Windows of 1 s of event time, 100,000 records each; added: to the default detector in the same round."
        " 1,000 keys show what an aggregate's further fields cost, 100,000 keys what a closed window costs. Commit:"
        " median of the checkpoints that close windows."
    )
    figure = Figure("detectors", "What detectors cost", columns, note)
    records = stand.records(1_000_000)
    with TemporaryDirectory() as folder:
        cases = CASES | _with_model(stand, Path(folder))
        for keys in (1_000, 100_000):
            topic = stand.topic(records, keys, size=90)
            for number in range(stand.rounds):
                floor = drain_with_floor(stand.broker, topic, records, stand.new("floor"))
                default = None
                for name, configured in {"default": [], **cases}.items():
                    case = f"{name}, {keys:,} keys"
                    stand.say(f"{case}: round {number + 1}")
                    ours = _drain(stand, topic, records, configured, Path(folder))
                    default = default or ours
                    figure.row(case).add(**_cost(floor, default, ours, records, len(configured)))
    return figure


def _with_model(stand: Stand, folder: Path) -> dict[str, Detectors]:
    """An IsolationForest, where the packages for it are installed."""
    if find_spec("onnxruntime") is None or find_spec("skl2onnx") is None:
        stand.say("no model: the extras model and train are not installed")
        return {}
    table, model = folder / "windows.csv", folder / "model.onnx"
    rows = [json.loads(record(number, 1_000, 0)[1]) for number in range(0, 1_000_000, 50)]
    lines = [f"{row['transaction_id']},{row['timestamp']},{row['amount']}" for row in rows]
    table.write_text("\n".join(["transaction_id,timestamp,amount", *lines]), encoding="utf-8")
    train = [sys.executable, "-m", "service", "train", "--csv", str(table), "--output", str(model)]
    env = {**os.environ, **EACH_WINDOW}
    subprocess.run(
        [*train, "--features", "sum,count", "--timestamp-format", "epoch_ms"],
        env=env,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    found = {"name": "model", "type": "model", "file": str(model), "features": ["sum", "count"], "limit": 1e9}
    return {"model": [found]}


def _drain(stand: Stand, topic: str, records: int, configured: Detectors, folder: Path) -> Run:
    run = stand.new("service")
    env = {**stand.outputs(topic, run), **state_topics(stand, run), **EACH_WINDOW}
    if not configured:
        return drain_with_service(stand.broker, topic, records, run, {**env, "DETECT_LIMIT": LIMIT})
    config = folder / "detectors.toml"  # 10,000 limits are too long for an environment variable
    config.write_text("\n".join(map(toml, configured)), encoding="utf-8")
    return drain_with_service(stand.broker, topic, records, run, env, arguments=("--config", str(config)))


def toml(detector: dict[str, Any]) -> str:
    """A detector's table in the settings' file."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in detector.items() if name != "limits"]
    limits = [f"limits.{json.dumps(key)} = {value}" for key, value in detector.get("limits", {}).items()]
    return "\n".join(["[[detectors]]", *lines, *limits])


def _cost(floor: Run, default: Run, ours: Run, records: int, count: int) -> dict[str, float]:
    closing = [line for line in ours.log if line["event"] == "checkpoint" and line["windows"]]
    closed = sum(line["windows"] for line in closing)
    added_us = (ours.drain_cpu_s - default.drain_cpu_s) * MEGA
    found = {
        "floor_cpu": floor.drain_cpu_s / records * MEGA,
        "service_cpu": ours.drain_cpu_s / records * MEGA,
        "ratio": ours.drain_cpu_s / floor.drain_cpu_s,
        "closed": closed,
        "commit_ms": statistics.median([line["commit_ms"] for line in closing]),
    }
    if not count:
        return found
    return (
        {**found, "closed_us": added_us / closed / count}
        if closed > FEW
        else {**found, "record_us": added_us / records}
    )


# ---- latency ------------------------------------------------------------------------------------------------


def detectors_latency(stand: Stand) -> Figure:
    """Window end to readable alert at half of what the service drains, while many keys close at once."""
    note = (
        "Windows of 5 s, so all keys close at once; alerts of four planted anomalies. Half of the rate at which the"
        " default detector drains so many keys. Floor: a bare txn of one record while the same load runs. Compare the"
        " least of the rounds: each is on shared cores."
    )
    figure = Figure("detectors_latency", "Alert latency with detectors", LATENCY, note)
    records = stand.records(1_000_000)
    for keys in (10_000, 100_000):
        topic, run = stand.topic(records, keys, size=90), stand.new("rate")
        env = {**stand.outputs(topic, run), "WINDOW_SIZE_MS": "5000"}
        rate = records / drain_with_service(stand.broker, topic, records, run, env).wall_s
        for number in range(stand.rounds):
            for name, configured in CLOSING.items():
                stand.say(f"latency, {keys:,} keys, {name}: round {number + 1}")
                load = Load(int(rate / 2), 40 if stand.quick else 60, keys=keys, window_ms=5_000)
                settings = {**state_topics(stand, stand.new("latency")), "DETECTORS": json.dumps(configured)}
                alerts, floors, _ = latencies(stand, load, settings)
                found = {**spread(alerts, ""), **spread(floors, "floor_")}
                row = figure.row(f"{keys:,} keys at {rate / 2:,.0f} records/s, {name}")
                row.add(**{column: value for column, (value,) in found.items()})
    return figure
