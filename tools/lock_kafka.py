"""Adds versions of Kafka to brokerkit/kafka-jars.lock, or writes their lines again.

    .venv/bin/python -m tools.lock_kafka VERSION ...

Maven resolves the jars that this release of Kafka itself depends on (`mvn dependency:list` for its artifact kafka_2.13)
and downloads them; the lock gets the sizes and SHA-256 of these files. Needs `mvn`, which running a broker does not.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from brokerkit.jars import LOCK_FILE, Jar, major, sha256_of
from tools.command import say

# Kafka's published dependencies name no back end for its log. Before 4.0 the release brings reload4j, which is silent
# without a file of its own; slf4j-simple writes to standard error at once.
_LOG_SIMPLE: Final = ("org.slf4j", "slf4j-simple", "1.7.36")
_LOG_LOG4J: Final = ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.2")
_POM: Final = """<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion>
<groupId>txwatch</groupId><artifactId>kafka-jars</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>{dependencies}</dependencies>
</project>
"""
_RESOLVED: Final = re.compile(
    r"^ +([^:\s]+):([^:\s]+):jar:([^:\s]+):(?:compile|runtime):(.+?\.jar)(?: -- module .*)?$", re.MULTILINE
)
"""A line of `mvn dependency:list`: group, artifact, version, file. A jar with a classifier has one part more."""
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


class LockError(Exception):
    """The jars can't be resolved; the text is one line for a person."""


def resolve(version: str) -> list[Jar]:
    """Asks Maven for the jars of one version of Kafka, and downloads them.

    Raises:
        LockError: Maven is missing or failed.
    """
    log = _LOG_LOG4J if major(version) >= 4 else _LOG_SIMPLE  # noqa: PLR2004 - the release that brought log4j 2
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "list.txt")
        # The log's back end comes first: where both name a jar at the same depth, Maven takes the first one's version.
        Path(folder, "pom.xml").write_text(
            _POM.format(dependencies="".join(map(_dependency, (log, ("org.apache.kafka", "kafka_2.13", version))))),
            encoding="utf-8",
        )
        command = ["mvn", "-q", "-B", "dependency:list", "-DincludeScope=runtime", f"-DoutputFile={listed}"]
        try:
            done = subprocess.run(
                [*command, "-DoutputAbsoluteArtifactFilename=true"],
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
        except OSError as error:
            raise LockError(f"mvn can't be run: {error.strerror}") from error
        if done.returncode:
            errors = [line for line in _COLOUR.sub("", done.stdout).splitlines() if line.startswith("[ERROR]")]
            raise LockError(f"Maven could not resolve Kafka {version}: {(errors or [done.stdout])[0].strip()}")
        return parse(listed.read_text(encoding="utf-8"))


def _dependency(coordinate: tuple[str, str, str]) -> str:
    tags = zip(("groupId", "artifactId", "version"), coordinate, strict=True)
    return f"<dependency>{''.join(f'<{tag}>{value}</{tag}>' for tag, value in tags)}</dependency>"


def parse(listed: str) -> list[Jar]:
    """Reads what `mvn dependency:list` printed, and measures the files that it names.

    Raises:
        LockError: a line is not understood, so that a jar would be missing.
    """
    text = _COLOUR.sub("", listed)
    found = [
        Jar(group, artifact, version, Path(file).stat().st_size, sha256_of(Path(file)))
        for group, artifact, version, file in _RESOLVED.findall(text)
    ]
    if len(found) != (expected := sum(".jar" in line for line in text.splitlines())) or not found:
        raise LockError(f"{len(found)} of the {expected} jars that Maven lists are understood")
    return found


def merged(lock: str, version: str, jars: Iterable[Jar]) -> str:
    """The lock file's text with the lines of one version replaced, versions and coordinates in order."""
    lines = lock.splitlines()
    head = [line for line in lines if line.startswith("#")]
    kept = [line for line in lines if line.strip() and not line.startswith(("#", f"{version} "))]
    new = [f"{version} {jar.group}:{jar.artifact}:{jar.version} {jar.size} {jar.sha256}" for jar in jars]
    return "\n".join([*head, *sorted([*kept, *new], key=_place)]) + "\n"


def _place(line: str) -> tuple[list[int], str]:
    version, coordinate, *_ = line.split()
    return [int(part) for part in version.split(".")], coordinate


def main(arguments: Sequence[str]) -> int:
    """Writes the lock file; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.lock_kafka", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("versions", nargs="+", metavar="VERSION", help="for example 4.2.1")
    for version in parser.parse_args(arguments).versions:
        try:
            jars = resolve(version)
        except LockError as error:
            say(f"tools.lock_kafka: {error}")
            return 1
        LOCK_FILE.write_text(merged(LOCK_FILE.read_text(encoding="utf-8"), version, jars), encoding="utf-8")
        say(f"Kafka {version}: {len(jars)} jars, {sum(jar.size for jar in jars) / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
