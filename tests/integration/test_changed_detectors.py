"""The detectors change while the service runs: by a signal, and by a file that is swapped as Kubernetes does it."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

from confluent_kafka.admin import AdminClient

from brokerkit.broker import Broker
from brokerkit.client import committed, create_topics, produce
from brokerkit.service_process import Names, ServiceProcess, payloads, wait_until
from tests.integration.test_detectors import closed, states, window

SETTINGS = """
[window]
clock = "event"
size_ms = 10000
[late]
policy = "divert"
[watermark]
lateness_ms = 0
"""
HIGH = '[[detectors]]\nname = "high"\ntype = "threshold"\nlimit = 100\n'
USUAL = """
[[detectors]]
name = "usual"
type = "deviation"
min_windows = 3
[[detectors]]
name = "trial"
type = "threshold"
limit = 100
mode = "shadow"
"""


def swap(folder: Path, content: str) -> Path:
    """Give a mounted ConfigMap another content; returns the file."""
    number = len(list(folder.glob("..2*")))
    version = folder / f"..2026_{number}"
    version.mkdir(parents=True)
    (version / "service.toml").write_text(content)
    moved = folder / "..data_tmp"
    moved.symlink_to(version.name)
    moved.replace(folder / "..data")
    file = folder / "service.toml"
    if not file.is_symlink():
        file.symlink_to("..data/service.toml")
    return file


def test_the_detectors_change_while_the_service_runs_and_a_broken_file_changes_nothing(
    broker: Broker, unique: Callable[[str], str], tmp_path: Path
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=2)
    create_topics(broker, names.shadow, config={"cleanup.policy": "compact"})
    file = swap(tmp_path, SETTINGS)
    service = ServiceProcess(broker, names, {"WINDOW_SIZE_MS": "10000"}, arguments=["run", "--config", str(file)])
    try:
        service.wait_ready(2)
        produce(broker, names.transactions, [window(0, 9000), window(1, 150), window(1, 50)])
        closed(broker, names, 1)
        # 1. From the default detector to one of the settings. The second window is open, and is read again.
        swap(tmp_path, SETTINGS + HIGH)
        first = service.wait_for_event("detectors_changed")
        assert (first["detectors"], first["rules_before"]) == (["high"], None)
        produce(broker, names.transactions, [window(2, 10)])
        closed(broker, names, 2)
        # 2. A broken file, and one that changes what needs a restart.
        swap(tmp_path, SETTINGS + HIGH + "limits = 7\n")
        assert "high" in service.wait_for_event("config_reload_failed")["error"]
        assert (service.get("/readyz")[0], service.metric("txwatch_config_reload_failed")) == (200, 1)
        swap(tmp_path, SETTINGS.replace("lateness_ms = 0", "lateness_ms = 5") + USUAL)
        assert "WATERMARK_LATENESS_MS" in service.wait_for_event("config_reload_failed", 2)["error"]
        # 3. To detectors with a state, whose topic is not there yet, and in shadow mode; by the signal.
        assert (
            names.state
            not in AdminClient({"bootstrap.servers": broker.bootstrap_servers}).list_topics(timeout=10).topics
        )
        file.unlink()
        file.write_text(SETTINGS + USUAL)
        service.process.send_signal(signal.SIGHUP)
        second = service.wait_for_event("detectors_changed", 2)
        assert (second["detectors"], second["rules_before"]) == (["usual", "trial"], first["rules"])
        assert service.metric("txwatch_config_reload_failed") == 0
        assert [one["topic"] for one in service.events("topic_compacted")] == [names.shadow]
        produce(broker, names.transactions, [window(3, 20), window(4, 30), window(5, 5000), window(6, 1)])
        closed(broker, names, 6)
        assert service.metric('txwatch_anomalies_total{detector="usual"}') == 1
        assert service.metric('txwatch_shadow_anomalies_total{detector="trial"}') == 1
        # 4. Back to the default one: what was remembered is removed.
        file.write_text(SETTINGS)
        service.process.send_signal(signal.SIGHUP)
        service.wait_for_event("detectors_changed", 3)
        produce(broker, names.transactions, [window(7, 1)])
        wait_until(lambda: not states(broker, names), 30, name="the states are gone")
        assert service.stop() == 0
    finally:
        service.kill()
    found = [(one["detector"], one["amount"], one.get("rules")) for one in payloads(broker, names.alerts)]
    assert found == [
        ("threshold", 9000, None), ("high", 200, first["rules"]), ("usual", 5000, second["rules"]),
    ]  # fmt: skip
    assert [one["amount"] for one in payloads(broker, names.shadow)] == [5000]
    assert [one["amount"] for one in payloads(broker, names.aggregates)] == [9000, 200, 10, 20, 30, 5000, 1]
    assert len(service.events("rewind")) == 0
    last = [json.loads(one.metadata) for one in committed(broker, names.group, names.transactions) if one.metadata]
    assert all("rules" not in one and "partitions" not in one for one in last)
