"""How many faults and records a history has, and which detectors."""

from collections.abc import Callable, Sequence
from typing import Final

import pytest

from histories.detector_audit import SEVERAL
from histories.detector_oracle import Rule
from histories.load import RATE

QUICK_RATE: Final = 500

Faults = Callable[[tuple[int, int]], int]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Play histories with detectors, and with --long also with the one of DETECT_LIMIT."""
    if "detectors" in metafunc.fixturenames:
        sets = {"detectors": SEVERAL, "default": ()}
        names = list(sets) if metafunc.config.getoption("--long") else ["detectors"]
        metafunc.parametrize("detectors", [sets[name] for name in names], ids=names)


@pytest.fixture
def faults(request: pytest.FixtureRequest, detectors: Sequence[Rule]) -> Faults:
    """How many faults to play, of the two numbers of a history: for `./test`, and with --long and detectors."""
    long: bool = request.config.getoption("--long") and bool(detectors)
    return lambda cycles: cycles[long]


@pytest.fixture
def rate(detectors: Sequence[Rule]) -> int:
    """Records per second. With detectors they are fewer: the oracle's time grows with them."""
    return QUICK_RATE if detectors else RATE
