"""What tests of settings share: a TOML file, and the line about settings that cannot be used."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from service.settings import SettingsError, load

Written = Callable[[str], Path]

NO_FILE: Final = Path(os.devnull)
"""A TOML file without settings, so that the checkout's own is not read."""


def complaint(file: Path, **environment: str) -> str:
    """The one line about settings that cannot be used."""
    with pytest.raises(SettingsError) as caught:
        load(file, environment)
    line = str(caught.value)
    assert [line] == line.splitlines()
    return line
