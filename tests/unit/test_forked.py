"""A process that was forked is as one of its own: streams, exit code, environment, folder; and none knows another."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests import forked
from tests.forked import Forked

MODULE = """
import os, pathlib, sys, time

match sys.argv[1:]:
    case ["show"]:
        given = os.environ.get("GIVEN"), os.environ.get("SERVERS")
        shown = *given, str(pathlib.Path.cwd()), __name__, sys.stdin.isatty()
        print(*shown, "first" if "seen" not in os.environ else "second")
        os.environ["seen"] = "yes"
        print(sys.stdin.read(), file=sys.stderr)
        sys.exit(3)
    case ["die"]:
        os.kill(os.getpid(), 9)
    case ["fail"]:
        raise ValueError("as it was meant")
    case ["hang"]:
        time.sleep(60)
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Forked:
    """A program of this file."""
    folder = tmp_path_factory.mktemp("program")
    (folder / "forked_program.py").write_text(MODULE, encoding="utf-8")
    path = os.pathsep.join([str(folder), str(forked.ROOT)])
    return Forked("forked_program", "json.tool", {**os.environ, "PYTHONPATH": path, "SERVERS": "own"})


def run(program: Forked, *arguments: str, folder: Path = forked.ROOT, data: bytes = b"", **variables: str) -> str:
    inherited = {name: value for name, value in program.environment.items() if name != "SERVERS"}
    ended = program.run(arguments, {**inherited, **variables}, folder, data)
    return f"{ended.code} {ended.out.decode()}{ended.err.decode()}"


def test_each_run_has_its_own_streams_folder_environment_and_exit_code(program: Forked, tmp_path: Path) -> None:
    assert (
        run(program, "show", folder=tmp_path, data=b"in", GIVEN="it")
        == f"3 it None {tmp_path} __main__ False first\nin\n"
    )
    assert (
        run(program, "show", data=b"x" * 300_000)
        == f"3 None None {forked.ROOT} __main__ False first\n{'x' * 300_000}\n"
    )
    assert run(program, "nothing", data=b"x" * 300_000) == "0 ", "it need not read"


def test_a_signal_and_an_error_end_it_as_they_end_any_process(program: Forked) -> None:
    assert run(program, "die") == "-9 "
    ended = run(program, "fail")
    assert ended.startswith("1 Traceback")
    assert ended.endswith("ValueError: as it was meant\n")


def test_a_run_that_hangs_is_killed_and_the_next_one_is_not_disturbed(
    program: Forked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forked, "TIMEOUT_S", 0.5)
    with pytest.raises(subprocess.TimeoutExpired):
        run(program, "hang")
    monkeypatch.undo()
    assert run(program, "show", data=b"in").startswith("3 ")


@pytest.mark.parametrize("name", ["PYTHONUTF8", "LANG", "LC_ALL"])
def test_what_python_reads_when_it_starts_is_refused(program: Forked, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        program.run(["show"], {**program.environment, name: "C.UTF-8x"})
