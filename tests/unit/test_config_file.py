"""The example settings file: it can be used as it is, and what it shows are the defaults."""

import re
from pathlib import Path

from service.app.detectors import configured, detail_for
from service.settings import load

FILE = Path(__file__).parents[2] / "config" / "service.toml"


def test_as_it_is_it_changes_nothing() -> None:
    assert load(FILE, {}).settings == load(Path("/dev/null"), {}).settings


def test_what_it_shows_are_the_defaults(tmp_path: Path) -> None:
    shown = re.sub(r"^# (?=\w+ = )", "", FILE.read_text(), flags=re.MULTILINE)
    shown = re.sub(r"^(instance_id|format) = .*\n", "", shown, flags=re.MULTILINE)
    uncommented = tmp_path / "service.toml"
    uncommented.write_text(shown)
    assert load(uncommented, {}).settings == load(Path("/dev/null"), {}).settings
    assert "size_ms = 10000" in shown


def test_the_example_of_detectors_can_be_used(tmp_path: Path) -> None:
    uncommented = tmp_path / "service.toml"
    uncommented.write_text(re.sub(r"^#(?=[\[a-z])", "", FILE.read_text(), flags=re.MULTILINE))
    loaded = load(uncommented, {})
    found = [(one.name, one.of) for one in loaded.settings.detectors]
    assert found == [("large-payment", "max"), ("unusual", "sum")]
    assert detail_for(configured(loaded.settings)).extremes
