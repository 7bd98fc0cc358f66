"""The lock file of Kafka's jars, and the tool that writes it."""

# ruff: noqa: SIM300 - expected == actual

import hashlib
import threading
from pathlib import Path

import pytest

from brokerkit.download import Advance, download
from brokerkit.jars import LOCK_FILE, Jar, group_protocol, locked_jars, locked_versions
from tools.lock_kafka import LockError, merged, parse

SHA256 = hashlib.sha256(b"right").hexdigest()
YAMMER, DROPWIZARD = (Jar(group, "metrics-core", v, 5, SHA256) for group, v in (("com.y", "2.2.0"), ("io.d", "4.1.12")))


def test_the_locked_versions_come_in_their_own_order(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text("# about\n4.10.0 a:b:1 5 x\n4.2.1 a:b:1 5 x\n4.2.1 a:c:1 5 x\n3.9.1 a:b:1 5 x\n\n")
    assert ["3.9.1", "4.2.1", "4.10.0"] == locked_versions(lock)


@pytest.mark.parametrize("version", locked_versions())
def test_a_locked_version_is_whole_and_no_two_jars_share_a_file(version: str) -> None:
    jars = locked_jars(version)
    assert {"kafka_2.13", "kafka-clients", "scala-library"} <= {jar.artifact for jar in jars}
    assert len(jars) == len({jar.filename for jar in jars})
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in jars)


def test_the_lock_names_no_address() -> None:
    assert "://" not in LOCK_FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize(("version", "protocol"), [("3.7.2", "classic"), ("4.0.0", "consumer"), ("10.1.0", "consumer")])
def test_the_group_protocol_of_kip_848_is_there_since_4_0(version: str, protocol: str) -> None:
    assert protocol == group_protocol(version)


def test_jars_of_one_name_from_two_groups_do_not_disturb_each_other(tmp_path: Path) -> None:
    both_have_begun = threading.Barrier(2, timeout=20)

    def fetch(jar: Jar, folder: Path, advance: Advance) -> Path:
        if jar == DROPWIZARD:
            both_have_begun.wait()
        folder.mkdir(exist_ok=True)
        path = folder / jar.filename
        path.write_bytes(b"right")
        if jar == YAMMER:
            both_have_begun.wait()
            threading.Event().wait(0.1)
        advance(5)
        return path

    download([YAMMER, DROPWIZARD], tmp_path / "libs", fetch, pause_s=0)
    assert {YAMMER.filename, DROPWIZARD.filename} == {path.name for path in (tmp_path / "libs").iterdir()}


def test_what_maven_lists_is_read_and_measured(tmp_path: Path) -> None:
    file = tmp_path / "scala-library-2.13.17.jar"
    file.write_bytes(b"right")
    listed = (
        "\nThe following files have been resolved:\n"
        f"   org.scala-lang:scala-library:jar:2.13.17:compile:{file}\x1b[36m -- module scala\x1b[0;1m [auto]\x1b[m\n"
        f"   org.slf4j:slf4j-api:jar:1.7.36:runtime:{file}\n\n"
    )
    assert [
        Jar("org.scala-lang", "scala-library", "2.13.17", 5, SHA256),
        Jar("org.slf4j", "slf4j-api", "1.7.36", 5, SHA256),
    ] == parse(listed)


@pytest.mark.parametrize("line", ["", "   io.netty:epoll:jar:linux-x86_64:4.1:runtime:/x/epoll-4.1-linux-x86_64.jar\n"])
def test_a_jar_that_would_be_missing_stops_the_lock(line: str) -> None:
    with pytest.raises(LockError, match="are understood"):
        parse(f"The following files have been resolved:\n{line}")


def test_only_the_lines_of_the_version_are_replaced() -> None:
    lock = "# about\n3.9.1 a:b:1 5 x\n4.2.1 a:z:1 5 x\n4.2.1 c:d:1 5 x\n4.2.10 a:b:1 5 x\n4.10.0 a:b:1 5 x\n"
    new = [Jar("b", "c", "2", 7, "y"), Jar("a", "b", "2", 6, "y")]
    expected = "# about\n3.9.1 a:b:1 5 x\n4.2.1 a:b:2 6 y\n4.2.1 b:c:2 7 y\n4.2.10 a:b:1 5 x\n4.10.0 a:b:1 5 x\n"
    assert expected == merged(lock, "4.2.1", new)
