"""The benchmark's detectors: the service accepts each of them, from the file and from the environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.detecting import CASES, CLOSING, Detectors, toml
from bench.measure import chosen
from service.settings import load


@pytest.mark.parametrize("name", CASES)
def test_the_settings_file_of_each_case_is_accepted(name: str, tmp_path: Path) -> None:
    file = tmp_path / "detectors.toml"
    file.write_text("\n".join(map(toml, CASES[name])), encoding="utf-8")
    assert [one["name"] for one in CASES[name]] == [one.name for one in load(file).settings.detectors]


@pytest.mark.parametrize("detectors", CLOSING.values(), ids=CLOSING)
def test_each_case_of_alert_latency_is_accepted(detectors: Detectors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECTORS", json.dumps(detectors))
    assert [one["name"] for one in detectors] == [one.name for one in load(None).settings.detectors]


def test_a_figures_name_chooses_those_that_begin_with_it_as_well() -> None:
    assert chosen(["detectors"]) == ["detectors", "detectors_latency", "detectors_states"]
    assert chosen(["detectors_states", "drain"]) == ["drain", "detectors_states"]
