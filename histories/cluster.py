"""Histories of a cluster of three that loses a broker which matters."""

import time
from collections.abc import Callable
from typing import Final

from confluent_kafka.admin import AdminClient

from brokerkit.broker import Broker, Cluster
from brokerkit.service_process import wait_until
from histories.world import World


def lost_leader(world: World) -> None:
    """Kill the broker that leads an input partition."""
    lose(world, lambda: leader(world, world.names.transactions, world.dice.randrange(world.partitions)), "leader")


def lost_txn_coordinator(world: World) -> None:
    """Kill the broker that coordinates the service's txns."""
    name = f"{world.names.group}-one"
    lose(world, lambda: coordinator(world, "__transaction_state", name), "txn coordinator")


def lost_group_coordinator(world: World) -> None:
    """Kill the broker that coordinates the group."""
    lose(world, lambda: coordinator(world, "__consumer_offsets", world.names.group), "group coordinator")


def lose(world: World, find: Callable[[], int], what: str) -> None:
    """Kill the broker that `find` names by its id, see the service go on without it, and start it again."""
    if not isinstance(world.broker, Cluster):
        raise TypeError("this history needs a cluster")
    brokers = {broker.node.node_id: broker for broker in world.broker.brokers}
    world.start().wait_for_event("checkpoint", timeout_s=60)
    for _ in range(world.cycles):
        world.pause(1.0)
        broker = brokers[find()]
        world.note(f"SIGKILL broker {broker.node.node_id}, the {what}")
        since_s = time.time()
        broker.kill()
        # What was committed at the moment of the kill says nothing about life without that broker.
        world.recovered(since_s + 1.0, f"the {what} was lost")
        if not world.alive():
            world.start()
        broker.restart()
        in_sync(world, broker, len(brokers))


def in_sync(world: World, broker: Broker, nodes: int) -> None:
    """Wait until every partition has all its copies again, or the next loss would be one too many."""
    broker.wait_until_ready(nodes)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})

    def whole() -> bool:
        topics = admin.list_topics(timeout=10).topics.values()
        return all(len(p.isrs) == len(p.replicas) for topic in topics for p in topic.partitions.values())

    wait_until(whole, 60, every_s=0.2, name="all copies in sync")
    world.note(f"broker {broker.node.node_id} is back")


def leader(world: World, topic: str, partition: int) -> int:
    """The id of the broker that leads a partition."""
    admin = AdminClient({"bootstrap.servers": world.broker.bootstrap_servers})
    return admin.list_topics(topic, timeout=10).topics[topic].partitions[partition].leader


def coordinator(world: World, topic: str, name: str) -> int:
    """The id of the broker that coordinates `name`: the leader of its partition of an internal topic."""
    admin = AdminClient({"bootstrap.servers": world.broker.bootstrap_servers})
    count = len(admin.list_topics(topic, timeout=10).topics[topic].partitions)
    return leader(world, topic, (java_hash(name) & 0x7FFF_FFFF) % count)


def java_hash(text: str) -> int:
    """What Java's String.hashCode gives; Kafka finds a coordinator's partition by it."""
    value = 0
    for character in text:
        value = (31 * value + ord(character)) & 0xFFFF_FFFF
    return value


KINDS: Final[dict[str, Callable[[World], None]]] = {
    kind.__name__: kind for kind in (lost_leader, lost_txn_coordinator, lost_group_coordinator)
}
