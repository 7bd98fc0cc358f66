"""The service's greatest resident size while it drains a backlog whose fetches are small and whose records are not."""

from collections.abc import Callable

import pytest

from brokerkit.backlogs import Backlog
from brokerkit.broker import Broker
from brokerkit.client import create_topics
from brokerkit.processes import peak_mib
from brokerkit.service_process import Names, running, wait_until
from service.kafka.poll_size import POLL_BYTES
from service.loop.events import Records
from tests.inside import Inside

MIB_AT_MOST = 170
"""It has some 60 when idle. These take 110 to 135, and took 220 to 250 when a fetch could bring all of them."""


@pytest.mark.parametrize(
    "backlog",
    [
        pytest.param(Backlog(160, partitions=16), id="records of 1 KB"),
        pytest.param(Backlog(200, record_bytes=400_000, noise=0.01), id="records of 400 KB"),
    ],
)
def test_a_well_compressed_backlog_is_drained_within_a_bound(
    broker: Broker, unique: Callable[[str], str], backlog: Backlog
) -> None:
    names = Names(unique)
    backlog.write(broker, names.transactions)
    with running(broker, names) as service:

        def read() -> int:
            return sum(partition["position"] for partition in service.status()["partitions"])

        wait_until(lambda: read() >= backlog.records, 60, every_s=0.5, name="all is read")
        peak = peak_mib(service.process.pid)
    assert peak < MIB_AT_MOST


def test_a_poll_brings_fewer_records_when_they_are_large(broker: Broker, unique: Callable[[str], str]) -> None:
    names, backlog = Names(unique), Backlog(60, record_bytes=600_000, partitions=1)
    create_topics(broker, names.alerts, names.aggregates, names.dead_letter)
    backlog.write(broker, names.transactions)
    inside = Inside(broker, names)
    try:
        inside.turn_until(lambda: any(task.next_offset > 0 for task in inside.worker._tasks.by_partition.values()))
        events = inside.worker._consumer.poll(500, 5.0)  # long enough for all of them
        assert 0 < sum(len(event.messages) for event in events if isinstance(event, Records)) <= POLL_BYTES // 600_000
    finally:
        inside.close()
