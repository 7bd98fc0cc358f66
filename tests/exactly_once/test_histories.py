"""The quick set of histories: each fault a few times under load, and the oracle at the end of each.

`python -m bench.histories` plays the same for longer and with other seeds.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from brokerkit.broker import Broker
from brokerkit.cluster import Cluster
from brokerkit.service_process import ROOT
from tests.exactly_once import cluster, network
from tests.exactly_once.run import Stage, play, proxied_broker
from tests.exactly_once.world import QUICK, SESSION_S

SEED = 20_261_123


@pytest.fixture(scope="module")
def one() -> Iterator[Stage]:
    """A broker with short sessions; histories kill it."""
    with Broker(properties=QUICK) as broker:
        yield Stage(broker)


@pytest.fixture(scope="module")
def far() -> Iterator[Stage]:
    """The same behind a proxy."""
    with proxied_broker() as (broker, proxy):
        yield Stage(broker, proxy)


@pytest.fixture(scope="module")
def three() -> Iterator[Stage]:
    """A cluster of three."""
    with Cluster(3, properties=QUICK) as brokers:
        yield Stage(brokers)


@pytest.mark.parametrize(
    ("kind", "cycles", "recovered_within_s"),
    [
        # A process that was killed is a member until its session ends, so a new one waits for that.
        ("sigkill", 2, SESSION_S + 3),
        pytest.param("sigterm", 2, 3, marks=pytest.mark.alone),
        pytest.param("takeover", 1, SESSION_S + 1, marks=pytest.mark.alone),
        ("zombie", 1, 0),
        ("broker_kill", 2, 15),
        ("killed_in_commit", 6, SESSION_S + 3),
        # A txn that was left open is ended by the heir, which would else wait for a minute.
        ("taken_over_in_commit", 6, SESSION_S + 5),
        ("broker_killed_in_commit", 3, 15),
        ("partitions_added", 1, 30),
        ("expired", 2, SESSION_S + 3),
        ("one_name", 2, 5),
        ("quiet", 1, 0),
        ("mixed", 5, 0),
    ],
)
@pytest.mark.timeout(300)
def test_whatever_happens_to_service_or_broker_each_record_counts_once(
    one: Stage, kind: str, cycles: int, recovered_within_s: float
) -> None:
    world = play(one, kind, SEED, cycles)
    assert max(world.recoveries, default=0.0) <= recovered_within_s


@pytest.mark.parametrize(("kind", "cycles"), [("silence", 1), ("refusal", 1), ("delay", 1), ("cut_in_commit", 3)])
@pytest.mark.timeout(300)
def test_whatever_happens_to_the_network_each_record_counts_once(far: Stage, kind: str, cycles: int) -> None:
    assert kind in network.KINDS
    world = play(far, kind, SEED, cycles)
    assert max(world.recoveries) <= 20


def test_to_ask_how_far_the_group_is_survives_connections_that_come_and_go(far: Stage) -> None:
    """The admin client did not: see service.kafka.admin."""
    proxy = far.proxy
    assert proxy is not None
    environment = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{proxy.port}"}
    with subprocess.Popen([sys.executable, "-m", "tests.exactly_once.asker"], cwd=ROOT, env=environment) as asker:
        while asker.poll() is None:
            time.sleep(0.7)
            proxy.refuse()
            time.sleep(0.6)
            proxy.open()
    assert asker.returncode == 0


@pytest.mark.parametrize("kind", sorted(cluster.KINDS))
@pytest.mark.timeout(300)
def test_whichever_broker_a_cluster_loses_each_record_counts_once(three: Stage, kind: str) -> None:
    world = play(three, kind, SEED, 1)
    assert max(world.recoveries) <= 30
