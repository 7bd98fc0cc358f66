"""Several runs of pytest share a suite: each test runs once, and no run is idle while a file is left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from brokerkit.service_process import ROOT

pytestmark = pytest.mark.slow

MODULE = """
import os, pathlib, time, pytest

pathlib.Path(f"started-{os.getpid()}").touch()

@pytest.fixture(scope="module", autouse=True)
def resource():
    while len(list(pathlib.Path().glob("started-*"))) < int(os.environ["RUNS"]):
        time.sleep(0.02)
    note("opened")
    yield
    note("closed")

def note(what):
    with pathlib.Path("ran").open("a") as file:
        file.write(f"{pathlib.Path(__file__).stem} {what} {os.getpid()}\\n")

@pytest.mark.parametrize("number", range(3))
def test_it(number):
    note(number)
    time.sleep(0.05)
    assert number < 2 or "bad" not in __file__
"""

SHARED = """
import pytest

@pytest.fixture(scope="session", autouse=True, params=[1, 2])
def shared(request):
    return request.param
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Five files; one has a test that fails."""
    for name in ("a", "b", "bad", "c", "d"):
        (tmp_path / f"test_{name}.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "claims").mkdir()
    return tmp_path


def run(suite: Path, *arguments: str, of: int = 1) -> subprocess.Popen[str]:
    """One of so many runs; none begins its first test before all have collected theirs."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tools.lanes", "--claims", "claims", "--rootdir", "."]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RUNS": str(of)}
    return subprocess.Popen([*command, *arguments], cwd=suite, env=environment, stdout=subprocess.PIPE, text=True)


def ran(suite: Path) -> list[list[str]]:
    """File, what it noted, and the process, in the order of time."""
    return [line.split() for line in (suite / "ran").read_text(encoding="utf-8").splitlines()]


def test_each_test_runs_once_and_its_file_in_one_run(suite: Path) -> None:
    with run(suite, of=2) as one, run(suite, of=2) as other:
        said = [each.communicate(timeout=60)[0] for each in (one, other)]
    assert sorted([one.returncode, other.returncode]) == [0, 1], said
    assert sum(text.count("1 failed") for text in said) == 1
    files = {file: [(what, process) for name, what, process in ran(suite) if name == file] for file, *_ in ran(suite)}
    assert len(files) == 5
    for noted in files.values():
        assert [what for what, _ in noted] == ["opened", "0", "1", "2", "closed"]
        assert len({process for _, process in noted}) == 1
    assert len({process for noted in files.values() for _, process in noted}) == 2, "one run had all of them"


def test_a_file_that_another_run_has_claimed_is_left_to_it(suite: Path) -> None:
    (suite / "claims" / "test_bad.py.claimed").touch()
    with run(suite) as only:
        assert "12 passed" in only.communicate(timeout=60)[0]
    assert only.returncode == 0
    assert "test_bad" not in {file for file, *_ in ran(suite)}


def test_a_run_from_the_end_takes_the_last_file_first_and_leaves_its_tests_in_order(suite: Path) -> None:
    (suite / "test_bad.py").unlink()
    with run(suite, "--from-the-end") as only:
        assert "12 passed" in only.communicate(timeout=60)[0]
    noted = ("opened", "0", "1", "2", "closed")
    assert [(file, what) for file, what, _ in ran(suite)] == [
        (f"test_{name}", what) for name in "dcba" for what in noted
    ]


def test_a_stop_at_the_first_failure_holds_here_too(suite: Path) -> None:
    with run(suite, "-x") as only:
        assert "1 failed, 8 passed" in only.communicate(timeout=60)[0]
    assert only.returncode == 1
    assert {"test_c", "test_d"} & {file for file, *_ in ran(suite)} == set()


def test_a_file_that_cannot_be_collected_fails_the_run(suite: Path) -> None:
    (suite / "test_broken.py").write_text("import no_such_module\n", encoding="utf-8")
    with run(suite) as only:
        only.communicate(timeout=60)
    assert only.returncode not in {0, 5}
    assert not (suite / "ran").exists()


def test_files_that_pytest_mixes_lose_no_test(suite: Path) -> None:
    (suite / "conftest.py").write_text(SHARED, encoding="utf-8")
    with run(suite) as whole:
        whole.communicate(timeout=60)
    done = [file for file, what, _ in ran(suite) if what in {"0", "1", "2"}]
    assert [done.count(f"test_{name}") for name in ("a", "b", "bad", "c", "d")] == [6] * 5
