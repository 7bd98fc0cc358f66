"""The programs of `./test`: each failure counts, each output is shown, and a signal leaves none of them behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from coverage import CoverageData

from brokerkit.service_process import ROOT, wait_until
from tools.suite import CHECKS, Jobs, drop_half_files


def test_each_program_that_fails_is_named_once_and_each_output_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    jobs = Jobs()
    jobs.python("good", "-c", "print('one')", shown=False)
    for _ in range(2):
        jobs.python("bad", "-c", "print('two'); raise SystemExit(3)", shown=False)
    jobs.python("shown", "-c", "import os; os.abort()")
    jobs.finish()
    assert jobs.failed == ["bad", "shown"]
    assert capfd.readouterr().out == "\n== good\none\n" + "\n== bad\ntwo\n" * 2
    jobs.finish()
    assert jobs.failed == ["bad", "shown"], "nothing runs any more"


def test_a_check_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(CHECKS, "lint", ("ruff", "check", "no-such-file.py"))
    jobs = Jobs()
    jobs.check("lint")
    jobs.finish()
    assert jobs.failed == ["lint"]
    assert "no-such-file.py" in capfd.readouterr().out


def test_a_signal_ends_all_of_them() -> None:
    code = """
from tools.signals import Stopped, stopped_by_signals
from tools.suite import Jobs
jobs = Jobs()
try:
    with stopped_by_signals():
        for _ in range(2):
            jobs.python("waits", "-c", "import os, time; os.write(1, b'up\\\\n'); time.sleep(60)")
        jobs.finish()
except Stopped as stopped:
    print([job.process.poll() is None for job in jobs._running], stopped.exit_code, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["up\n", "up\n"]
        began_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "[False, False] 143\n"
        assert time.monotonic() - began_s < 30
    wait_until(lambda: process.poll() == 0, 10)


def test_the_data_of_killed_processes_are_dropped_and_all_others_are_kept(tmp_path: Path) -> None:
    whole = CoverageData(str(tmp_path / "data.whole"))
    whole.add_lines({"one.py": [1, 2]})
    whole.write()
    text = (tmp_path / "data.whole").read_bytes()
    (tmp_path / "data.cut").write_bytes(text[: len(text) // 2])
    (tmp_path / "data.empty").touch()
    drop_half_files(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["data.whole"]
