"""Figures of draining a backlog: CPU a record against the floor, clocks, memory, instances."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from bench.drain import Run, drain_with_floor, drain_with_service, records_seen
from bench.report import Figure
from bench.scaling import measure
from bench.stand import Stand, service
from brokerkit.processes import peak_mib, resident_mib
from brokerkit.service_process import wait_until

MILLION = 1e6
AGAINST_FLOOR = [
    ("floor_cpu", "floor, CPU-s a million", ".2f"),
    ("service_cpu", "service, CPU-s a million", ".2f"),
    ("ratio", "service ÷ floor", ".2f"),
    ("floor_rate", "floor, records/s", ",.0f"),
    ("service_rate", "service, records/s", ",.0f"),
    ("per_core", "service, records a CPU-second", ",.0f"),
]


@dataclass
class Case:
    """A backlog and how it is read."""

    name: str
    records: int = 1_000_000
    keys: int = 1_000
    topic: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)


DRAIN = [
    Case("4 partitions, 1,000 keys, 90 B, lz4"),
    Case("1 partition", topic={"partitions": 1}),
    Case("16 partitions", topic={"partitions": 16}),
    Case("64 partitions", topic={"partitions": 64}),
    Case("10 keys", keys=10),
    Case("100,000 keys", keys=100_000),
    Case("1,000,000 keys", keys=1_000_000),
    Case("72 B", topic={"size": 0}),
    Case("300 B", 500_000, topic={"size": 300}),
    Case("1 KB", 250_000, topic={"size": 1_000}),
    Case("uncompressed", topic={"compression": "none"}),
    Case("zstd", topic={"compression": "zstd"}),
]
EVENT = {"WINDOW_CLOCK": "event", "LATE_POLICY": "divert"}
CLOCKS = [
    Case("processing"),
    Case("ingestion", topic={"append_time": True}, settings={"WINDOW_CLOCK": "ingestion"}),
    Case("event", settings=EVENT),
    Case("processing, aggregates on", settings={"TOPICS_AGGREGATES": "aggregates"}),
]


FLAT = {"INPUT_TRANSACTION_ID": "id", "INPUT_TIMESTAMP": "at", "INPUT_AMOUNT": "sum"}
NESTED = {name: f"after.{path}" for name, path in FLAT.items()}
MAPPED = [
    Case("txwatch's own", 500_000),
    Case("nested", 500_000, topic={"shape": "nested"}, settings=NESTED),
    Case("amounts as text", 500_000, topic={"shape": "text"}, settings={**FLAT, "INPUT_AMOUNT_FORMAT": "text"}),
    Case(
        "composite ids",
        500_000,
        topic={"shape": "composite"},
        settings={**FLAT, "INPUT_TRANSACTION_ID": "id+currency"},
    ),
]


def mapped(stand: Stand) -> Figure:
    """Records that are not txwatch's own, read by a mapping."""
    note = "4 partitions, 1,000 keys, 90 B, lz4: compare the service's CPU with that of the first row."
    return _against_floor(stand, Figure("mapped", "Mapped records", AGAINST_FLOOR, note), MAPPED)


def drain(stand: Stand) -> Figure:
    """Service and floor on each kind of backlog, taking turns."""
    figure = Figure(
        "drain", "Draining a backlog", AGAINST_FLOOR, "The rows below the first differ from it as they say."
    )
    return _against_floor(stand, figure, DRAIN)


def clocks(stand: Stand) -> Figure:
    """Each clock, and every closed window written out."""
    figure = Figure("clocks", "Each clock, and aggregates on", AGAINST_FLOOR, "4 partitions, 1,000 keys, 90 B, lz4.")
    return _against_floor(stand, figure, CLOCKS)


def _against_floor(stand: Stand, figure: Figure, cases: list[Case]) -> Figure:
    for case in cases:
        records = stand.records(case.records)
        topic = stand.topic(records, case.keys, **{"size": 90, **case.topic})
        for number in range(stand.rounds):
            stand.say(f"{case.name}: round {number + 1}")
            floor = drain_with_floor(stand.broker, topic, records, stand.new("floor"))
            run = stand.new("service")
            ours = drain_with_service(stand.broker, topic, records, run, {**stand.outputs(topic, run), **case.settings})
            figure.row(case.name).add(**_compared(floor, ours, records))
    return figure


def _compared(floor: Run, ours: Run, records: int) -> dict[str, float]:
    return {
        "floor_cpu": floor.drain_cpu_s / records * MILLION,
        "service_cpu": ours.drain_cpu_s / records * MILLION,
        "ratio": ours.drain_cpu_s / floor.drain_cpu_s,
        "floor_rate": records / floor.wall_s,
        "service_rate": records / ours.wall_s,
        "per_core": records / ours.drain_cpu_s,
    }


def memory(stand: Stand) -> Figure:
    """Resident size of an idle service, of a million open keys, and at the peak of a backlog."""
    columns = [("mib", "MiB", ".1f"), ("floor", "floor, MiB", ".1f"), ("bytes", "bytes a key", ".0f")]
    figure = Figure(
        "memory", "Memory", columns, "Keys: what a window of so many adds to the same service without them."
    )
    records = stand.records(1_000_000)
    empty, few, many = stand.topic(1_000), stand.topic(records, size=90), stand.topic(records, records, size=90)
    for _ in range(min(stand.rounds, 3)):
        stand.say("memory")
        base = _resident(stand, empty, 1_000)
        floor = drain_with_floor(stand.broker, few, records, stand.new("floor"))
        small, large = _resident(stand, few, records), _resident(stand, many, records)
        figure.row("idle").add(mib=base[0])
        figure.row(f"peak in a backlog of {records:,} records, 1,000 keys").add(mib=small[1], floor=floor.peak_mib)
        figure.row(f"{records:,} open keys").add(mib=large[1], bytes=(large[0] - small[0]) * 2**20 / (records - 1_000))
    return figure


def _resident(stand: Stand, topic: str, records: int) -> tuple[float, float]:
    """MiB when all is read and the window is still open, and at the peak."""
    env = {**stand.outputs(topic, stand.new("memory")), "WINDOW_SIZE_MS": "600000"}
    with service(env) as running:
        wait_until(lambda: records_seen(running.port) >= records, 300, name="all keys are open")
        time.sleep(1)
        pid = running.process.pid
        return resident_mib(pid), peak_mib(pid)


def scaling(stand: Stand) -> Figure:
    """One, two and four instances of a group on the same backlog."""
    columns = [("rate", "records/s, all together", ",.0f"), ("cpu", "CPU-s a million, all together", ".2f")]
    note = "Instances share the cores with the broker: more of them than cores only take turns."
    figure = Figure("scaling", "Instances", columns, note)
    records = stand.records(2_000_000)
    for number in range(min(stand.rounds, 3)):
        for instances in (1, 2, 4):
            stand.say(f"{instances} instances: round {number + 1}")
            drained = measure(stand.broker, instances, records)
            figure.row(f"{instances}").add(rate=drained.rate, cpu=drained.service_cpu_s / records * MILLION)
    return figure
