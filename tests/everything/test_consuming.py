"""The Java and TypeScript examples of docs/consuming.md, as the Python one: read with a real client, to the digit."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokerkit.broker import Broker
from brokerkit.download import ensure_jars
from brokerkit.service_process import ROOT, Names
from tests.consuming import read_like, write_alerts
from tools import java, npm_packages

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def written(broker: Broker) -> tuple[Names, list[str]]:
    """The topics, and the lines that are to be printed; all examples read the same alerts."""
    names = Names(lambda name: f"consuming.{name}")
    return names, write_alerts(broker, names)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in which node finds the packages."""
    path = npm_packages.installed().parent / "example"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    yield path
    shutil.rmtree(path)


def test_the_java_example_prints_each_committed_alert_once(broker: Broker, written: tuple[Names, list[str]]) -> None:
    names, expected = written
    jars = ":".join(str(jar) for jar in ensure_jars())
    source = str(EXAMPLES / "Alerts.java")
    command = [java.program(), "-cp", jars, source, broker.bootstrap_servers, names.alerts]
    read_like(command, expected)


def test_the_typescript_example_prints_each_committed_alert_once(
    broker: Broker, written: tuple[Names, list[str]], folder: Path
) -> None:
    names, expected = written
    source = shutil.copy2(EXAMPLES / "alerts.mts", folder)
    options = [
        "--strict",
        "--noUncheckedIndexedAccess",
        "--target",
        "es2022",
        "--module",
        "nodenext",
        "--types",
        "node",
    ]
    compiler = folder.parent / "node_modules" / "typescript" / "bin" / "tsc"
    done = subprocess.run(
        ["node", compiler, *options, source],  # noqa: S607 - node is where it is
        cwd=folder, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")
    read_like(["node", str(folder / "alerts.mjs"), broker.bootstrap_servers, names.alerts], expected)
