"""Detectors that packages bring by entry points: what they are called with, and what is said where they do not work."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from service.app.detectors import configured, detail_for, keeps_state, rules_hash
from service.core.detectors import ConfiguredDetector, Direction, Of
from service.core.model import AggregateDetail
from service.settings import MASK, Settings, SettingsError, load
from tests.unit.settings_files import NO_FILE, Written, complaint

CODE = '''
class Spike:
    """A detector."""

    state_type = None
    state_kind = ""

    def __init__(self, *, factor, least=1, **others):
        if factor == 0:
            raise ValueError("factor: must not be 0")
        self.given = {"factor": factor, "least": least, **others}

    def judge(self, state, window):
        return state, None


class Strict(Spike):
    def __init__(self, *, factor, of, direction="above"):
        super().__init__(factor=factor, of=of, direction=direction)


class Batch:
    state_type = int
    state_kind = "batch"

    def prepare(self, state, window):
        return state, window

    def judge_all(self, rows):
        return [None for _ in rows]


class Judgeless:
    state_type = None
    state_kind = ""


class Stateless:
    def judge(self, state, window):
        return state, None
'''
TYPES = ("Spike", "Strict", "Batch", "Judgeless", "Stateless", "Missing")

Installed = Callable[..., None]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    """Installs a package as pip does: its code, and its entry points in a folder of metadata."""

    def install(package: str = "acme", code: str = CODE, types: tuple[str, ...] = TYPES) -> None:
        folder = tmp_path / package
        metadata = folder / f"{package}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        points = "".join(f"{name.lower()} = {package}_code:{name}\n" for name in types)
        (metadata / "entry_points.txt").write_text(f"[txwatch.detectors]\n{points}")
        (folder / f"{package}_code.py").write_text(code)
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(__import__("sys").modules, f"{package}_code", raising=False)

    return install


def settings_of(kind: str, **fields: object) -> Settings:
    """Settings with one detector, named `own`."""
    return load(NO_FILE, {"DETECTORS": json.dumps([{"name": "own", "type": kind, **fields}])}).settings


def detector(kind: str, **fields: object) -> ConfiguredDetector:
    """The one detector."""
    (one,) = configured(settings_of(kind, **fields))
    return one


def fault(kind: str, **fields: object) -> str:
    """What the line says after the detector."""
    with pytest.raises(SettingsError) as caught:
        configured(settings_of(kind, **fields))
    (line,) = str(caught.value).splitlines()
    assert line.startswith("DETECTORS: detector own: ")
    return line.removeprefix("DETECTORS: detector own: ")


# ---- it works -------------------------------------------------------------------------------------------------


def test_it_is_called_with_the_fields_of_its_own(installed: Installed) -> None:
    installed()
    one = detector("spike", factor=1.5, list=[1, {"a": "b"}], mode="shadow", resolve_after=2)
    assert {"factor": Decimal("1.5"), "least": 1, "list": [1, {"a": "b"}]} == one.detector.given
    assert ("own", True, 2, Of.SUM, Direction.ABOVE) == (
        one.name,
        one.shadow,
        one.resolve_after,
        one.of,
        one.direction,
    )


def test_it_gets_what_to_look_at_if_it_has_a_parameter_for_that(installed: Installed) -> None:
    installed()
    one = detector("strict", factor=1, of="max", direction="below")
    assert {"factor": 1, "least": 1, "of": Of.MAX, "direction": "below"} == one.detector.given
    assert (Of.MAX, Direction.BELOW) == (one.of, one.direction)
    assert AggregateDetail(extremes=True) == detail_for([one])
    assert Of.SUM is detector("strict", factor=1).detector.given["of"]


def test_it_may_keep_a_state_and_judge_in_batches(installed: Installed) -> None:
    installed()
    assert [False, True] == [keeps_state([detector("spike", factor=1)]), keeps_state([detector("batch")])]


def test_its_fields_are_part_of_the_rules(installed: Installed) -> None:
    installed()
    hashes = [rules_hash(settings_of("spike", factor=factor)) for factor in (1, 1.0, 2, "1", True, [1], {"a": 1})]
    assert hashes[0] == hashes[1]
    assert 6 == len(set(hashes))


def test_its_fields_are_shown_secrets_masked_and_can_be_read_again(installed: Installed, written: Written) -> None:
    installed()
    fields: dict[str, Any] = {"factor": 1.5, "a b": [1, {"x": 0.1}], "c": {"d": {}}, "on": True}
    table = {"name": "own", "type": "spike", **fields}
    shown = load(NO_FILE, {"DETECTORS": json.dumps([{**table, "api_token": "hunter2"}])}).as_toml()
    assert "hunter2" not in shown
    assert f'api_token = "{MASK}"  # environment DETECTORS' in shown.splitlines()
    assert '"a b" = [1, { x = 0.1 }]  # environment DETECTORS' in shown.splitlines()
    loaded = load(NO_FILE, {"DETECTORS": json.dumps([table])})
    assert loaded.settings == load(written(loaded.as_toml()), {}).settings


# ---- it does not ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("spike", {}, "factor: is required"),
        ("strict", {"factr": 1}, "factr: there is no such field of type strict; did you mean factor?"),
        ("strict", {"zzz": 1}, "zzz: there is no such field of type strict; the fields are factor, of, direction"),
        ("spike", {"factor": 0}, "acme_code:Spike refuses its fields: ValueError: factor: must not be 0"),
        ("judgeless", {}, "type: what acme_code:Judgeless returns has neither judge() nor prepare() and judge_all()"),
        ("stateless", {}, "type: what acme_code:Stateless returns has no state_type"),
        ("missing", {}, "type: acme_code:Missing cannot be imported: AttributeError: module 'acme_code' has no"),
    ],
)
def test_one_that_cannot_be_made_is_named_with_the_field(
    installed: Installed, kind: str, fields: dict[str, object], expected: str
) -> None:
    installed()
    assert fault(kind, **fields).startswith(expected)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def", "SyntaxError: invalid syntax"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
    ],
)
def test_a_package_that_cannot_be_imported_is_named(installed: Installed, code: str, expected: str) -> None:
    installed(code=code)
    assert fault("spike", factor=1).startswith(f"type: acme_code:Spike cannot be imported: {expected}")


def test_two_packages_that_bring_one_type_are_both_named(installed: Installed) -> None:
    installed()
    installed("other")
    assert "type: spike is brought twice: acme_code:Spike, other_code:Spike" == fault("spike", factor=1)


def test_a_type_that_is_almost_a_packages_is_corrected(installed: Installed) -> None:
    installed()
    table = [{"name": "own", "type": "spikes", "factor": 1}]
    line = complaint(NO_FILE, DETECTORS=json.dumps(table))
    assert "DETECTORS: detector own: type: 'spikes' is unknown; did you mean spike?" == line


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"of": "summ"}, "of: input should be 'sum', 'count', 'max', 'min' or 'mean'"),
        ({"resolve_after": -1}, "resolve_after: input should be greater than or equal to 0"),
        ({"a": [1, {"b": None}]}, "a: null is no value; leave the field out"),
        ({"a": {"b": float("nan")}}, "a: is not a finite number"),
        ({"a": "\ud800"}, "a: has half a character (a lone surrogate) in it"),
        ({"a": {"\ud800": 1}}, "a: has half a character (a lone surrogate) in it"),
    ],
)
def test_a_wrong_field_is_named_before_the_package_is_asked(
    installed: Installed, fields: dict[str, object], expected: str
) -> None:
    installed(code="raise AssertionError")
    table = [{"name": "own", "type": "spike", **fields}]
    assert f"DETECTORS: detector own: {expected}" == complaint(NO_FILE, DETECTORS=json.dumps(table))
