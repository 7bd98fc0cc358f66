"""How many faults and records a history has."""

from collections.abc import Callable, Iterator
from typing import Final

import pytest

QUICK_RATE: Final = 500
"""Records per second. The oracle's time grows with them; `python -m bench.histories` plays more."""
Faults = Callable[[tuple[int, int]], int]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only --long plays."""
    if not config.getoption("--long"):
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


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
