"""The decoder under a flood of cases: the properties of tests/unit/test_wire_fuzz.py, as often as one likes.

    .venv/bin/python -m bench.fuzz [--cases N] [--seed N]

Rounds of 5,000 cases of each property, each round with a seed of its own, until N cases have been tried. Prints one
line a round; what breaks a property is shown with its traceback, shrunk, and the exit code is 1.
"""

import argparse
import functools
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings

from tests.unit import test_wire_fuzz

ROUND = 5_000


def main() -> int:
    """Try them; returns 1 if a property does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    properties = [found for found in vars(test_wire_fuzz).values() if hasattr(found, "hypothesis")]
    tried = 0

    def counted(inner: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(inner)
        def run(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            nonlocal tried
            tried += 1
            return inner(*args, **kwargs)

        return run

    for one in properties:
        one.hypothesis.inner_test = counted(one.hypothesis.inner_test)
    rules = settings(
        max_examples=ROUND,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    began_s, number = time.monotonic(), options.seed
    while tried < options.cases:
        for one in properties:
            try:
                seed(number)(rules(one))()
            except AssertionError:
                traceback.print_exc()
                print(f"{one.__name__} does not hold, seed {number}", file=sys.stderr)
                return 1
        print(f"round {number}: {tried:,} cases, {time.monotonic() - began_s:.0f} s", flush=True)
        number += 1
    print(f"{tried:,} cases of {len(properties)} properties, none broken")
    return 0


if __name__ == "__main__":
    sys.exit(main())
