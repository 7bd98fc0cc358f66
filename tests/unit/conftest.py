"""No fixtures: only the terms on which Hypothesis runs."""

from tests.strategies import run_without_deadlines

run_without_deadlines()
