"""The launcher of the real broker, which all tests with Kafka use."""

import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from brokerkit.broker import Broker
from brokerkit.client import Rec, create_topics, produce, read_all, wait_for_topic
from brokerkit.download import Advance, download, ensure_jars
from brokerkit.files import ADDRESS, RunFolder
from brokerkit.jars import HOME, ROOT, BrokerError, Jar

JAR = Jar("org.example", "example", "1.0", 5, hashlib.sha256(b"right").hexdigest())


def test_what_is_written_is_read_back(broker: Broker, unique: Callable[[str], str]) -> None:
    topic = unique("topic")
    create_topics(broker, topic, partitions=2)

    produce(broker, topic, [Rec("a", "1", partition=0), ("b", "2", [("h", b"x")], 1)])

    read = [(m.key(), m.value(), m.headers(), m.partition(), m.offset()) for m in read_all(broker, topic)]
    assert read == [(b"a", b"1", None, 0, 0), (b"b", b"2", [("h", b"x")], 1, 0)]


def test_one_broker_lives_through_everything_that_tests_do_to_it() -> None:
    with Broker(properties={"num.partitions": 3}) as broker:
        address = broker.bootstrap_servers
        create_topics(broker, "kept", partitions=-1)  # as the broker's settings say
        wait_for_topic(broker, "kept", partitions=3)
        produce(broker, "kept", [("k", str(i)) for i in range(100)])

        broker.kill()
        assert not broker.alive()
        broker.restart()
        assert broker.bootstrap_servers == address
        assert len(read_all(broker, "kept")) == 100

        broker.pause()
        with pytest.raises(KafkaException):
            AdminClient({"bootstrap.servers": address}).list_topics(timeout=1)
        broker.resume()
        assert len(read_all(broker, "kept")) == 100

        broker.restart()  # a clean stop this time
        assert len(read_all(broker, "kept")) == 100
        folder = broker.log_file.parent
    assert not broker.alive()
    assert not folder.exists()


def test_a_taken_port_is_one_clear_line() -> None:
    with socket.socket() as other:
        other.bind((ADDRESS, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(BrokerError) as caught:
            Broker(port=port).start()
    assert str(caught.value) == f"port {port} on 127.0.0.1 is taken by another program; choose another one"


def test_a_start_that_fails_says_why_and_where_the_log_is() -> None:
    with pytest.raises(BrokerError, match=r"^the broker did not start: .*ConfigException.*broker-failed\.log\)$"):
        Broker(properties={"num.io.threads": 0}).start()


def test_a_broker_dies_with_the_process_that_started_it() -> None:
    script = "import time; from brokerkit.broker import Broker; print(Broker().start().pid, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.kill()
    deadline = time.monotonic() + 10
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(pid)


def test_what_a_dead_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    script = "import sys; from pathlib import Path; from brokerkit.files import RunFolder; RunFolder(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, check=True)
    mine = RunFolder(tmp_path)
    another = RunFolder(tmp_path)
    assert set((tmp_path / "run").iterdir()) == {mine.path, another.path}
    mine.remove()
    another.remove()
    assert list((tmp_path / "run").iterdir()) == []


def test_a_jar_of_other_content_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"^could not download example-1\.0\.jar: its SHA-256 is .*the lock file"):
        download([JAR], tmp_path / "libs", _fetch(b"wrong"), pause_s=0)
    assert list(tmp_path.rglob("*.jar")) == []


def test_a_jar_of_the_locked_content_is_kept_and_nothing_else(tmp_path: Path) -> None:
    download([JAR], tmp_path / "libs", _fetch(b"right"))
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()] == [
        Path("libs", "example-1.0.jar")
    ]


def test_a_network_that_fails_is_one_clear_line(tmp_path: Path) -> None:
    def fetch(_jar: Jar, _folder: Path, _advance: Advance) -> Path:
        raise ConnectionError("no route")

    with pytest.raises(BrokerError, match=r"^could not download example-1\.0\.jar: no route$"):
        download([JAR], tmp_path / "libs", fetch, pause_s=0)


@pytest.mark.usefixtures("broker")
def test_the_second_start_asks_no_network() -> None:
    def fetch(jar: Jar, _folder: Path, _advance: Advance) -> Path:
        raise AssertionError(jar)

    assert all(path.is_relative_to(HOME) for path in ensure_jars(fetch=fetch))


def _fetch(content: bytes) -> Callable[[Jar, Path, Advance], Path]:
    def fetch(jar: Jar, folder: Path, advance: Advance) -> Path:
        folder.mkdir()
        path = folder / jar.filename
        path.write_bytes(content)
        advance(len(content))
        return path

    return fetch


def _runs(pid: int) -> bool:
    """Whether a process runs. A zombie, which has ended and waits for its parent, does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
