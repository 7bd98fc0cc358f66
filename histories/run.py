"""Play a history on a broker of the right make."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from brokerkit.broker import Broker
from brokerkit.cluster import Cluster
from brokerkit.files import ADDRESS, Node, free_ports
from brokerkit.jars import KAFKA_VERSION
from brokerkit.proxy import Proxy
from histories import cluster, network
from histories.clock_oracle import Rules
from histories.detector_audit import SEVERAL
from histories.detector_oracle import Rule
from histories.kinds import KINDS
from histories.load import RATE
from histories.world import SESSION_S, World, group_settings, history, sessions

WINDOW_MS: Final = 500
CLOCKS: Final = {
    rules.name: rules
    for rules in (
        Rules("ingestion", WINDOW_MS, 1_000, "include"),
        Rules("ingestion", WINDOW_MS, 1_000, "divert"),
        Rules("event", WINDOW_MS, 1_000, "divert"),
    )
}
"""The clocks by which all histories of the same input give the same windows."""
ALL: Final = {**KINDS, **network.KINDS, **cluster.KINDS}


@dataclass(frozen=True)
class Stage:
    """A broker or cluster, and the proxy between it and the services, if any."""

    broker: Broker | Cluster
    proxy: Proxy | None = None
    kafka: str = KAFKA_VERSION
    session_s: float = SESSION_S


@contextmanager
def stage(kind: str, kafka: str = KAFKA_VERSION, session_s: float = SESSION_S) -> Iterator[Stage]:
    """What a kind plays on; several histories may follow each other on it.

    Args:
        kind: of history.
        kafka: the brokers' version.
        session_s: after this time the group takes a silent member for dead.
    """
    if kind in cluster.KINDS:
        with Cluster(3, properties=sessions(session_s), version=kafka) as brokers:
            yield Stage(brokers, kafka=kafka, session_s=session_s)
    elif kind in network.KINDS:
        with proxied_broker(kafka, session_s) as (broker, proxy):
            yield Stage(broker, proxy, kafka, session_s)
    else:
        with Broker(properties=sessions(session_s), version=kafka) as broker:
            yield Stage(broker, kafka=kafka, session_s=session_s)


def play(
    on: Stage,
    kind: str,
    seed: int,
    cycles: int,
    rules: Rules | None = None,
    *,
    rate: int = RATE,
    detectors: Sequence[Rule] = SEVERAL,
    make: type[World] = World,
) -> World:
    """One history, from an empty topic to the oracle.

    Raises:
        HistoryError: it has faults; the text says where it was saved.
    """
    if rules is not None and kind == "partitions_added":
        detectors = ()  # by these clocks, neither input nor log says before which window the moved keys were dropped
    settings = group_settings(on.kafka, on.session_s)
    if kind in cluster.KINDS:
        # What is appended stays unreadable until a follower that died is out of the in-sync replicas.
        settings["WINDOW_INGESTION_MARGIN_MS"] = "20000"
    world = make(
        on.broker,
        kind,
        seed,
        cycles,
        settings,
        proxy=on.proxy,
        transactional=kind == "quiet",
        rules=rules,
        kafka=on.kafka,
        rate=rate,
        detectors=detectors,
    )
    with history(world):
        ALL[kind](world)
    return world


@contextmanager
def proxied_broker(kafka: str = KAFKA_VERSION, session_s: float = SESSION_S) -> Iterator[tuple[Broker, Proxy]]:
    """A broker with a second listener that is reached through a proxy."""
    node = Node.alone()
    inner, outer = free_ports(2)
    properties = {
        **sessions(session_s),
        "listeners": (
            f"PLAINTEXT://{ADDRESS}:{node.port},CONTROLLER://{ADDRESS}:{node.controller_port},FAR://{ADDRESS}:{inner}"
        ),
        "advertised.listeners": f"PLAINTEXT://{ADDRESS}:{node.port},FAR://{ADDRESS}:{outer}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,FAR:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
    }
    with Broker(properties=properties, node=node, version=kafka) as broker, Proxy(outer, inner) as proxy:
        yield broker, proxy
