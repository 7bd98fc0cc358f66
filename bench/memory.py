"""The greatest resident size while a backlog is drained: how much of it a fetch brings must not decide that."""

from __future__ import annotations

from bench.drain import drain_with_floor, drain_with_service
from bench.report import Figure
from bench.stand import Stand
from brokerkit.backlogs import Backlog

CASES = {
    "4 partitions, 1 KB": Backlog(512),
    "64 partitions": Backlog(512, partitions=64),
    "64 partitions, 6:1": Backlog(512, partitions=64, noise=0.2),
    "64 partitions, uncompressed": Backlog(512, partitions=64, codec="none"),
    "64 partitions, gzip": Backlog(512, partitions=64, codec="gzip"),
    "64 partitions, lz4": Backlog(512, partitions=64, codec="lz4"),
    "64 partitions, snappy": Backlog(512, partitions=64, codec="snappy"),
    "64 partitions, 90 B": Backlog(180, 90, partitions=64),
    "64 partitions, 500 KB, 50:1": Backlog(512, 500_000, partitions=64, noise=0.02),
    "batches of 25 MB": Backlog(512, partitions=64, batch_bytes=25_000_000),
}
"""The rows below the first differ from it as they say."""


def backlogs(stand: Stand) -> Figure:
    """Service and floor on each kind of backlog, taking turns, a process of its own each time."""
    columns = [
        ("mib", "service, peak MiB", ".0f"),
        ("floor", "floor, peak MiB", ".0f"),
        ("rate", "service, records/s", ",.0f"),
        ("floor_rate", "floor, records/s", ",.0f"),
    ]
    note = (
        "512 MB of records (180 of 90 B), zstd, batches of a megabyte before compression, 16 keys a partition, default"
        " settings. What compresses well is compressed by 150:1 and better."
    )
    figure = Figure("backlogs", "Memory while draining", columns, note)
    for case, backlog in CASES.items():
        topic = stand.new("backlog")
        stand.say(f"{case}: writing {backlog.records:,} records")
        backlog.write(stand.broker, topic)
        for number in range(min(stand.rounds, 3)):
            stand.say(f"{case}: round {number + 1}")
            floor = drain_with_floor(stand.broker, topic, backlog.records, stand.new("floor"))
            run = stand.new("service")
            ours = drain_with_service(stand.broker, topic, backlog.records, run, stand.outputs(topic, run))
            figure.row(case).add(
                mib=ours.peak_mib,
                floor=floor.peak_mib,
                rate=backlog.records / ours.wall_s,
                floor_rate=backlog.records / floor.wall_s,
            )
    return figure
