"""The figure of peers: the same backlog, the same job, exactly once, whole processes with their start."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.drain import cpu_s
from bench.report import Figure
from bench.stand import Stand
from brokerkit.client import committed
from brokerkit.processes import peak_mib
from brokerkit.service_process import ROOT

HOME = ROOT / ".bench"
SOURCE = ROOT / "bench" / "peers"
COLUMNS = [
    ("cpu", "CPU-s a million, start included", ".1f"),
    ("rate", "records/s until all is committed", ",.0f"),
    ("mib", "greatest resident size, MiB", ".0f"),
    ("times", "CPU ÷ bare loop's", ".1f"),
]
PATIENCE_S = 300


def peers(stand: Stand) -> Figure:
    """The bare loop, txwatch, and each peer that can be had here."""
    note = (
        "4 partitions, 1,000 keys, 90 B, window of 10 s (Quix Streams: of event time). Until all is committed: txwatch"
        " commits at the window's end, the peers each second. A peer that is missing could not be installed."
    )
    figure = Figure("peers", "Peers at the same job", COLUMNS, note)
    records = stand.records(1_000_000)
    topic = stand.topic(records, size=90)
    commands: dict[str, Callable[[], list[str] | None]] = {
        "bare loop": lambda: [sys.executable, "-m", "bench.floor", str(records)],
        "txwatch": lambda: [sys.executable, "-m", "service"],
        "Kafka Streams": kafka_streams,
        "Quix Streams": quix,
    }
    ready = {}
    for name, prepare in commands.items():
        stand.say(f"preparing {name}")
        if (command := prepare()) is not None:
            ready[name] = command
    for number in range(min(stand.rounds, 3)):
        floor_cpu = 0.0
        for name, command in ready.items():
            stand.say(f"{name}: round {number + 1}")
            found = _run(stand, topic, records, command, waits=name != "bare loop")
            floor_cpu = floor_cpu or found["cpu"]
            figure.row(name).add(**found, times=found["cpu"] / floor_cpu)
    return figure


def _run(stand: Stand, topic: str, records: int, command: list[str], *, waits: bool) -> dict[str, float]:
    run = stand.new("peer")
    state = HOME / "state" / run
    env = {**stand.outputs(topic, run), "BENCH_STATE": str(state)}
    began_s = time.monotonic()
    with (
        (HOME / "peer.log").open("w") as log,
        subprocess.Popen(command, env=env, cwd=ROOT, stdout=log, stderr=log) as process,
    ):
        used_s = mib = 0.0
        deadline_s = began_s + PATIENCE_S
        while process.poll() is None and time.monotonic() < deadline_s:
            with contextlib.suppress(OSError, StopIteration, IndexError):
                used_s, mib = cpu_s(process.pid), peak_mib(process.pid)
            if waits and _committed(stand, env["KAFKA_GROUP_ID"], topic) >= records:
                break
            time.sleep(0.2)
        wall_s = time.monotonic() - began_s
        done = records if not waits else _committed(stand, env["KAFKA_GROUP_ID"], topic)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
    shutil.rmtree(state, ignore_errors=True)
    done = max(1, min(done, records))
    return {"cpu": used_s / done * 1e6, "rate": done / wall_s, "mib": mib}


def _committed(stand: Stand, group: str, topic: str) -> int:
    return sum(max(0, one.offset) for one in committed(stand.broker, group, topic))


def quix() -> list[str] | None:
    """Its own environment below .bench/, made once."""
    python = HOME / "quix" / "bin" / "python"
    if not python.exists() and not (
        _works([sys.executable, "-m", "venv", str(HOME / "quix")])
        and _works([str(python), "-m", "pip", "install", "--quiet", "quixstreams"])
    ):
        return None
    return [str(python), str(SOURCE / "quix_job.py")]


def kafka_streams() -> list[str] | None:
    """Built once by Maven, where that and a Java are at hand."""
    jar = HOME / "kafka-streams" / "job.jar"
    if not jar.exists() and not _works(["mvn", "-q", "-B", "-f", str(SOURCE / "kafka-streams" / "pom.xml"), "package"]):
        return None
    java = shutil.which("java")
    return (java and [java, "-Xmx512m", "-cp", f"{jar}:{jar.parent / 'lib'}/*", "txwatch.Job"]) or None


def _works(command: list[str]) -> bool:
    HOME.mkdir(exist_ok=True)
    if not (Path(command[0]).exists() or shutil.which(command[0])):
        return False
    with (HOME / "install.log").open("a") as log:
        return subprocess.run(command, stdout=log, stderr=log, check=False).returncode == 0
