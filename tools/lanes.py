"""A pytest plugin: several runs share one suite, and each takes the next test file that no other run has taken.

    python -m pytest -p tools.lanes --claims=FOLDER [--from-the-end] …

Every run collects the same tests and puts them in the same order. A run claims a file by making an empty file in
FOLDER, so what needs longest is begun first and no run stands idle before the last file is taken. What waits for Kafka
comes first, and what only computes comes last. A run from the end has that to do while the others wait.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

LONGEST: Final = (
    "tests/exactly_once/test_histories.py",
    "tests/exactly_once/test_clocks.py",
    "tests/exactly_once/test_network_histories.py",
    "tests/integration/test_replay_producer.py",
    "tests/integration/test_prometheus.py",
    "tests/integration/test_security.py",
    "tests/integration/test_topics.py",
    "tests/integration/test_quotas.py",
    "tests/integration/test_offset_resets.py",
    "tests/integration/test_demo.py",
    "tests/integration/test_replay_files.py",
    "tests/integration/test_service.py",
    "tests/exactly_once",
    "tests/integration",
    "tests/unit",
)
"""These begin in this order, and all others after them. A wrong order costs time and nothing else."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    parser.addoption("--claims", type=Path, required=True, metavar="FOLDER", help="what all runs of a suite share")
    parser.addoption("--from-the-end", action="store_true", help="take the last file first")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest files first; within a file the order stays.

    pytest mixes files that share a fixture with parameters. A file in two pieces could be claimed only once.
    """
    items.sort(key=lambda item: _place(file_of(config, item)))
    if config.getoption("--from-the-end"):
        files = [list(tests) for _, tests in itertools.groupby(items, lambda item: file_of(config, item))]
        items[:] = itertools.chain.from_iterable(reversed(files))


def _place(file: str) -> tuple[int, str]:
    return next((place for place, start in enumerate(LONGEST) if file.startswith(start)), len(LONGEST)), file


def pytest_runtestloop(session: pytest.Session) -> bool:
    """Run each file that this run can claim; otherwise as pytest's own loop does."""
    if session.testsfailed:
        raise session.Interrupted(f"{session.testsfailed} error(s) during collection")
    claimed = claim(session.config, session.items, session.config.getoption("claims"))
    item = next(claimed, None)
    while item is not None:
        # pytest tears down what the next test does not need, so the next one is claimed before this one runs.
        following = next(claimed, None)
        session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        item = following
    return True


def claim(config: pytest.Config, items: list[pytest.Item], folder: Path) -> Iterator[pytest.Item]:
    """The tests of each file that no other run has claimed."""
    for file, tests in itertools.groupby(items, lambda item: file_of(config, item)):
        try:
            (folder / f"{file.replace('/', '%')}.claimed").touch(exist_ok=False)
        except FileExistsError:
            continue
        yield from tests


def file_of(config: pytest.Config, item: pytest.Item) -> str:
    """A test's file, from the checkout's root."""
    return item.path.relative_to(config.rootpath).as_posix()
