"""Where Prometheus and promtool are, for the tests of rules and dashboards."""

from pathlib import Path

from tools import debian


def programs() -> dict[str, Path]:
    """Both programs by name.

    Raises:
        SetupError: they are not there and can't be had; one line.
    """
    return debian.programs("prometheus", ("prometheus", "promtool"), ".prometheus", "tests of the alert rules")
