"""Programs without enough threads or address space end with one line and an exit code, before any work."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from brokerkit.broker import Broker
from brokerkit.service_process import ROOT, Names, ServiceProcess
from service.process.limits import THREADS

ARGUMENTS = {"service": [], "producer": ["replay", "-"]}


@pytest.mark.parametrize("limit", [("threads", "1"), ("threads", "12"), ("mib", "1"), ("mib", "60"), ("mib", "100")])
@pytest.mark.parametrize("program", ["service", "producer"])
def test_where_threads_are_too_few_it_says_so_in_one_line(broker: Broker, program: str, limit: tuple[str, str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.limited", *limit, program, *ARGUMENTS[program]],
        cwd=ROOT,
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "HTTP_PORT": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    (line,) = ended.stderr.splitlines()
    assert "can't start new thread; raise the limit of processes (ulimit -u" in line
    assert ended.returncode == 2


def test_the_threads_that_are_tried_are_more_than_the_service_has(broker: Broker, unique: Callable[[str], str]) -> None:
    service = ServiceProcess(broker, Names(unique))
    try:
        service.wait_ready(4)
        threads = list(Path(f"/proc/{service.process.pid}/task").iterdir())
        assert 10 < len(threads) <= THREADS
    finally:
        service.kill()
        service.close_log()
