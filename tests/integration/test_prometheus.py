"""Alert rules and dashboard against a real Prometheus that scrapes a real service."""

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from brokerkit.broker import Broker
from brokerkit.client import produce
from brokerkit.files import free_ports
from brokerkit.processes import spawn
from brokerkit.service_process import ROOT, Names, running, transaction, wait_until
from tests.bad_target import bad_target
from tests.forwarding import forwarding
from tools import dashboard
from tools.prometheus import programs

NOW_MS = 1_715_392_800_000
RULES = ROOT / "config/prometheus/rules"
TESTS = sorted(path.name for path in RULES.glob("*.test.yml"))
VARIABLES = {
    "$__rate_interval": "10s",
    "$__range": "1m",
    '"$instance"': '".*"',
    '"$topic"': '".*"',
}
"""As Grafana fills them in."""


@dataclass(frozen=True)
class Prometheus:
    """A running one."""

    port: int

    def get(self, path: str, **query: str) -> Any:  # noqa: ANN401
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.load(response)["data"]

    def series(self, expression: str) -> list[Any]:
        """What an expression gives now."""
        return list(self.get("query", query=expression)["result"])


def expressions() -> list[str]:
    """The dashboard's."""
    board = json.loads(dashboard.OUTPUT.read_text())
    found = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    found += [one["expr"] for one in board["annotations"]["list"]]
    for name, value in VARIABLES.items():
        found = [one.replace(name, value) for one in found]
    return found


@pytest.fixture(scope="module")
def prometheus(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It scrapes a service with good, late and bad records, anomalies, open episodes, and a rebalance."""
    folder = tmp_path_factory.mktemp("prometheus")
    names = Names(lambda name: f"prometheus.{name}")
    high = {"name": "threshold", "type": "threshold", "limit": 8_000}
    trial = {**high, "name": "trial", "mode": "shadow", "resolve_after": 3}
    with (
        running(broker, names, {"DETECTORS": json.dumps([high, trial])}) as service,
        bad_target() as target,
        forwarding(broker, names, target) as forward,
    ):
        service.wait_ready(4)
        port = free_ports(1)[0]
        listening, forwards = (one.wait_for_event("http_listening")["port"] for one in (service, forward))
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            f"rule_files: ['{RULES}/txwatch.yml']\n"
            "scrape_configs:\n"
            f"  - {{job_name: txwatch, static_configs: [{{targets: ['127.0.0.1:{listening}']}}]}}\n"
            f"  - {{job_name: txwatch-forward, static_configs: [{{targets: ['127.0.0.1:{forwards}']}}]}}\n"
        )
        command: list[str | Path] = [
            programs()["prometheus"],
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with (folder / "log").open("wb") as log:
            process = spawn(command, stdout=log, stderr=log)
            try:
                found = Prometheus(port)
                wait_until(lambda: _answers(found), 30, name=f"Prometheus: {folder}/log")
                for number in range(8):
                    times = [NOW_MS + number * 10_000, NOW_MS + number * 10_000 - 5_000]
                    produce(broker, names.transactions, [transaction("tx1", t, 9_000) for t in times])
                    produce(broker, names.transactions, [("tx1", "rubbish")])
                    time.sleep(1)
                yield found
            finally:
                process.terminate()
                process.wait()


def _answers(prometheus: Prometheus) -> bool:
    try:
        return bool(prometheus.series('up{job="txwatch"} == 1'))
    except OSError:
        return False


@pytest.mark.parametrize("expression", expressions())
def test_each_expression_of_the_dashboard_gives_series(prometheus: Prometheus, expression: str) -> None:
    assert wait_until(lambda: prometheus.series(expression), 15)


def test_each_recording_rule_gives_series_and_no_rule_fails(prometheus: Prometheus) -> None:
    groups = prometheus.get("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}
    recorded = [rule["name"] for rule in rules if rule["type"] == "recording"]
    assert len(recorded) == 5
    for name in recorded:
        assert wait_until(lambda name=name: prometheus.series(name), 15)  # type: ignore[misc]


def test_dead_letters_raise_their_alert(prometheus: Prometheus) -> None:
    (alert,) = wait_until(
        lambda: prometheus.series('ALERTS{alertname="TxwatchDeadLetters",alertstate="firing",reason="not_json"}'), 15
    )
    assert alert["metric"]["severity"] == "warning"


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "txwatch.yml"),
        ("test", "rules", *TESTS),
        ("check", "config", "../prometheus.yml"),
    ],
    ids=" ".join,
)
def test_promtool_has_nothing_to_say(arguments: tuple[str, ...]) -> None:
    done = subprocess.run([programs()["promtool"], *arguments], cwd=RULES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_its_tests_and_its_paragraph() -> None:
    alerts = re.findall(r"- alert: (\w+)", (RULES / "txwatch.yml").read_text())
    tests = "".join((RULES / name).read_text() for name in TESTS)
    headings = re.findall(r"^#+ (\w+)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    assert len(alerts) >= 11
    for alert in alerts:
        assert tests.count(f"alertname: {alert}\n        exp_alerts") >= 1, alert
        assert tests.count(f"alertname: {alert}}}") >= 1, alert
        assert alert in headings


def test_each_alert_links_to_its_paragraph_below_a_base_that_can_be_set() -> None:
    rules = [rule for group in yaml.safe_load((RULES / "txwatch.yml").read_text())["groups"] for rule in group["rules"]]
    links = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in rules if "alert" in rule}
    form = re.compile(r"\{\{ or \$externalLabels\.runbooks \"(https://[^\"]+/docs/operations\.md)\" \}\}#(\w+)")
    found = {alert: form.fullmatch(link) for alert, link in links.items()}
    assert {alert: match and match[2] for alert, match in found.items()} == {alert: alert.lower() for alert in links}
    assert {match and match[1] for match in found.values()} == {dashboard.runbook()}


def test_the_dashboard_is_what_its_program_writes() -> None:
    assert dashboard.OUTPUT.read_text() == dashboard.build()


def test_no_panel_lies_on_another() -> None:
    panels = json.loads(dashboard.build())["panels"]
    cells = [
        (x, y)
        for panel in panels
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_nothing_in_the_configuration_names_a_machine() -> None:
    for path in Path(ROOT / "config").rglob("*"):
        if path.is_file():
            assert not re.search(r"/(home|work|root|tmp)/", path.read_text()), path
