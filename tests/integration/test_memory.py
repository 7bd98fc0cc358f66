"""The service's greatest resident size while it drains a backlog whose fetches are small and whose records are not."""

from collections.abc import Callable

import pytest

from brokerkit.broker import Broker
from brokerkit.service_process import Names, running, wait_until
from tests.backlogs import Backlog, peak_mib

MIB_AT_MOST = 200
"""It has some 60 when idle. These backlogs took 340 while a fetch could bring all of them, a poll 500 large records."""


@pytest.mark.parametrize(
    "backlog",
    [
        pytest.param(Backlog(240, partitions=16), id="records of 1 KB"),
        pytest.param(Backlog(300, record_bytes=600_000, noise=0.02), id="records of 400 KB"),
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
