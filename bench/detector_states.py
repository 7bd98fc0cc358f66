"""Figure of a million states: read back, in memory, on the wire, and a checkpoint that changes a thousand of them."""

from __future__ import annotations

import json
import statistics
import sys
import time
from decimal import Decimal

from confluent_kafka import Producer

from bench.detecting import DEVIATION, PARTITIONS, state_topics
from bench.drain import START_MS, drain_with_floor, write
from bench.report import Figure
from bench.stand import Running, Stand, service
from brokerkit.processes import resident_mib
from service.core.detectors import ConfiguredDetector
from service.core.detectors.deviation import Deviation
from service.core.memory.alerts import Place
from service.core.memory.partition import Memory
from service.core.model import Aggregate, ClockName, EventTimeMs, Offset, Partition, TumblingWindow, WindowClosed
from service.core.partitioner import partition_of
from service.wire.states import state_record


def detectors_states(stand: Stand) -> Figure:
    """A million states: read back, in memory, on the wire, and a checkpoint that changes a thousand of them."""
    columns = [
        ("restore_s", "restored in, s", ".2f"),
        ("floor_s", "floor, s", ".2f"),
        ("bytes", "bytes a state in memory", ".0f"),
        ("heap", "of these, deadline heap", ".0f"),
        ("wire", "bytes a state's key and value", ".1f"),
        ("states", "states that a checkpoint changes", ",.0f"),
        ("commit_ms", "its commit, ms", ".0f"),
    ]
    note = (
        "One deviation detector, 4 partitions. Floor: a loop that only reads the state topic. In memory: the resident"
        " size beyond that of the same service with 1,000 states. Median of five checkpoints."
    )
    figure = Figure("detectors_states", "States by the million", columns, note)
    many = stand.records(1_000_000)
    few_state, many_state = state_topics(stand, stand.new("few")), state_topics(stand, stand.new("many"))
    _fill_states(stand, few_state["TOPICS_STATE"], 1_000)
    wire = _fill_states(stand, many_state["TOPICS_STATE"], many)
    for number in range(min(stand.rounds, 3)):
        stand.say(f"states: round {number + 1}")
        floor = drain_with_floor(stand.broker, many_state["TOPICS_STATE"], many, stand.new("floor"))
        small, large = _restored(stand, few_state), _restored(stand, many_state)
        bytes_each = (large.pop("mib") - small.pop("mib")) * 2**20 / (many - 1_000)
        figure.row("1,000 states").add(**small)
        more = {"floor_s": floor.wall_s, "bytes": bytes_each, "heap": _heap_bytes(), "wire": wire}
        figure.row(f"{many:,} states").add(**large, **more)
    return figure


def _fill_states(stand: Stand, topic: str, count: int) -> float:
    """Write what the detector would, after one window of each key; returns bytes a record."""
    stand.say(f"writing {count:,} states")
    by_partition: dict[int, dict[str, Aggregate]] = {one: {} for one in range(PARTITIONS)}
    for number in range(count):
        key, at_ms, offset = f"tx-{number:06d}", EventTimeMs(START_MS), Offset(number)
        aggregate = Aggregate(timestamp=at_ms, first_offset=offset, max_timestamp=at_ms, last_offset=offset, count=1)
        aggregate.add(Decimal(number) / 100)
        by_partition[partition_of(key.encode(), PARTITIONS)][key] = aggregate
    window, size = TumblingWindow(START_MS, START_MS + 1_000), 0
    servers = {"bootstrap.servers": stand.broker.bootstrap_servers}
    producer = Producer({**servers, "queue.buffering.max.messages": 2_000_000})
    configured = ConfiguredDetector("deviation", Deviation(sigmas=1e6, min_windows=2))
    for number, aggregates in by_partition.items():
        memory = Memory([configured], Place("any", Partition(number)))
        closed = WindowClosed(ClockName.PROCESSING, window, EventTimeMs(window.end_ms), aggregates)
        memory.judge([closed], closed.watermark_ms, lambda _: None)
        for detector, key, packed in memory.changes():
            made = state_record(topic, Partition(number), detector, key, packed)
            producer.produce(topic, made.value, made.key, number)
            size += len(made.key or b"") + len(made.value or b"")
    producer.flush()
    return size / count


def _restored(stand: Stand, states: dict[str, str]) -> dict[str, float]:
    """How long it took, the resident size, and the median of five checkpoints that change 1,000 states or fewer."""
    topic, run = stand.topic(0), stand.new("states")
    settings = {"DETECTORS": json.dumps(DEVIATION), "WINDOW_SIZE_MS": "1000"}
    with service({**stand.outputs(topic, run), **states, **settings}) as running:
        for _ in range(PARTITIONS):
            running.wait_for("partition_started")
        time.sleep(1)
        mib = resident_mib(running.process.pid)
        page = running.get("/metrics").splitlines()
        restore_s = float(next(line for line in page if line.startswith("txwatch_state_restore_s")).split()[1])
        found = [_checkpoint(stand, topic, running) for _ in range(5)]
    medians = {name: statistics.median(one[name] for one in found) for name in ("states", "commit_ms")}
    return {"mib": mib, "restore_s": restore_s, **medians}


def _checkpoint(stand: Stand, topic: str, running: Running) -> dict[str, float]:
    time.sleep(1.1 - time.time() % 1)  # begin early in a window, so that it has all records
    write(stand.broker, topic, 1_000, 1_000, size=90)
    while not (line := running.wait_for("checkpoint"))["windows"]:
        pass
    return {"states": line["states"], "commit_ms": line["commit_ms"]}


def _heap_bytes() -> float:
    """Bytes a deadline: its place in the list, the tuple, and the time; the key is the states' own."""
    return 8 + sys.getsizeof((START_MS, "")) + sys.getsizeof(START_MS)
