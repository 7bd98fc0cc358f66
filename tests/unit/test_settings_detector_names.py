"""Misspelt names of the list of detectors, in the environment and in a file."""

from __future__ import annotations

import pytest

from service.settings import load
from tests.unit.settings_files import NO_FILE, Written, complaint


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("DETECTOR", "DETECTORS"),
        ("DETECTRS_FILE", "DETECTORS_FILE"),
        ("DETECTORS_LIST", "DETECTORS"),
        ("DETECTORS_0_NAME", "DETECTORS"),
        ("DETECTORS_FORGET_AFTER_MS", "DETECT_FORGET_AFTER_MS"),
        ("FORGET_AFTER_MS", "DETECT_FORGET_AFTER_MS"),
    ],
)
def test_a_misspelt_variable_stops_the_start_and_is_corrected(variable: str, meant: str) -> None:
    assert f"{variable}: there is no such setting; did you mean {meant}?" == complaint(NO_FILE, **{variable: "[]"})


def test_the_variable_in_small_letters_is_not_silently_ignored() -> None:
    assert complaint(NO_FILE, detectors="[]") == "detectors: environment variables are in capitals, DETECTORS"


@pytest.mark.parametrize("variable", ["DETECTIVES", "VECTORS", "DIRECTORY", "DETECTORS_SERVICE_HOST", "DETECT"])
def test_other_programs_variables_are_left_alone(variable: str) -> None:
    assert load(NO_FILE, {variable: "x"}).settings == load(NO_FILE, {}).settings


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[detectors]\nname = 'x'", "detectors is a list of tables: write each as [[detectors]]"),
        ("detectors = 'x'", "detectors is a list of tables: write each as [[detectors]]"),
        ("[[detector]]\nname = 'x'", "there is no group [[detector]]; did you mean [[detectors]]?"),
        ("[detector]\nname = 'x'", "there is no group [detector]; did you mean [[detectors]]?"),
        ("[[detect]]\nname = 'x'", "detect is a group: write it as [detect]; did you mean [[detectors]]?"),
    ],
)
def test_a_name_in_a_file_is_corrected_as_it_is_in_toml(written: Written, text: str, line: str) -> None:
    file = written(text)
    assert f"{file}: {line}" == complaint(file)
