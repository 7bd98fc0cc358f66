"""Histories of the network and of a cluster: connections that stand still or break, and brokers that are lost."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from brokerkit.cluster import Cluster
from brokerkit.service_process import ROOT
from histories import cluster, network
from histories.run import Stage, play, proxied_broker
from histories.world import QUICK
from tests.exactly_once.conftest import QUICK_RATE, Faults

SEED = 20_261_123


@pytest.fixture(scope="module")
def far() -> Iterator[Stage]:
    """A broker behind a proxy."""
    with proxied_broker() as (broker, proxy):
        yield Stage(broker, proxy)


@pytest.fixture(scope="module")
def three() -> Iterator[Stage]:
    """A cluster of three."""
    with Cluster(3, properties=QUICK) as brokers:
        yield Stage(brokers)


@pytest.mark.parametrize(
    ("kind", "cycles"), [("silence", (1, 2)), ("refusal", (1, 2)), ("delay", (1, 2)), ("cut_in_commit", (2, 3))]
)
@pytest.mark.timeout(300)
def test_each_record_counts_once_in_spite_of_faults_of_the_network(
    far: Stage, faults: Faults, *, kind: str, cycles: tuple[int, int]
) -> None:
    world = play(far, kind, SEED, faults(cycles), rate=QUICK_RATE)
    assert max(world.recoveries) <= 20


def test_the_kinds_of_the_network_are_all_played() -> None:
    assert set(network.KINDS) == {"silence", "refusal", "delay", "cut_in_commit"}


def test_to_ask_how_far_the_group_is_survives_connections_that_come_and_go(far: Stage) -> None:
    """The admin client did not: see service/kafka/guards/group_members.py."""
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
def test_each_record_counts_once_in_spite_of_the_loss_of_a_clusters_broker(three: Stage, kind: str) -> None:
    world = play(three, kind, SEED, 1, rate=QUICK_RATE)
    assert max(world.recoveries) <= 30
