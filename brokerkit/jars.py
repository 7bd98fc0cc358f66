"""The versions of Apache Kafka and their jars, as brokerkit/kafka-jars.lock names them."""

import contextlib
import fcntl
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
HOME: Final = ROOT / ".broker"
LOCK_FILE: Final = Path(__file__).with_name("kafka-jars.lock")
KAFKA_VERSION: Final = "4.2.1"


class BrokerError(Exception):
    """The broker cannot be downloaded, started or reached. The text is one line for people."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock file."""

    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def filename(self) -> str:
        """The file's name in every Maven repository."""
        return f"{self.artifact}-{self.version}.jar"


def locked_jars(kafka_version: str = KAFKA_VERSION, lock_file: Path = LOCK_FILE) -> list[Jar]:
    """Returns the jars of one Kafka version in the lock file."""
    jars = []
    for line in lock_file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        kafka, coordinate, size, sha256 = line.split()
        if kafka == kafka_version:
            group, artifact, version = coordinate.split(":")
            jars.append(Jar(group, artifact, version, int(size), sha256))
    if not jars:
        raise BrokerError(f"{lock_file.name} has no jars of Kafka {kafka_version}")
    return jars


def locked_versions(lock_file: Path = LOCK_FILE) -> list[str]:
    """Returns the Kafka versions in the lock file, the oldest first."""
    lines = lock_file.read_text(encoding="utf-8").splitlines()
    found = {line.split()[0] for line in lines if line.strip() and not line.startswith("#")}
    return sorted(found, key=lambda version: [int(part) for part in version.split(".")])


def major(kafka_version: str) -> int:
    """Returns the first number of a version."""
    return int(kafka_version.partition(".")[0])


def group_protocol(kafka_version: str) -> str:
    """Returns the newest group protocol that its brokers offer by default: since 4.0 that of KIP-848."""
    return "consumer" if major(kafka_version) >= 4 else "classic"


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def one_at_a_time(name: str, home: Path = HOME) -> Iterator[None]:
    """Holds an exclusive lock between processes. If the holder dies, the lock is released."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def say(text: str) -> None:
    """Prints a line for people, on standard error. Standard output is for results."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
