"""The Python example of docs/consuming.md reads what the service wrote: committed alerts, each once, to the digit."""

import sys
from collections.abc import Callable

from brokerkit.broker import Broker
from brokerkit.service_process import ROOT, Names
from tests.consuming import read_like, write_alerts


def test_the_python_example_prints_each_committed_alert_once(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    expected = write_alerts(broker, names)
    command = [sys.executable, str(ROOT / "examples" / "alerts.py"), broker.bootstrap_servers, names.alerts]
    read_like(command, expected)
