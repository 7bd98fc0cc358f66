"""`[[detectors]]` and DETECTORS: what they make of settings, and which line a wrong one gets."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from service.core.detectors import Direction, Of
from service.settings import load
from service.settings.detectors import (
    DetectorSettings,
    DeviationSettings,
    InactivitySettings,
    ModelSettings,
    ThresholdSettings,
)
from tests.unit.settings_files import NO_FILE, Written, complaint

DAY_MS = 86_400_000
TABLES: dict[str, dict[str, Any]] = {
    "threshold": {"limit": 8000},
    "deviation": {},
    "inactivity": {"after_ms": 1},
    "model": {"file": "a.onnx", "features": ["sum"], "limit": 1},
}
"""What each type needs at least."""


def table(kind: str, **fields: object) -> dict[str, Any]:
    """A detector named `one`."""
    return {"name": "one", "type": kind, **TABLES[kind], **fields}


def detectors(*tables: dict[str, Any]) -> tuple[DetectorSettings, ...]:
    """The settings that DETECTORS gives."""
    return load(NO_FILE, {"DETECTORS": json.dumps(tables)}).settings.detectors


def fault(*tables: object, at: object = "one") -> str:
    """What the line says after the detector."""
    line = complaint(NO_FILE, DETECTORS=json.dumps(tables))
    start = f"DETECTORS: detector {at}: "
    assert line.startswith(start)
    return line.removeprefix(start)


# ---- they are read --------------------------------------------------------------------------------------------


def test_a_threshold_has_the_documented_fields_and_defaults() -> None:
    (one,) = detectors({"name": "a", "type": "threshold", "limit": 8000})
    assert ThresholdSettings(name="a", type="threshold", limit=Decimal(8000)) == one
    assert (Of.SUM, "active", 0, DAY_MS) == (one.of, one.mode, one.resolve_after, one.resolve_after_ms)
    assert ({}, "above") == (one.limits, one.direction)


def test_a_deviation_has_the_documented_fields_and_defaults() -> None:
    (one,) = detectors({"name": "a", "type": "deviation"})
    assert isinstance(one, DeviationSettings)
    assert (3.0, Direction.ABOVE, 30) == (one.sigmas, one.direction, one.min_windows)
    assert (0, 0) == (one.half_life, one.clip_sigmas)


@pytest.mark.parametrize(("scope", "clock"), [("key", "event"), ("partition", "wall"), ("topic", "wall")])
def test_the_clock_of_an_inactivity_is_by_its_scope(scope: str, clock: str) -> None:
    (one,) = detectors({"name": "a", "type": "inactivity", "after_ms": 5, "scope": scope})
    assert isinstance(one, InactivitySettings)
    assert (5, scope, clock) == (one.after_ms, one.scope, one.clock)
    assert "key" == InactivitySettings(name="a", type="inactivity", after_ms=5).scope


def test_a_key_can_be_silent_by_the_wall_clock_too() -> None:
    (one,) = detectors(table("inactivity", clock="wall"))
    assert isinstance(one, InactivitySettings)
    assert ("key", "wall") == (one.scope, one.clock)


def test_a_model_has_the_documented_fields() -> None:
    features = "sum count max min mean late_share baseline_mean baseline_deviation baseline_windows score hour weekday"
    (one,) = detectors(table("model", features=features.split(), limit=0.25))
    assert isinstance(one, ModelSettings)
    assert ("a.onnx", tuple(features.split()), 0.25) == (one.file, one.features, one.limit)


def test_a_file_says_the_same_as_the_environment(written: Written) -> None:
    file = written("""
        [[detectors]]
        name = "a"
        type = "threshold"
        of = "mean"
        mode = "shadow"
        resolve_after = 2
        limit = 1.5
        [detectors.limits]
        "shop-*" = 2
        [[detectors]]
        name = "b"
        type = "deviation"
        sigmas = 2.5
        direction = "both"
    """)
    same = [
        {"name": "a", "type": "threshold", "of": "mean", "mode": "shadow", "resolve_after": 2, "limit": 1.5,
         "limits": {"shop-*": 2}},
        {"name": "b", "type": "deviation", "sigmas": 2.5, "direction": "both"},
    ]  # fmt: skip
    assert detectors(*same) == load(file, {}).settings.detectors


def test_the_environment_replaces_the_whole_list(written: Written) -> None:
    file = written("[[detectors]]\nname = 'a'\ntype = 'deviation'\n[[detectors]]\nname = 'b'\ntype = 'deviation'")
    environment = {"DETECTORS": json.dumps([table("deviation")])}
    assert ["one"] == [one.name for one in load(file, environment).settings.detectors]
    assert () == load(file, {"DETECTORS": "[]", "DETECT_LIMIT": "5"}).settings.detectors


def test_a_file_can_hold_the_list(tmp_path: Path) -> None:
    (tmp_path / "held").write_text(json.dumps([table("deviation")]) + "\n")
    loaded = load(NO_FILE, {"DETECTORS_FILE": str(tmp_path / "held")})
    assert detectors(table("deviation")) == loaded.settings.detectors
    assert "[[detectors]]  # environment DETECTORS_FILE" in loaded.as_toml()


EXACT = Decimal("8000.00000000000000001")


def test_a_limit_is_exact_from_the_environment() -> None:
    text = f'[{{"name": "a", "type": "threshold", "limit": {EXACT}, "limits": {{"x": {EXACT}}}}}]'
    (one,) = load(NO_FILE, {"DETECTORS": text}).settings.detectors
    assert isinstance(one, ThresholdSettings)
    assert (EXACT, {"x": EXACT}) == (one.limit, one.limits)


def test_a_limit_is_exact_from_a_file(written: Written) -> None:
    file = written(f"[[detectors]]\nname = 'a'\ntype = 'threshold'\nlimit = {EXACT}\nlimits = {{ x = {EXACT} }}")
    (one,) = load(file, {}).settings.detectors
    assert isinstance(one, ThresholdSettings)
    assert (EXACT, {"x": EXACT}) == (one.limit, one.limits)


def test_a_limit_for_all_others_makes_the_limit_optional() -> None:
    (one,) = detectors({"name": "a", "type": "threshold", "limits": {"shop-7": 5, "*": 6}})
    assert isinstance(one, ThresholdSettings)
    assert (None, {"shop-7": Decimal(5), "*": Decimal(6)}) == (one.limit, one.limits)


# ---- DETECT_LIMIT ---------------------------------------------------------------------------------------------


def test_the_default_detectors_limit_and_detectors_are_refused_together(written: Written) -> None:
    both = "[detect]\nlimit = 5\n[[detectors]]\nname = 'a'\ntype = 'deviation'"
    one = {"DETECTORS": json.dumps([table("deviation")])}
    end = " are both set: unset DETECT_LIMIT, and give a detector of type threshold the limit"
    file = written(both)
    assert f"DETECT_LIMIT ({file}) and DETECTORS ({file}){end}" == complaint(file)
    assert f"DETECT_LIMIT and DETECTORS{end}" == complaint(NO_FILE, DETECT_LIMIT="5", **one)
    file = written("[detect]\nlimit = 5")
    assert f"DETECT_LIMIT ({file}) and DETECTORS{end}" == complaint(file, **one)


def test_how_long_a_key_is_remembered_fits_all_detectors() -> None:
    loaded = load(NO_FILE, {"DETECTORS": json.dumps([table("deviation")]), "DETECT_FORGET_AFTER_MS": "5"})
    assert 5 == loaded.settings.detect.forget_after_ms


# ---- shown ----------------------------------------------------------------------------------------------------


def test_they_are_shown_with_their_origin_and_can_be_read_again(written: Written) -> None:
    tables = [
        table("threshold", limits={"shop-*": 0.1, 'a"b\\': 2, "token": 3, "*": 4}, of="max", direction="below"),
        {**table("deviation", sigmas=2.5, mode="shadow", resolve_after=3), "name": "two"},
        {**table("inactivity", scope="topic"), "name": "three"},
        {**table("model", features=["sum", "hour"]), "name": "four"},
    ]
    loaded = load(NO_FILE, {"DETECTORS": json.dumps(tables)})
    shown = loaded.as_toml()
    lines = shown.splitlines()
    assert 4 == lines.count("[[detectors]]  # environment DETECTORS")
    for line in (
        'of = "max"  # environment DETECTORS',
        'of = "sum"  # default',
        'limits = { "shop-*" = 0.1, "a\\"b\\\\" = 2, token = 3, "*" = 4 }  # environment DETECTORS',
        'features = ["sum", "hour"]  # environment DETECTORS',
        'clock = "wall"  # default',
        "# limit is the default detector's, which [[detectors]] replaces",
    ):
        assert line in lines
    again = load(written(shown), {})
    assert loaded.settings == again.settings
    assert f"[[detectors]]  # {written(shown)}" in again.as_toml()
