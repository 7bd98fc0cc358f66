"""How many faults a history has."""

from collections.abc import Callable

import pytest

Faults = Callable[[tuple[int, int]], int]


@pytest.fixture
def faults(request: pytest.FixtureRequest) -> Faults:
    """How many faults to play, of the two numbers of a history: for `./test`, and with --long."""
    long: bool = request.config.getoption("--long")
    return lambda cycles: cycles[long]
