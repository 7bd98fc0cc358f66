"""How many faults and records a history has."""

from collections.abc import Callable, Iterator
from typing import Final

import pytest

QUICK_RATE: Final = 500
"""Records per second. The oracle's time grows with them; `python -m bench.histories` plays more."""
Faults = Callable[[tuple[int, int]], int]


@pytest.fixture
def faults(request: pytest.FixtureRequest) -> Faults:
    """How many faults to play, of the two numbers of a history: for `./test`, and with --long."""
    long: bool = request.config.getoption("--long")
    return lambda cycles: cycles[long]


@pytest.fixture(scope="package", autouse=True)
def unmeasured() -> Iterator[None]:
    """The services of histories run without coverage: most are killed, and would write nothing of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        yield
