"""A service stops in time and says when it is stuck, also when its client or the reader of its log hangs."""

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator

from brokerkit.broker import Broker
from brokerkit.client import produce
from brokerkit.files import free_ports
from brokerkit.service_process import ROOT, Names, ServiceProcess, payloads, transaction, wait_until
from service.observe.status import STALLED_AFTER_S
from service.process.stop import STOP_TIMEOUT_S
from tests.integration.standing_service import TICK_S

NOW_MS = 1_715_392_800_000
MARGIN_S = 2.0
"""For a busy machine."""


@contextlib.contextmanager
def standing(broker: Broker, names: Names) -> Iterator[ServiceProcess]:
    """A service whose loop does not return from consume()."""
    service = ServiceProcess(broker, names, module="tests.integration.standing_service")
    try:
        service.wait_ready(4)
        assert service.process.stdin is not None
        service.process.stdin.write(b"\n")
        service.process.stdin.flush()
        yield service
    finally:
        if service.process.poll() is None:
            service.kill()
        service.close_log()


def test_a_stop_is_in_time_while_the_client_waits_for_a_clock_that_was_set_back(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    with standing(broker, Names(unique)) as service:
        time.sleep(0.5)
        began = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - began < STOP_TIMEOUT_S + MARGIN_S
        line = service.log[-1]
        assert (line["event"], line["waits_in"].split()[0]) == ("stop_forced", "GroupConsumer.poll")


def test_a_loop_that_stands_still_is_named_and_then_ended(broker: Broker, unique: Callable[[str], str]) -> None:
    with standing(broker, Names(unique)) as service:
        line = service.wait_for_event("loop_stands_still")
        assert line["waits_in"].split()[0] == "GroupConsumer.poll"
        assert service.process.wait(STALLED_AFTER_S * TICK_S + 30) == 1
        last = service.log[-1]
        assert (last["event"], last["error"]) == ("fatal", "the loop has stood still for 60 s")


def test_alerts_go_on_and_a_stop_is_in_time_where_standard_error_is_not_read(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names, port = Names(unique), free_ports(1)[0]
    environment = {
        **os.environ,
        **names.environment(),
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "KAFKA_INSTANCE_ID": "one",
        "KAFKA_PROPERTIES": '{"debug":"all"}',
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": str(port),
        "LOG_LEVEL": "debug",
        "WINDOW_SIZE_MS": "1000",
    }
    reading, writing = os.pipe()
    with subprocess.Popen([sys.executable, "-m", "service"], cwd=ROOT, env=environment, stderr=writing) as process:
        os.close(writing)
        try:
            wait_until(lambda: dropped_lines(port) > 0, 90)
            produce(broker, names.transactions, [transaction("tx1", NOW_MS, 9000)])
            wait_until(lambda: payloads(broker, names.alerts))
            began = time.monotonic()
            process.terminate()
            assert process.wait(30) == 0
            assert time.monotonic() - began < STOP_TIMEOUT_S + MARGIN_S
        finally:
            process.kill()
            os.close(reading)


def dropped_lines(port: int) -> float:
    """What the metric says, or 0 while there is no answer."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
        for line in page.read().decode().splitlines():
            if line.startswith("txwatch_log_lines_dropped_total "):
                return float(line.split()[1])
    return 0.0
