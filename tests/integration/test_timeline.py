"""The timeline command on a real broker."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from brokerkit.broker import Broker
from brokerkit.client import produce
from brokerkit.service_process import ROOT, Names, payloads, running, transaction, wait_until

NOW_MS = 1_715_392_800_000


def timeline(broker: Broker, names: Names, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run it."""
    return subprocess.run(
        [sys.executable, "-m", "service", "timeline", *arguments],
        cwd=ROOT,
        env={**os.environ, **names.environment(), "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, **more},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_records_and_their_windows_are_drawn(broker: Broker, unique: Callable[[str], str], tmp_path: Path) -> None:
    names = Names(unique)
    output = tmp_path / "timeline.svg"
    with running(broker, names) as service:
        service.wait_ready(4)
        produce(broker, names.transactions, [transaction(f"tx{n}", NOW_MS + n, 4_500 * n) for n in range(3)])
        wait_until(lambda: len(payloads(broker, names.aggregates)) == 3)
        assert service.stop() == 0
    done = timeline(broker, names, "--output", str(output))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{output}: 3 transactions, 3 windows\n"
    assert output.read_text().count("<path") > 10
    there = ["--bootstrap-servers", broker.bootstrap_servers]
    again = timeline(broker, names, "--output", str(output), *there, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert (again.returncode, again.stdout) == (0, done.stdout)
    empty = timeline(broker, names, "--to", "2001-01-01", "--output", str(output))
    assert (empty.returncode, empty.stderr) == (
        1,
        f"txwatch: topic {names.transactions} has no transactions in that span\n",
    )


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--output", "x.svg"], 1, ["Unknown topic or partition"]),
        (["--from", "yesterday", "--output", "x.svg"], 2, ["--from", "yesterday"]),
        ([], 2, ["--output"]),
        (["--output", "x.xyz"], 2, ["--output x.xyz", ".svg"]),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    broker: Broker, unique: Callable[[str], str], arguments: list[str], code: int, words: list[str]
) -> None:
    done = timeline(broker, Names(unique), *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert all(word in done.stderr for word in words)


def test_without_matplotlib_it_says_what_to_install(
    broker: Broker, unique: Callable[[str], str], tmp_path: Path
) -> None:
    (tmp_path / "matplotlib.py").write_text("raise ImportError")
    done = timeline(broker, Names(unique), "--output", "x.svg", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == "txwatch: timeline needs matplotlib: pip install 'txwatch[timeline]'\n"
