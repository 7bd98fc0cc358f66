"""Alerts in a real Alertmanager: each is sent once, ends when it should, and an episode's end resolves it."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from brokerkit.broker import Broker
from brokerkit.client import create_topics
from brokerkit.files import free_ports
from brokerkit.processes import spawn
from brokerkit.service_process import Names, running, wait_until
from tests.bad_target import BadTarget, bad_target
from tests.forwarding import alert_writer, settings_of
from tools.alertmanager import program as alertmanager_program

DAY_MS = 86_400_000


class Alertmanager:
    """A running one; it notifies the target."""

    def __init__(self, port: int, notified: BadTarget) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._notified = notified

    def active(self) -> dict[str, Any]:
        """Alerts that have not ended, by their `alert_id`."""
        found = json.loads(self._get("/api/v2/alerts"))
        return {one["annotations"]["alert_id"]: one for one in found}

    def received(self, status: str) -> int:
        """How many it got."""
        lines = self._get("/metrics").splitlines()
        counted = [line for line in lines if line.startswith("alertmanager_alerts_received_total{")]
        return sum(int(float(line.split()[-1])) for line in counted if f'status="{status}"' in line)

    def notifications(self) -> list[tuple[str, str]]:
        """Status and `alert_id` of each alert in each notification."""
        sent = [alert for request in self._notified.requests for alert in json.loads(request.body)["alerts"]]
        return [(one["status"], one["annotations"]["alert_id"]) for one in sent]

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=5) as response:  # noqa: S310
            return str(response.read().decode())

    def ready(self) -> bool:
        try:
            return bool(self._get("/-/ready"))
        except OSError:
            return False


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    """Debian's, with an empty store."""
    (port,) = free_ports(1)
    with bad_target() as notified:
        config = {
            "route": {
                "receiver": "here", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s",
                "repeat_interval": "1h",
            },
            "receivers": [{"name": "here", "webhook_configs": [{"url": notified.url, "send_resolved": True}]}],
        }  # fmt: skip
        (tmp_path / "config.yml").write_text(json.dumps(config))
        process = spawn(
            [
                alertmanager_program(), f"--config.file={tmp_path}/config.yml",
                f"--storage.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=", "--log.level=warn",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            found = Alertmanager(port, notified)
            wait_until(found.ready)
            yield found
        finally:
            process.kill()
            process.wait()


def time_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_each_alert_is_sent_once_and_an_episode_ends_with_its_second_alert(
    alertmanager: Alertmanager, broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.alerts, partitions=2)
    write = alert_writer(broker, names)
    (single,) = write("tx1", of="count", value=7)
    (open_,) = write("tx1", status="open", episode_id="stays-open")
    (opening,) = write("tx2", status="open", episode_id="ends")
    settings = {
        **settings_of(f"{alertmanager.url}/api/v2/alerts", template="alertmanager", timeout_ms=10_000),
        "DETECT_FORGET_AFTER_MS": str(DAY_MS),
    }
    with running(broker, names, settings, arguments=["forward", "--to", "here"]) as process:
        active = wait_until(lambda: len(found := alertmanager.active()) == 3 and found)
        began = {alert: time_of(one["startsAt"]) for alert, one in active.items()}
        for alert, lasts in ((single, timedelta(minutes=5)), (open_, timedelta(days=1)), (opening, timedelta(days=1))):
            ends = time_of(active[alert]["endsAt"]) - lasts
            assert began[alert] <= ends <= began[alert] + timedelta(seconds=60)
        assert active[single]["labels"] == {
            "alertname": "TxwatchAnomaly", "detector": "threshold", "transaction_id": "tx1", "topic": "t",
            "partition": "0", "alert_id": single,
        }  # fmt: skip
        assert active[single]["annotations"] == {
            "alert_id": single, "amount": "9000.1", "limit": "8000.0", "count": "1", "of": "count", "value": "7.0",
            "summary": "Anomaly detected: ('tx1', 1, 9000.1), current watermark: 0 [threshold count=7.0]",
            "watermark": "1970-01-01T00:00:00.000Z",
            "window": "1970-01-01T00:00:00.000Z to 1970-01-01T00:00:10.000Z (event)",
        }  # fmt: skip
        wait_until(lambda: ("firing", opening) in alertmanager.notifications())

        (closing,) = write("tx2", status="resolved", episode_id="ends")
        wait_until(lambda: ("resolved", closing) in alertmanager.notifications())
        assert set(alertmanager.active()) == {single, open_}
        assert process.metric('txwatch_forward_requests_total{answer="2xx"}') == 4
        assert process.stop() == 0
    time.sleep(2)  # two of Alertmanager's group intervals
    assert (alertmanager.received("firing"), alertmanager.received("resolved")) == (3, 1)
    assert sorted(alertmanager.notifications()) == sorted(
        [*(("firing", alert) for alert in (single, open_, opening)), ("resolved", closing)]
    )
