"""`./demo` as a newcomer runs it: two commands, a real broker, the alerts of the example to the digit."""

import contextlib
import itertools
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from brokerkit.jars import HOME, ROOT
from tools.screen import NEXT_STEPS

ALERTS = [
    "Anomaly detected: ('tx1', 1715392800000, 11700.0), current watermark: 1715392808000",
    "Anomaly detected: ('tx1', 1715392810000, 9000.0), current watermark: 1715392809000",
]


def _demo(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "demo"), *arguments]
    return subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def _folders(port: str) -> list[Path]:
    """Folders of a broker that listens on this port; other tests have theirs beside them."""
    found = []
    for folder in (HOME / "run").iterdir():
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if f":{port}," in (folder / "server.properties").read_text():
                found.append(folder)
    return found


def test_the_example_gives_its_two_alerts_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with subprocess.Popen(
        [str(ROOT / "demo")],
        cwd=tmp_path,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as demo:
        assert demo.stdout is not None
        lines = list(itertools.takewhile(lambda line: not re.match(" *service ", line), demo.stdout))
        broker = re.search(r"127\.0\.0\.1:(\d+)$", "".join(lines), re.MULTILINE)
        assert broker is not None
        assert len(_folders(broker[1])) == 1
        out = demo.stdout.read()

    assert demo.returncode == 0, out
    assert [line for line in out.splitlines() if "Anomaly" in line] == ALERTS
    assert re.search(r"^ +txwatch_watermark_timestamp_seconds\{.*\} 1\.715392809e\+09 ", out, re.MULTILINE)
    assert re.search(r"^ +txwatch_anomalies_total\{.*\} 2\.0$", out, re.MULTILINE)
    assert re.search(r"^  page +http://127\.0\.0\.1:\d+/ ", "".join(lines) + out, re.MULTILINE)
    ended = out.splitlines()[-4:]
    assert ended[0] == "Three things to try next:"
    assert [re.split(" {2,}", line)[1:] for line in ended[1:]] == [list(step) for step in NEXT_STEPS]
    assert "\x1b" not in "".join(lines) + out
    assert _folders(broker[1]) == []
    assert list(tmp_path.iterdir()) == []


def test_another_file_may_have_any_number_of_alerts(tmp_path: Path) -> None:
    (tmp_path / "my own.csv").write_text("transaction_id,timestamp,amount\na,2024-05-11 10:00:00,8000\n")

    done = _demo("--csv", "my own.csv", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "Anomaly" not in done.stdout
    assert "1 row replayed" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--speed", "2"], "unrecognized arguments: --speed 2; see ./demo --help"),
        (["--csv", "missing.csv"], f"--csv {ROOT}/missing.csv: No such file or directory; see ./demo --help"),
        (["--timezone", "Mars/Olympus"], "--timezone Mars/Olympus is not an IANA name, as Asia/Shanghai is"),
        (["--broker-only", "--keep"], "--keep has no meaning with --broker-only; see ./demo --help"),
        (["--port", "70000"], "argument --port: 70000 is not a port (1 to 65535); see ./demo --help"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: list[str], error: str) -> None:
    done = _demo(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"./demo: {error}\n")


def test_a_file_that_the_replay_refuses_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")

    done = _demo("--csv", "bad.csv", cwd=tmp_path)

    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"./demo: {tmp_path}/bad.csv has no column")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_broker_alone_prints_its_address_and_ends_clean(number: signal.Signals) -> None:
    command = [str(ROOT / "demo"), "--broker-only"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert re.fullmatch(r"KAFKA_BOOTSTRAP_SERVERS=127\.0\.0\.1:\d+\n", process.stdout.readline())
        os.kill(process.pid, number)
        assert (process.wait(), process.stdout.read()) == (0, "")
