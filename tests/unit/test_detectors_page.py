"""docs/detectors.md: every example gives the alerts that it shows, and the package that it shows works."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokerkit.service_process import ROOT
from service.core.detectors import DAY_MS
from service.settings.detectors import TYPES
from service.testing import HandDrivenTask
from service.wire.alerts import AlertPayload
from tests.detectors_page import PAGE, Example, examples, files, install
from tests.driver import T0
from tests.unit.onnx_files import adding, saved

EXAMPLES = examples()
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's package is installed."""
    return install(files(), tmp_path_factory.mktemp("package"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: Path) -> Iterator[Path]:
    """The current folder, with the model's file; the page's package can be imported."""
    saved(tmp_path, adding())
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(installed))
    yield tmp_path
    sys.modules.pop("rising", None)


# ---- examples ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"{n} {one.heading}" for n, one in enumerate(EXAMPLES)])
def test_an_example_gives_the_alerts_that_it_shows(folder: Path, example: Example) -> None:
    task = example.run(folder)
    found = task.alerts + task.shadow_alerts
    assert example.alerts
    assert example.alerts == [
        {name: alert.get(name) for name in shown}
        for shown, alert in zip(example.alerts, found, strict=True)
    ]  # fmt: skip


def test_each_type_has_an_example() -> None:
    of_types = {kind for one in EXAMPLES for kind in re.findall(r'^type = "(.+)"', one.settings, re.MULTILINE)}
    assert {*TYPES, "rising"} == of_types


def test_the_first_alert_shows_all_fields(folder: Path) -> None:
    assert EXAMPLES[0].run(folder).alerts == EXAMPLES[0].alerts


def test_the_shadow_detectors_alerts_are_in_the_shadow_topic(folder: Path) -> None:
    (example,) = (one for one in EXAMPLES if one.heading == "Shadow mode")
    task = example.run(folder)
    assert (["live"], ["trial", "trial"]) == tuple(
        [one["detector"] for one in alerts] for alerts in (task.alerts, task.shadow_alerts)
    )


def test_the_lines_of_txwatch_alerts_are_those_of_the_examples(folder: Path) -> None:
    lines = re.findall(r"^    (Anomaly .+)$", TEXT, re.MULTILINE)
    alerts = [alert for one in EXAMPLES for alert in one.run(folder).alerts]
    texts = [AlertPayload.from_json(json.dumps(alert, default=float).encode()).text() for alert in alerts]
    assert 2 == len(lines)
    assert [] == [line for line in lines if line not in texts]


# ---- the package -------------------------------------------------------------------------------------------------


def python(folder: Path, installed: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a module of Python in a folder that has the page's test of its package."""
    for name, content in files().items():
        (folder / name).write_text(content, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "PYTEST_"))}
    environment["PYTHONPATH"] = f"{installed}{os.pathsep}{ROOT}"
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.mark.slow
def test_the_pages_test_of_its_detector_passes(tmp_path: Path, installed: Path) -> None:
    done = python(tmp_path, installed, "pytest", "-q", "-p", "no:cacheprovider", "test_rising.py")
    assert (0, True) == (done.returncode, "2 passed" in done.stdout), done.stdout + done.stderr


@pytest.mark.slow
def test_the_types_of_the_protocol_fit_the_pages_detector(tmp_path: Path, installed: Path) -> None:
    use = (
        "from rising import Rises, Rising\nfrom service.core.detectors import Detector\n"
        "good: Detector[Rises] = Rising()\nbad: Detector[int] = Rising()\n"
    )
    (tmp_path / "use.py").write_text(use)
    done = python(
        tmp_path, installed, "mypy", "--strict", "--cache-dir", ".cache", "rising.py", "test_rising.py", "use.py"
    )
    assert [4] == [int(one) for one in re.findall(r"^\S+:(\d+): error", done.stdout, re.MULTILINE)], done.stdout
    assert done.stdout.startswith("use.py:4: error: Incompatible types in assignment")


def test_the_page_names_all_that_a_hand_driven_task_has() -> None:
    task = HandDrivenTask(now_ms=T0)
    table = TEXT.partition("| `HandDrivenTask(")[2].partition("\n\n")[0]
    public = [name for name in dir(task) if not name.startswith("_")]
    assert [] == [name for name in public if not re.search(rf"`{name}[`(]", table)]


# ---- when parameters change --------------------------------------------------------------------------------------

LEARNED = [
    (key, T0 + at, amount) for at in range(0, 90_000, 10_000) for key, amount in (("a", 9.0), ("b", at / 10_000))
]


def changed(folder: Path, before: str, after: str) -> tuple[dict[tuple[str, str], int], bool, list[str]]:
    """What a restart with other fields does: states not kept, whether the others are as before, episodes resolved."""
    file = folder / "service.toml"
    start = '[window]\nclock = "event"\n[late]\npolicy = "divert"\n[[detectors]]\n'
    file.write_text(start + before.replace(";", "\n"))
    task = HandDrivenTask(now_ms=T0 + DAY_MS, settings=file)
    task.replay(*LEARNED)
    states, alerts = dict(task.states), len(task.alerts)
    assert states
    file.write_text(start + after.replace(";", "\n"))
    task.restart(settings=file)
    task.commit()
    return dict(task.not_kept), states == task.states, [str(one.get("status")) for one in task.alerts[alerts:]]


HIGH = 'name="x";type="threshold";limit=5;resolve_after=9'
ODD = 'name="x";type="deviation";min_windows=2'
EPISODES = 'name="x";type="deviation";min_windows=2;sigmas=0.1;resolve_after=9'
HALF = f"{ODD};half_life=4"
SILENT = 'name="x";type="inactivity";after_ms=50000'
MODEL = 'name="x";type="model";file="model.onnx";features=["sum","baseline_mean"];limit=1'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (HIGH, f"{HIGH};limits={{a=1}}"),
        (HIGH, HIGH.replace("limit=5", "limit=50")),
        (HIGH, f"{HIGH};direction='below'"),
        (HIGH, HIGH.replace("resolve_after=9", "resolve_after=8")),
        (HIGH, f"{HIGH};mode='shadow'"),
        (ODD, f"{ODD};sigmas=9;direction='both';clip_sigmas=3"),
        (ODD, ODD.replace("min_windows=2", "min_windows=50")),
        (HALF, HALF.replace("half_life=4", "half_life=5")),
        (SILENT, SILENT.replace("after_ms=50000", "after_ms=90000")),
        (MODEL, MODEL.replace("limit=1", "limit=2").replace('"sum"', '"count"')),
    ],
)
def test_states_are_kept(folder: Path, before: str, after: str) -> None:
    assert ({}, True, []) == changed(folder, before, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (ODD, f"{ODD};of='max'"),
        (ODD, HALF),
        (HALF, ODD),
        (ODD, SILENT),
        (SILENT, f"{SILENT};clock='wall'"),
        (SILENT, f"{SILENT};scope='partition'"),
        (ODD, MODEL),
    ],
)
def test_the_detector_begins_without_states(folder: Path, before: str, after: str) -> None:
    not_kept, same, _ = changed(folder, before, after)
    assert ({("x", "changed"): 2}, False) == (not_kept, same)


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (EPISODES, f"{EPISODES};of='max'", "changed"),
        (HIGH, f"{HIGH};of='max'", "changed"),
        (EPISODES, EPISODES.replace('"x"', '"y"'), "removed"),
        (HIGH, HIGH.replace('"x"', '"y"'), "removed"),
    ],
)
def test_open_episodes_of_states_that_are_not_kept_are_resolved(
    folder: Path, before: str, after: str, why: str
) -> None:
    not_kept, _, statuses = changed(folder, before, after)
    assert [("x", why)] == [*not_kept]
    assert statuses
    assert {"resolved"} == {*statuses}


@pytest.mark.parametrize("more", [[], [9.0]])
def test_an_episode_that_was_open_when_its_detector_became_active_ends_in_the_shadow_topic(
    folder: Path, more: list[float]
) -> None:
    file = folder / "service.toml"
    start = '[window]\nclock = "event"\n[late]\npolicy = "divert"\n[[detectors]]\n'
    shadow = f"{start}{HIGH.replace('resolve_after=9', 'resolve_after=2')};mode='shadow'".replace(";", "\n")
    file.write_text(shadow)
    task = HandDrivenTask(now_ms=T0 + DAY_MS, settings=file)
    task.replay(("a", T0, 9.0), ("a", T0 + 11_000, 1.0))
    file.write_text(shadow.replace("mode='shadow'", ""))
    task.restart(settings=file)
    amounts = [*more, 1.0, 1.0, 1.0]
    task.replay(*(("a", T0 + 21_000 + number * 10_000, amount) for number, amount in enumerate(amounts)))
    statuses = [[one["status"] for one in alerts] for alerts in (task.shadow_alerts, task.alerts)]
    assert [["open", "resolved"], []] == statuses


def test_the_example_of_the_readme_is_a_configuration(folder: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    example = readme.partition("    [[detectors]]\n")[2].partition("\n\n")[0]
    (folder / "service.toml").write_text("[[detectors]]\n" + re.sub(r"^ {4}", "", example, flags=re.MULTILINE))
    task = HandDrivenTask(now_ms=T0, settings=folder / "service.toml")
    assert {"unusual": 0} == task.open_episodes
