"""From the settings to the detectors in force, what their aggregates carry, and the hash of the rules."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from service.app.detectors import configured, detail_for, has_shadow, keeps_state, rules_hash
from service.core.detectors import ConfiguredDetector, Direction, KeyWindow, Of
from service.core.detectors.deviation import Deviation
from service.core.detectors.inactivity import Inactivity
from service.core.detectors.model import Model
from service.core.detectors.threshold import Threshold
from service.core.model import Aggregate, AggregateDetail, EventTimeMs, Offset, TumblingWindow
from service.settings import Settings, SettingsError, load
from tests.unit.onnx_files import adding, saved
from tests.unit.settings_files import NO_FILE

HIGH = {"name": "high", "type": "threshold", "limit": 8000}
ODD = {"name": "odd", "type": "deviation"}
SILENT = {"name": "silent", "type": "inactivity", "after_ms": 60_000}


def settings_of(*tables: dict[str, Any] | str, **environment: str) -> Settings:
    """Settings with these detectors. A text is JSON as it is."""
    parts = [one if isinstance(one, str) else json.dumps(one) for one in tables]
    return load(NO_FILE, {"DETECTORS": f"[{','.join(parts)}]", **environment}).settings


def detectors(*tables: dict[str, Any]) -> tuple[ConfiguredDetector, ...]:
    """The detectors of these tables."""
    return configured(settings_of(*tables))


def window_of(transaction_id: str, amount: str) -> KeyWindow:
    """A closed window with this sum."""
    aggregate = Aggregate(EventTimeMs(0), Offset(0), EventTimeMs(0), Offset(0))
    aggregate.add(Decimal(amount))
    aggregate.count = 1
    return KeyWindow(transaction_id, aggregate, TumblingWindow(0, 1), EventTimeMs(0))


def limit_crossed(detector: Any, transaction_id: str, amount: str) -> Decimal | None:  # noqa: ANN401
    """The limit that a sum of this amount crosses."""
    _, finding = detector.judge(None, window_of(transaction_id, amount))
    return None if finding is None else finding.limit


# ---- which ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("environment", [{}, {"DETECTORS": "[]"}])
def test_without_any_there_is_the_default_one(environment: dict[str, str]) -> None:
    (one,) = configured(load(NO_FILE, {"DETECT_LIMIT": "5", **environment}).settings)
    assert ("threshold", Of.SUM, Direction.ABOVE, False, 0) == (
        one.name,
        one.of,
        one.direction,
        one.shadow,
        one.resolve_after,
    )
    assert [None, 5] == [limit_crossed(one.detector, "a", amount) for amount in ("5", "5.01")]


def test_each_type_becomes_its_detector_in_the_order_of_the_settings() -> None:
    found = detectors(SILENT, ODD, HIGH)
    assert ["silent", "odd", "high"] == [one.name for one in found]
    assert [Inactivity, Deviation, Threshold] == [type(one.detector) for one in found]


def test_what_is_common_is_passed_on() -> None:
    common = {"of": "max", "mode": "shadow", "resolve_after": 3, "resolve_after_ms": 5}
    (one,) = detectors({**ODD, **common, "direction": "both"})
    assert (Of.MAX, True, 3, 5) == (one.of, one.shadow, one.resolve_after, one.resolve_after_ms)
    assert Direction.BOTH == one.direction


def test_a_threshold_has_its_limits_and_its_side() -> None:
    limits = {"shop-*": 50, "shop-7": 5}
    above, below = detectors({**HIGH, "limits": limits}, {**HIGH, "name": "low", "limit": 1, "direction": "below"})
    ids = ("shop-7", "shop-8", "other")
    assert [5, 50, 8000] == [limit_crossed(above.detector, one, "8000.01") for one in ids]
    assert (Direction.ABOVE, Direction.BELOW) == (above.direction, below.direction)
    assert [1, None] == [limit_crossed(below.detector, "a", amount) for amount in ("0.99", "1")]


def test_an_inactivity_has_its_scope_and_its_clock() -> None:
    key, topic = detectors(SILENT, {**SILENT, "name": "all", "scope": "topic"})
    assert (60_000, "key", "event") == (key.detector.after_ms, key.detector.scope, key.detector.clock)
    assert ("topic", "wall") == (topic.detector.scope, topic.detector.clock)


def learnt(file: Path, *features: str) -> dict[str, Any]:
    """A model with these features."""
    return {"name": "learnt", "type": "model", "file": str(file), "features": features, "limit": 5.5}


def test_a_model_is_loaded_with_its_features_and_its_limit(tmp_path: Path) -> None:
    (one,) = detectors(learnt(saved(tmp_path, adding(2)), "sum", "count"))
    rows = [one.detector.prepare(None, window_of("a", amount))[1] for amount in ("4.5", "5")]
    below, above = one.detector.judge_all(rows)
    assert below is None
    assert (5.5, 6.0, {"sum": 5.0, "count": 1}) == (above.limit, above.score, above.fields["features"])


@pytest.mark.parametrize(
    ("name", "features", "expected"),
    [
        ("no.onnx", ["sum", "count"], "file: {}: No such file or directory"),
        ("model.onnx", ["sum"], "file: {} takes 2 features; 1 are configured"),
    ],
)
def test_a_model_that_cannot_be_used_is_named_with_its_detector(
    tmp_path: Path, name: str, features: list[str], expected: str
) -> None:
    saved(tmp_path, adding(2))
    with pytest.raises(SettingsError) as caught:
        detectors(learnt(tmp_path / name, *features))
    assert f"DETECTORS: detector learnt: {expected.format(tmp_path / name)}" == str(caught.value)


# ---- what follows ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ([HIGH], AggregateDetail()),
        ([ODD, {**HIGH, "of": "mean"}, {**HIGH, "name": "many", "of": "count"}], AggregateDetail()),
        ([HIGH, {**ODD, "of": "max"}], AggregateDetail(extremes=True)),
        ([{**HIGH, "of": "min"}, ODD], AggregateDetail(extremes=True)),
        ([HIGH, SILENT], AggregateDetail(latest=True)),
        ([{**SILENT, "scope": "topic"}], AggregateDetail()),
        ([SILENT, {**HIGH, "of": "max"}], AggregateDetail(extremes=True, latest=True)),
    ],
)
def test_an_aggregate_carries_what_the_detectors_need(tables: list[dict[str, Any]], expected: AggregateDetail) -> None:
    assert expected == detail_for(detectors(*tables))


@pytest.mark.parametrize(("features", "expected"), [(["sum", "max"], True), (["min"], True), (["sum", "mean"], False)])
def test_an_aggregate_carries_what_a_model_needs(features: list[str], *, expected: bool) -> None:
    model = Model(score=lambda rows: [0.0 for _ in rows], features=features, limit=1)
    assert AggregateDetail(extremes=expected) == detail_for([ConfiguredDetector("learnt", model)])


def test_the_default_detector_needs_nothing() -> None:
    found = configured(load(NO_FILE, {}).settings)
    assert (AggregateDetail(), False, False) == (detail_for(found), keeps_state(found), has_shadow(found))


@pytest.mark.parametrize(
    ("tables", "state"),
    [([HIGH], False), ([HIGH, ODD], True), ([SILENT], True), ([{**HIGH, "resolve_after": 1}], True)],
)
def test_the_state_topic_is_used_where_something_is_remembered(tables: list[dict[str, Any]], *, state: bool) -> None:
    assert state == keeps_state(detectors(*tables))


def test_the_shadow_topic_is_used_where_a_detector_is_in_shadow_mode() -> None:
    assert [True, False] == [has_shadow(detectors(HIGH, {**ODD, "mode": mode})) for mode in ("shadow", "active")]


# ---- the hash -------------------------------------------------------------------------------------------------


def test_without_detectors_there_is_no_hash() -> None:
    assert [None, None] == [rules_hash(load(NO_FILE, {}).settings), rules_hash(settings_of())]


def test_the_hash_is_the_same_after_a_restart_and_on_another_machine() -> None:
    assert "9a10e5dc" == rules_hash(settings_of(HIGH, ODD, SILENT))


@pytest.mark.parametrize(
    "same",
    [
        [ODD, HIGH],
        [HIGH, dict(reversed(ODD.items()))],
        [HIGH, {**ODD, "sigmas": 3, "half_life": 0}],
        [{**HIGH, "direction": "above", "limits": {}}, ODD],
        ['{"name": "high", "type": "threshold", "limit": 8000.0}', ODD],
        ['{"name": "high", "type": "threshold", "limit": 8e3}', ODD],
    ],
)
def test_the_same_rules_have_the_same_hash(same: list[dict[str, Any] | str]) -> None:
    assert rules_hash(settings_of(HIGH, ODD)) == rules_hash(settings_of(*same))


@pytest.mark.parametrize(
    "other",
    [
        [HIGH],
        [HIGH, {**ODD, "name": "strange"}],
        [HIGH, {**ODD, "sigmas": 3.5}],
        [HIGH, {**ODD, "mode": "shadow"}],
        [HIGH, {**ODD, "resolve_after": 1}],
        [{**HIGH, "limit": 80_000}, ODD],
        [{**HIGH, "limit": -8000}, ODD],
        ['{"name": "high", "type": "threshold", "limit": 8000.00000000000000001}', ODD],
        [{**HIGH, "limits": {"a": 8000}}, ODD],
    ],
)
def test_other_rules_have_another_hash(other: list[dict[str, Any] | str]) -> None:
    assert rules_hash(settings_of(HIGH, ODD)) != rules_hash(settings_of(*other))


def test_limits_that_differ_in_their_last_digit_have_different_hashes() -> None:
    digits = "1234567890.1234567890123456789"
    hashes = {
        rules_hash(settings_of(f'{{"name": "high", "type": "threshold", "limit": {digits}{last}}}')) for last in "123"
    }
    assert 3 == len(hashes)


def test_a_model_counts_by_its_content(tmp_path: Path) -> None:
    def hash_of(file: Path, content: bytes) -> str | None:
        file.write_bytes(content)
        return rules_hash(settings_of(learnt(file, "sum")))

    first = hash_of(tmp_path / "one", b"1")
    assert first == hash_of(tmp_path / "other", b"1")
    assert first != hash_of(tmp_path / "one", b"2")
