"""The terms on which Hypothesis runs, and what several files use."""

from pathlib import Path

import pytest

from tests.strategies import run_without_deadlines
from tests.unit.settings_files import Written

run_without_deadlines()


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Writes a TOML file."""

    def write(text: str) -> Path:
        path = tmp_path / "service.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write
