"""Where Alertmanager is, for the test of `forward`: the system's, or Debian's package in `.alertmanager/`."""

import shutil
from pathlib import Path
from typing import Final

from tools import debian
from tools.command import SetupError

NAME: Final = "prometheus-alertmanager"
TEMPLATES: Final = Path("/usr/share/prometheus/alertmanager")
"""Debian's program does not start without these files, and takes them from nowhere else."""


def program() -> Path:
    """The program. To install the package instead would also start a service.

    Raises:
        SetupError: it is not there and can't be had; one line.
    """
    found = debian.programs(NAME, (NAME,), ".alertmanager", "the test with Alertmanager")[NAME]
    unpacked = found.parents[2] / TEMPLATES.relative_to("/")
    if not TEMPLATES.exists() and unpacked.exists():
        try:
            shutil.copytree(unpacked, TEMPLATES)
        except OSError as error:
            raise SetupError(f"{TEMPLATES}: {error.strerror}: install Debian's package {NAME}") from None
    return found
