"""Fixtures for every test. The broker is real and one for the whole run; names keep tests apart."""

import itertools
import re
from collections.abc import Callable, Iterator

import pytest

from brokerkit.broker import Broker

_counter = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what `./test --everything` asks for."""
    parser.addoption("--long", action="store_true", help="play histories with more faults")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only --long plays."""
    if not config.getoption("--long"):
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """A running broker that all tests of this run share; don't stop it. Start a `Broker()` of your own for that."""
    with Broker() as running:
        yield running


@pytest.fixture
def unique(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Makes topic names and group ids that no other test has: `unique("alerts")`."""
    test = re.sub(r"[^A-Za-z0-9_-]+", "-", request.node.name)[:80].strip("-")
    prefix = f"{test}.{next(_counter)}"
    return lambda name: f"{prefix}.{name}"
