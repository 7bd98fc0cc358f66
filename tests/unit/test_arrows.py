"""The arrows between the rooms are held: every forbidden one is planted once in a copy of the code, and is named."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from itertools import permutations
from pathlib import Path
from typing import Final

import pytest

from brokerkit.service_process import ROOT

# The table of the rooms, from the outermost to the innermost; the rooms of one row do not know each other.
LEVELS: Final = (
    ("__main__",),
    ("cli", "testing"),
    ("app",),
    ("kafka", "settings"),
    ("loop", "history", "forward"),
    ("observe", "wire"),
    ("core", "process"),
)
LEVEL: Final = {room: number for number, rooms in enumerate(LEVELS) for room in rooms}
# A module of each room that gets the forbidden import, and one that is imported.
IMPORTING: Final = {
    "__main__": "service.__main__",
    "cli": "service.cli.alerts",
    "testing": "service.testing.hand_driven",
    "app": "service.app.clients",
    "kafka": "service.kafka.consumer",
    "settings": "service.settings.model",
    "loop": "service.loop.worker",
    "history": "service.history.timeline.collect",
    "forward": "service.forward.lane",
    "observe": "service.observe.status",
    "wire": "service.wire.names",
    "core": "service.core.window",
    "process": "service.process.limits",
}
IMPORTED: Final = {**IMPORTING, "app": "service.app.bootstrap", "kafka": "service.kafka.producer"}

IMPURE: Final = ("confluent_kafka", "pydantic", "structlog", "prometheus_client", "time", "datetime", "threading", "os")
PLANTED: Final = {
    "rooms": [
        *((IMPORTING[a], IMPORTED[b]) for a, b in permutations(LEVEL, 2) if LEVEL[a] >= LEVEL[b]),
        ("service.observe.http", "service.app.bootstrap"),
    ],
    "core": [("service.core.money", name) for name in IMPURE],
    "client": [
        (f"service.{name}", "confluent_kafka")
        for name in (
            "loop.ports",
            "history.records",
            "observe.log",
            "wire.alerts",
            "core.rules",
            "settings.read",
            "testing.hand_driven",
        )
    ],
    "settings": [("service.settings.shown", f"service.{n}") for n in ("loop.errors", "history.records", "observe.log")],
    "replay": [("producer.replay", "confluent_kafka"), ("producer.reading.csv_rows", "confluent_kafka")],
    "producer": [("producer.encode", IMPORTED[room]) for room in LEVEL if room not in {"wire", "core", "process"}],
    "service": [
        ("service.wire.records", "producer.session"),
        ("service.history.csv_windows", "producer.reading.rows"),
        ("service.cli.train", "producer.session"),
    ],
    "reading": [("producer.reading.rows", name) for name in ("confluent_kafka", "click", "service", "producer.report")],
    "within_reading": [("producer.reading.amounts", "producer.reading.source")],
}

# The packages around the two programs, and what each one must not import.
AROUND: Final = {
    "service": {"brokerkit", "histories", "tools", "bench", "tests"},
    "producer": {"brokerkit", "histories", "tools", "bench", "tests"},
    "brokerkit": {"histories", "tools", "bench", "tests"},
    "histories": {"tools", "bench", "tests"},
    "tools": {"histories", "tests"},
    "bench": {"tests"},
}


def imported_by(package: Path) -> set[tuple[str, str]]:
    """Each file of a package, and the package that it imports; a module that is named in a text counts, too."""
    found = set()
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Import(names=names):
                    modules = [name.name for name in names]
                case ast.ImportFrom(module=str(module)):
                    modules = [module]
                case ast.Constant(value=str(text)) if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", text):
                    modules = [text]
                case _:
                    modules = []
            found |= {(file.name, module.partition(".")[0]) for module in modules}
    return found


def lint(tree: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What lint-imports says of a tree."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", *options]
    environment = {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_CONFIG"}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the code and its contracts."""
    for package in ("service", "producer"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize("contract", PLANTED)
def test_every_forbidden_arrow_is_named(copy: Path, contract: str) -> None:
    planted = []
    for importer, imported in PLANTED[contract]:
        path = copy / f"{importer.replace('.', '/')}.py"
        with path.open("a", encoding="utf-8") as file:
            file.write(f"import {imported}\n")
        planted.append(f"{importer} -> {imported} (l.{len(path.read_text(encoding='utf-8').splitlines())})")
    done = lint(copy, "--contract", contract)
    assert done.returncode == 1
    assert [arrow for arrow in planted if arrow not in done.stdout] == []


def test_every_contract_is_tried(copy: Path) -> None:
    contracts = tomllib.loads((copy / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    assert [*PLANTED] == [contract["id"] for contract in contracts]


def test_a_module_in_no_room_is_named(copy: Path) -> None:
    (copy / "service" / "stray.py").write_text('"""In no room."""\n', encoding="utf-8")
    done = lint(copy)
    assert done.returncode == 1
    assert "stray" in done.stdout


def test_nothing_is_planted_in_the_code_itself(copy: Path) -> None:
    done = lint(copy)
    assert (done.returncode, " 0 broken." in done.stdout) == (0, True)


@pytest.mark.parametrize("package", AROUND)
def test_a_package_around_the_programs_imports_only_what_it_may(package: str) -> None:
    found = imported_by(ROOT / package)
    assert found, "the package has moved"
    assert {(file, name) for file, name in found if name in AROUND[package]} == set()


@pytest.mark.parametrize("line", ["import tests.oracle", "from tests import oracle", 'MODULE = "tests.asker"'])
def test_an_import_of_the_tests_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "one.py").write_text(f"import sys\n\ndef f():\n    {line}\n", encoding="utf-8")
    assert imported_by(tmp_path) == {("one.py", "sys"), ("one.py", "tests")}


def test_the_seam_of_the_loop_loads_no_client() -> None:
    code = "import service.loop.ports, service.loop.worker, sys; print([n for n in sys.modules if 'confluent' in n])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
