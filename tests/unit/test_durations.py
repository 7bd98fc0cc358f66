"""Durations as people write them, and settings that refuse them with the number that is meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.settings import NAMES
from service.wire.durations import as_milliseconds, fault_of_milliseconds
from tests.unit.settings_files import NO_FILE, Written, complaint

DURATIONS = [name for name in sorted(NAMES) if name.endswith("_MS")]


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("10s", 10_000),
        ("10 s", 10_000),
        (" 10S ", 10_000),
        ("10 seconds", 10_000),
        ("500ms", 500),
        ("0s", 0),
        ("1.5s", 1_500),
        ("1m30s", 90_000),
        ("1m 30s", 90_000),
        ("5 min", 300_000),
        ("1h", 3_600_000),
        ("2 days", 172_800_000),
        ("PT10S", 10_000),
        ("PT1M30S", 90_000),
        ("10,000", 10_000),
        ("1'000'000", 1_000_000),
        ("10 000", 10_000),
    ],
)
def test_a_duration_is_so_many_milliseconds(text: str, milliseconds: int) -> None:
    assert milliseconds == as_milliseconds(text)


@pytest.mark.parametrize(
    "text",
    ["", "s", "10", "1.5", "-10s", "10x", "10s?", "x10s", "1.0001s", "10us", "P1M", "P1D", "1,00", "1e3s", "10s,"],
)
def test_what_is_no_clear_duration_is_none(text: str) -> None:
    assert as_milliseconds(text) is None


@given(st.text())
def test_any_text_gets_an_answer(text: str) -> None:
    assert fault_of_milliseconds(text).startswith("must be a whole number of milliseconds")


@given(st.integers(0, 10**12 - 1), st.sampled_from([("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)]))
def test_a_number_with_a_unit_is_that_many(number: int, unit: tuple[str, int]) -> None:
    assert number * unit[1] == as_milliseconds(f"{number}{unit[0]}")


@pytest.mark.parametrize("name", DURATIONS)
def test_a_setting_refuses_a_duration_with_the_number_that_is_meant(name: str) -> None:
    expected = f"{name}: must be a whole number of milliseconds: write 10000 instead of 10s"
    assert expected == complaint(NO_FILE, **{name: "10s"})


@pytest.mark.parametrize("name", DURATIONS)
@pytest.mark.parametrize("value", ["soon", "1.5", "", "1e3"])
def test_a_setting_refuses_any_other_text_and_says_milliseconds(name: str, value: str) -> None:
    assert f"{name}: must be a whole number of milliseconds" == complaint(NO_FILE, **{name: value})


@pytest.mark.parametrize("name", DURATIONS)
def test_a_setting_refuses_a_number_out_of_bounds_and_says_milliseconds(name: str) -> None:
    line = complaint(NO_FILE, **{name: "-1"})
    assert line.startswith(f"{name}: ")
    assert line.endswith("(milliseconds)")


def test_what_a_secrets_file_holds_is_not_shown(tmp_path: Path) -> None:
    (path := tmp_path / "held").write_text("10s")
    expected = f"WINDOW_SIZE_MS_FILE ({path}): must be a whole number of milliseconds"
    assert expected == complaint(NO_FILE, WINDOW_SIZE_MS_FILE=str(path))


@pytest.mark.parametrize(
    ("value", "end"),
    [
        ('"10s"', ": write 10000 instead of 10s"),
        ("1.5", ""),
        ("00:00:10", ""),
        ("[10]", ""),
    ],
)
def test_a_file_gets_the_same_answer(written: Written, value: str, end: str) -> None:
    file = written(f"[window]\nsize_ms = {value}")
    assert f"WINDOW_SIZE_MS ({file}): must be a whole number of milliseconds{end}" == complaint(file)
