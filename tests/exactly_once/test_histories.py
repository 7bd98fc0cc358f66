"""The quick set of histories: each fault a few times under load, and the oracle at the end of each.

`./test --everything` plays each with more faults, and `python -m bench.histories` for longer and with other seeds.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import pytest

from brokerkit.broker import Broker
from brokerkit.cluster import Cluster
from brokerkit.service_process import ROOT
from histories import cluster, network
from histories.detector_oracle import Rule
from histories.run import Stage, play, proxied_broker
from histories.world import QUICK, SESSION_S, World
from tests.exactly_once.conftest import Faults

SEED = 20_261_123
QUIET_START_S = 1.0
"""The most that a service needs until it listens, where nothing else runs."""


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


def slowness(world: World) -> float:
    """How much longer than on a quiet machine the slowest start of a service took in this history, or 1.

    A service loads its modules and listens before it asks Kafka anything, so only the machine's other work delays it.
    The tests that run alone have the bounds as they are.
    """
    return max(1.0, world.slowest_start_s / QUIET_START_S)


@pytest.mark.parametrize(
    ("kind", "cycles", "recovered_within_s"),
    [
        # A broker that was killed recovers each partition that it has, and each history adds some: so these are first.
        ("broker_killed_in_commit", (2, 6), 15),
        ("mixed", (4, 8), None),
        ("broker_kill", (1, 3), 15),
        # A process that was killed is a member until its session ends, so a new one waits for that.
        ("sigkill", (2, 4), SESSION_S + 3),
        pytest.param("sigterm", (2, 4), 3, marks=pytest.mark.alone),
        pytest.param("takeover", (1, 2), SESSION_S + 1, marks=pytest.mark.alone),
        ("zombie", (1, 2), None),
        ("killed_in_commit", (3, 6), SESSION_S + 3),
        # A txn that was left open is ended by the heir, which would else wait for a minute.
        ("taken_over_in_commit", (3, 6), SESSION_S + 5),
        ("partitions_added", (1, 2), 30),
        ("expired", (2, 4), SESSION_S + 3),
        ("one_name", (1, 3), 5),
        ("quiet", (1, 2), None),
    ],
)
@pytest.mark.timeout(300)
def test_each_record_counts_once_in_spite_of_faults_of_service_and_broker(
    request: pytest.FixtureRequest,
    one: Stage,
    faults: Faults,
    rate: int,
    detectors: Sequence[Rule],
    *,
    kind: str,
    cycles: tuple[int, int],
    recovered_within_s: float | None,
) -> None:
    world = play(one, kind, SEED, faults(cycles), detectors=detectors, rate=rate)
    if recovered_within_s is None:
        assert world.recoveries == [], "this kind measures none"
    else:
        alone = request.node.get_closest_marker("alone") is not None
        assert max(world.recoveries) <= recovered_within_s * (1.0 if alone else slowness(world))


@pytest.mark.parametrize(
    ("kind", "cycles"), [("silence", (1, 2)), ("refusal", (1, 2)), ("delay", (1, 2)), ("cut_in_commit", (2, 6))]
)
@pytest.mark.timeout(300)
def test_each_record_counts_once_in_spite_of_faults_of_the_network(
    far: Stage, faults: Faults, rate: int, *, detectors: Sequence[Rule], kind: str, cycles: tuple[int, int]
) -> None:
    world = play(far, kind, SEED, faults(cycles), detectors=detectors, rate=rate)
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
def test_each_record_counts_once_in_spite_of_the_loss_of_a_clusters_broker(
    three: Stage, rate: int, detectors: Sequence[Rule], kind: str
) -> None:
    world = play(three, kind, SEED, 1, detectors=detectors, rate=rate)
    assert max(world.recoveries) <= 30
