"""The quick set of histories: each fault a few times under load, and the oracle at the end of each.

`./test --everything` plays each with more faults, and `python -m bench.histories` for longer and with other seeds.
"""

from collections.abc import Iterator

import pytest

from brokerkit.broker import Broker
from histories.rekey import RekeyWorld
from histories.reload import ReloadWorld
from histories.run import CLOCKS, Stage, play
from histories.world import QUICK, SESSION_S, World
from tests.exactly_once.conftest import QUICK_RATE, Faults

SEED = 20_261_123
QUIET_START_S = 1.0
"""The most that a service needs until it listens, where nothing else runs."""


@pytest.fixture(scope="module")
def one() -> Iterator[Stage]:
    """A broker with short sessions; histories kill it."""
    with Broker(properties=QUICK) as broker:
        yield Stage(broker)


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
        ("broker_killed_in_commit", (2, 3), 15),
        ("mixed", (4, 5), None),
        ("broker_kill", (1, 2), 15),
        # A process that was killed is a member until its session ends, so a new one waits for that.
        ("sigkill", (2, 4), SESSION_S + 3),
        pytest.param("sigterm", (2, 4), 3, marks=pytest.mark.alone),
        pytest.param("takeover", (1, 2), SESSION_S + 1, marks=pytest.mark.alone),
        ("zombie", (1, 2), None),
        ("killed_in_commit", (3, 4), SESSION_S + 3),
        # A txn that was left open is ended by the heir, which would else wait for a minute.
        ("taken_over_in_commit", (3, 4), SESSION_S + 5),
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
    *,
    kind: str,
    cycles: tuple[int, int],
    recovered_within_s: float | None,
) -> None:
    world = play(one, kind, SEED, faults(cycles), rate=QUICK_RATE)
    if recovered_within_s is None:
        assert world.recoveries == [], "this kind measures none"
    else:
        alone = request.node.get_closest_marker("alone") is not None
        assert max(world.recoveries) <= recovered_within_s * (1.0 if alone else slowness(world))


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sigkill", "takeover", "killed_in_commit"])
@pytest.mark.timeout(300)
def test_each_record_counts_once_with_the_default_detector_too(one: Stage, kind: str) -> None:
    play(one, kind, SEED, 2, detectors=(), rate=QUICK_RATE)


@pytest.mark.parametrize(
    ("kind", "clock", "cycles"),
    [
        ("killed_in_commit", None, (1, 6)),
        ("sigkill", "event-divert", (1, 4)),
        pytest.param("takeover", None, (1, 2), marks=pytest.mark.long),
        pytest.param("takeover", "event-divert", (1, 2), marks=pytest.mark.long),
        pytest.param("zombie", "ingestion-divert", (1, 1), marks=pytest.mark.long),
        pytest.param("broker_killed_in_commit", "ingestion-include", (1, 3), marks=pytest.mark.long),
        pytest.param("killed_in_commit", "event-divert", (1, 6), marks=pytest.mark.long),
        pytest.param("mixed", None, (1, 4), marks=pytest.mark.long),
        pytest.param("quiet", None, (1, 4), marks=pytest.mark.long),
    ],
)
@pytest.mark.timeout(300)
def test_each_window_is_judged_once_and_by_the_rules_in_force_while_detectors_change(
    one: Stage, faults: Faults, kind: str, clock: str | None, cycles: tuple[int, int]
) -> None:
    rules = None if clock is None else CLOCKS[clock]
    play(one, kind, SEED, faults(cycles), rules, rate=QUICK_RATE, make=ReloadWorld)


@pytest.mark.parametrize(
    ("kind", "cycles"),
    [
        ("broker_killed_in_commit", (1, 2)),
        ("killed_in_commit", (1, 2)),
        ("takeover", (1, 2)),
        pytest.param("sigkill", (1, 2), marks=pytest.mark.long),
        pytest.param("taken_over_in_commit", (1, 2), marks=pytest.mark.long),
        pytest.param("zombie", (1, 1), marks=pytest.mark.long),
        pytest.param("mixed", (1, 3), marks=pytest.mark.long),
    ],
)
@pytest.mark.timeout(300)
def test_rekey_writes_each_record_once_in_spite_of_faults(
    one: Stage, faults: Faults, kind: str, cycles: tuple[int, int]
) -> None:
    play(one, kind, SEED, faults(cycles), detectors=(), rate=QUICK_RATE, make=RekeyWorld)
