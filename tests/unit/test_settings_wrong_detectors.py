"""Detectors that cannot be used: one line names the detector, or its number, and the field."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.settings import SettingsError, load
from service.settings.detectors import DeviationSettings
from tests.unit.settings_files import NO_FILE, Written, complaint
from tests.unit.test_settings_detectors import fault, table

UNKNOWN = "there is no such field of type"


@pytest.mark.parametrize(
    ("kind", "field", "values"),
    [
        *((kind, "of", ["summ", 1, ""]) for kind in ("threshold", "deviation", "inactivity", "model")),
        *((kind, "mode", ["off", True, "Shadow"]) for kind in ("threshold", "deviation", "inactivity", "model")),
        *((kind, "resolve_after", [-1, 1.5, True, "x", 10**7]) for kind in ("threshold", "deviation", "model")),
        ("inactivity", "resolve_after", [-1, 1, 2]),
        ("inactivity", "of", ["count", "max", "min", "mean"]),
        ("threshold", "resolve_after_ms", [0, -1, "1h", True]),
        ("threshold", "limit", ["x", True, [], {}, 1e400, float("nan"), 10**41, "Infinity"]),
        ("threshold", "limits", [5, [], {"a": "x"}, {"a": True}, {"": 5}, {"a": {"b": 5}}, {"\ud800": 5}]),
        ("threshold", "direction", ["both", "up", 1]),
        ("deviation", "sigmas", [0, -1, "x", True, 1e400, float("inf"), 10**7]),
        ("deviation", "direction", ["up", 1]),
        ("deviation", "min_windows", [1, 0, 2.5, "x", True, 10**10]),
        ("deviation", "half_life", [-1, "x", True, float("nan")]),
        ("deviation", "clip_sigmas", [-1, "x", True, float("inf")]),
        ("inactivity", "after_ms", [0, -1, 1.5, "10s", True, 10**16]),
        ("inactivity", "scope", ["group", 1]),
        ("inactivity", "clock", ["processing", 1]),
        ("model", "file", ["", 1, True, [], "a\ud800"]),
        ("model", "features", [[], "sum", ["summ"], ["sum", "sum"], [1], 5]),
        ("model", "limit", ["x", True, float("nan"), float("inf")]),
    ],
)
def test_a_value_out_of_range_is_named_with_its_detector(kind: str, field: str, values: list[object]) -> None:
    for value in values:
        assert fault(table(kind, **{field: value})).startswith(f"{field}: "), value
    assert f"{field}: null is no value; leave the field out" == fault(table(kind, **{field: None}))


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (table("threshold", limt=5), f"limt: {UNKNOWN} threshold; did you mean limit?"),
        (table("threshold", Limit=5), f"Limit: {UNKNOWN} threshold; did you mean limit?"),
        (table("threshold", reslove_after=5), f"reslove_after: {UNKNOWN} threshold; did you mean resolve_after?"),
        (table("deviation", sigma=5), f"sigma: {UNKNOWN} deviation; did you mean sigmas?"),
        (table("model", feature=[]), f"feature: {UNKNOWN} model; did you mean features?"),
        (table("inactivity", after=5), f"after: {UNKNOWN} inactivity; did you mean after_ms?"),
        (
            table("deviation", zzz=5),
            f"zzz: {UNKNOWN} deviation; the fields are {', '.join(DeviationSettings.model_fields)}",
        ),
        (table("inactivity", direction="above"), None),
        (table("model", direction="above"), None),
        (table("deviation", limit=5), None),
        (table("threshold", **{"a\nb": 5}), None),
        ({"name": "one", "type": "treshold", "limit": 5}, "type: 'treshold' is unknown; did you mean threshold?"),
        ({"name": "one", "type": "Deviation"}, "type: 'Deviation' is unknown; did you mean deviation?"),
        (
            {"name": "one", "type": "zzz"},
            "type: 'zzz' is unknown; the types are threshold, deviation, inactivity, model",
        ),
        ({"name": "one", "type": 5}, "type: is unknown; the types are threshold, deviation, inactivity, model"),
        ({"name": "one"}, "type: is required: threshold, deviation, inactivity, model, or a package's"),
        ({"name": "one", "type": "threshold"}, 'limit: is required, unless limits has "*"'),
        ({"name": "one", "type": "threshold", "limits": {"a*": 5}}, 'limit: is required, unless limits has "*"'),
        ({"name": "one", "type": "inactivity"}, "after_ms: is required"),
        ({"name": "one", "type": "model", "features": ["sum"], "limit": 5}, "file: is required"),
        ({"name": "one", "type": "model", "file": "a", "limit": 5}, "features: is required"),
        ({"name": "one", "type": "model", "file": "a", "features": ["sum"]}, "limit: is required"),
        (
            table("inactivity", after_ms="10s"),
            "after_ms: must be a whole number of milliseconds: write 10000 instead of 10s",
        ),
        (
            table("inactivity", scope="topic", clock="event"),
            "clock: scope topic has wall only; event is for scope key",
        ),
        (
            table("inactivity", scope="partition", clock="event"),
            "clock: scope partition has wall only; event is for scope key",
        ),
        (table("inactivity", of="max"), "of: inactivity looks at no value; leave it out"),
        (
            table("inactivity", resolve_after=1),
            "resolve_after: inactivity has no episodes: it is reported once, until something comes",
        ),
    ],
)
def test_the_line_says_what_is_meant(wrong: dict[str, Any], expected: str | None) -> None:
    said = fault(wrong)
    assert expected == said if expected else UNKNOWN in said


NAME = "is no detector's name: 1 to 40 of a-z 0-9 -"


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"type": "deviation"}, "name: is required"),
        ({"name": "", "type": "deviation"}, f"name: '' {NAME}"),
        ({"name": "A", "type": "deviation"}, f"name: 'A' {NAME}"),
        ({"name": "a_b", "type": "deviation"}, f"name: 'a_b' {NAME}"),
        ({"name": "a\n", "type": "deviation"}, f"name: 'a\\n' {NAME}"),
        ({"name": "a" * 41, "type": "deviation"}, f"name: '{'a' * 41}' {NAME}"),
        ({"name": 5, "type": "deviation"}, "name: input should be a valid string"),
        (5, "must be a table, not int"),
        ({}, "type: is required: threshold, deviation, inactivity, model, or a package's"),
    ],
)
def test_a_detector_without_a_valid_name_is_named_by_its_number(wrong: object, expected: str) -> None:
    assert expected == fault(table("deviation"), wrong, at=2)


def test_two_detectors_of_one_name_are_refused() -> None:
    assert "name: another detector has it" == fault(table("deviation"), table("threshold"))


@pytest.mark.parametrize("name", ["a", "0", "-", "a" * 40, "large-sum-2"])
def test_any_valid_name_is_taken(name: str) -> None:
    environment = {"DETECTORS": json.dumps([{"name": name, "type": "deviation"}])}
    assert [name] == [one.name for one in load(NO_FILE, environment).settings.detectors]


# ---- where they are from --------------------------------------------------------------------------------------


def test_a_wrong_one_in_a_file_is_named_with_the_file(written: Written) -> None:
    file = written("[[detectors]]\nname = 'one'\ntype = 'deviation'\nsigmas = 0")
    assert f"DETECTORS ({file}): detector one: sigmas: input should be greater than 0" == complaint(file)
    file = written("detectors = [5]")
    assert f"DETECTORS ({file}): detector 1: must be a table, not int" == complaint(file)


@pytest.mark.parametrize("number", ["1e999999999999999999999", "-1e999999999999999999999", "1e-999999999999999999999"])
@pytest.mark.parametrize(
    "text", ["[[detectors]]\nname = 'one'\ntype = 'threshold'\nlimit = {}", "[detect]\nlimit = {}"]
)
def test_an_exponent_that_nothing_can_hold_is_refused(written: Written, text: str, number: str) -> None:
    line = complaint(written(text.format(number)))
    assert "limit: " in line or line.startswith("DETECT_LIMIT ")
    assert "finite number" in line


def test_a_number_with_too_many_digits_to_read_is_refused(written: Written) -> None:
    file = written(f"[window]\nsize_ms = {'9' * 5_000}")
    assert complaint(file).startswith(f"{file}: Exceeds the limit")
    assert complaint(NO_FILE, DETECTORS=f"[{'9' * 5_000}]").startswith("DETECTORS: not valid JSON: Exceeds the limit")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "not valid JSON: Expecting value: line 1 column 1 (char 0)"),
        ("[{]", "not valid JSON: Expecting property name enclosed in double quotes: line 1 column 3 (char 2)"),
        ("{}", "not a JSON list but dict"),
        ("5", "not a JSON list but int"),
        ('[{"name": "a", "name": "b"}]', "not valid JSON: an object has a name twice"),
    ],
)
def test_what_is_no_list_in_json_is_refused(text: str, expected: str) -> None:
    assert f"DETECTORS: {expected}" == complaint(NO_FILE, DETECTORS=text)


def test_json_that_is_nested_too_deeply_is_refused() -> None:
    assert complaint(NO_FILE, DETECTORS="[" * 100_000).startswith("DETECTORS: not valid JSON: maximum recursion depth")


@pytest.mark.parametrize(
    "content",
    ["hunter2hunter2", '["hunter2hunter2"]', '[{"name": "one", "type": "hunter2hunter2"}]',
     '[{"name": "hunter2 hunter2", "type": "deviation"}]',
     '[{"name": "one", "type": "model", "file": "a", "limit": 1, "features": ["hunter2hunter2"]}]'],
)  # fmt: skip
def test_what_a_wrong_file_of_the_environment_holds_is_not_shown(tmp_path: Path, content: str) -> None:
    (tmp_path / "held").write_text(content)
    line = complaint(NO_FILE, DETECTORS_FILE=str(tmp_path / "held"))
    assert line.startswith(f"DETECTORS_FILE ({tmp_path / 'held'}): ")
    assert "hunter2" not in line


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ["name", "type", "of", "mode", "resolve_after", "limit", "limits", "sigmas", "after_ms", "scope", "features"]


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON | st.sampled_from(["threshold", "deviation", "a"]))))
def test_whatever_the_tables_hold_the_answer_is_settings_that_can_be_shown_or_one_line(tables: list[Any]) -> None:
    environment = {"DETECTORS": json.dumps(tables)}
    try:
        shown = load(NO_FILE, environment).as_toml()
    except SettingsError:
        assert complaint(NO_FILE, **environment).startswith("DETECTORS: ")
    else:
        assert shown.encode()
