"""What a version of Kafka needs once, before its first start."""

import subprocess
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from brokerkit.download import ensure_jars
from brokerkit.files import JVM_FLAGS, Kafka, Node, java_environment, kafka_uuid, temporary_folder, write_properties
from brokerkit.jars import HOME, KAFKA_VERSION, BrokerError, one_at_a_time

KEPT_CACHES: Final = 2
_TIMEOUT_S: Final = 30.0


def install(version: str = KAFKA_VERSION, home: Path = HOME) -> Kafka:
    """Downloads the jars and makes the checkpoint, where they are missing.

    Raises:
        BrokerError: a jar cannot be downloaded, or Kafka cannot format a directory.
        OSError: the folder cannot be written.
    """
    kafka = Kafka(version, home / f"kafka-{version}", tuple(ensure_jars(version, home)))
    if not kafka.checkpoint.exists():
        with one_at_a_time("prepare.lock", home):
            _format(kafka)
    return kafka


def _format(kafka: Kafka) -> None:
    """Lets Kafka format a directory, and keeps the checkpoint, which is the same for each cluster and node."""
    with temporary_folder(kafka.home) as folder:
        write_properties(folder, Node.alone().properties())
        arguments = ("kafka.tools.StorageTool", "format", "-t", kafka_uuid(), "-c", "server.properties")
        done = subprocess.run(
            kafka.command(folder, JVM_FLAGS, *arguments),
            cwd=folder,
            env=java_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr or done.stdout).strip().rpartition("\n")[2]
            raise BrokerError(f"Kafka could not format a data directory: {last}")
        (folder / "data" / "bootstrap.checkpoint").replace(kafka.checkpoint)


def keep_aot_cache(kafka: Kafka, output: Path) -> None:
    """Moves a new cache to its place. If Java wrote none, an empty file stands there, and starts are only slower."""
    output.touch()
    for old in sorted(kafka.home.glob("java-*.aot"), key=lambda path: path.stat().st_mtime)[:-KEPT_CACHES]:
        old.unlink()
    output.replace(kafka.aot_cache)
    for left_over in kafka.home.glob("java-*.new*"):
        left_over.unlink()


def exercise(bootstrap_servers: str, protocol: str) -> None:
    """Uses a broker as the service does, so that the cache also holds the classes for txns and groups.

    Args:
        bootstrap_servers: HOST:PORT.
        protocol: the group protocol, ``consumer`` or ``classic``.
    """
    common: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap_servers, "log_level": 0}
    admin = AdminClient(common)
    admin.create_topics([NewTopic("training", num_partitions=1)])["training"].result(_TIMEOUT_S)
    producer = Producer(common | {"transactional.id": "training"})
    producer.init_transactions(_TIMEOUT_S)
    consumer = Consumer(common | {"group.id": "training", "group.protocol": protocol, "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe(["training"])
        producer.begin_transaction()
        producer.produce("training", b"value", b"key")
        producer.commit_transaction(_TIMEOUT_S)
        consumer.consume(1, _TIMEOUT_S)
        producer.begin_transaction()
        producer.send_offsets_to_transaction([TopicPartition("training", 0, 1)], consumer.consumer_group_metadata())
        producer.commit_transaction(_TIMEOUT_S)
    finally:
        consumer.close()
