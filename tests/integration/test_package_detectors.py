"""A detector that a package brings: installed by pip, and run by the service on a real broker."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from brokerkit.broker import Broker
from brokerkit.client import committed, create_topics, produce
from brokerkit.service_process import Names, payloads, running
from tests.detectors_page import files, install
from tests.integration.test_detectors import T, closed, settings, states, window

FAILING = '''
from rising import Rising

class Failing(Rising):
    """Cannot judge one id."""

    def judge(self, state, window):
        if window.transaction_id == "bad":
            raise LookupError("no such id:\\n" + window.transaction_id)
        return super().judge(state, window)
'''


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package of docs/detectors.md is installed, with one more detector, which fails."""
    package = files()
    project = package["pyproject.toml"].replace('py-modules = ["rising"]', 'py-modules = ["rising", "failing"]')
    package["pyproject.toml"] = project.replace('= "rising:Rising"', '= "rising:Rising"\nfailing = "failing:Failing"')
    package["failing.py"] = FAILING
    return install(package, tmp_path_factory.mktemp("package"))


def with_package(installed: Path, kind: str, times: int = 2) -> dict[str, str]:
    """Settings with one detector of the package."""
    path = os.pathsep.join([str(installed), *filter(None, [os.environ.get("PYTHONPATH")])])
    return settings({"name": "growing", "type": kind, "times": times}, PYTHONPATH=path)


def test_it_alerts_and_its_states_outlive_the_process(
    broker: Broker, unique: Callable[[str], str], installed: Path
) -> None:
    names, running_settings = Names(unique), with_package(installed, "rising")
    create_topics(broker, names.transactions, partitions=1)
    with running(broker, names, running_settings) as service:
        produce(broker, names.transactions, [window(0, 10.25), window(1, 20.5), window(2, 30)])
        closed(broker, names, 2)
        assert payloads(broker, names.alerts) == []
        service.kill()
    with running(broker, names, running_settings) as service:
        produce(broker, names.transactions, [window(3, 5)])
        closed(broker, names, 3)
        assert service.metric('txwatch_anomalies_total{detector="growing"}') == 1
        assert service.stop() == 0
    (alert,) = payloads(broker, names.alerts)
    assert (alert["detector"], alert["amount"], alert["limit"], alert["rises"]) == ("growing", 30, 2, 2)
    assert states(broker, names) == {b"growing\x00tx1": ["30", 2]}


def test_an_exception_in_it_ends_the_service_and_nothing_is_committed(
    broker: Broker, unique: Callable[[str], str], installed: Path
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=1)
    produce(broker, names.transactions, [window(0, 1, "good"), window(0, 1, "bad"), window(1, 1, "good")])
    for _ in range(2):  # the next start finds the same
        with running(broker, names, with_package(installed, "failing")) as service:
            assert service.process.wait(60) == 1
            (line,) = [entry for entry in service.log if entry["level"] in {"error", "critical"}]
            assert (line["event"], line["error"]) == (
                "fatal",
                f"detector growing: id 'bad', window {T} to {T + 10_000}: LookupError: no such id: bad",
            )
            assert not [entry for entry in service.log if entry["event"] == "raw"]
        assert all(one.offset < 0 for one in committed(broker, names.group, names.transactions))
        assert (states(broker, names), payloads(broker, names.aggregates)) == ({}, [])
    with running(broker, names, with_package(installed, "rising")):
        closed(broker, names, 2)
    assert {*states(broker, names)} == {b"growing\x00good", b"growing\x00bad"}


def test_a_field_that_it_refuses_stops_the_start(broker: Broker, unique: Callable[[str], str], installed: Path) -> None:
    with running(broker, Names(unique), with_package(installed, "rising", times=0)) as service:
        assert service.process.wait(60) == 2
        (line,) = [entry["line"] for entry in service.log if entry["event"] == "raw"]
    assert line.endswith(
        "DETECTORS: detector growing: rising:Rising refuses its fields: ValueError: times: must be at least 1"
    )
