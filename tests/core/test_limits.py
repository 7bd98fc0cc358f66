"""Limits on each thing that can be looked at, on both sides, and by id; all exact and strict."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from histories.decoder_oracle import exactly
from service.core.detectors import Direction, Finding, Of
from service.core.detectors.limits import LimitsById, limit_for
from service.core.detectors.looked_at import value_of
from service.core.detectors.threshold import Threshold
from service.core.model import Aggregate
from tests.core.key_windows import key_window
from tests.steps import steps_of
from tests.strategies import AMOUNTS

SIDES = st.sampled_from([Direction.ABOVE, Direction.BELOW])


def expected_value(of: Of, amounts: Sequence[float | Decimal]) -> Fraction:
    """What is looked at, as a fraction."""
    exact = [exactly(one) for one in amounts]
    found: dict[Of, Callable[[], Fraction]] = {
        Of.SUM: lambda: sum(exact, Fraction(0)),
        Of.COUNT: lambda: Fraction(len(exact)),
        Of.MAX: lambda: max(exact),
        Of.MIN: lambda: min(exact),
        Of.MEAN: lambda: sum(exact, Fraction(0)) / len(exact),
    }
    return found[of]()


def judge(of: Of, direction: Direction, limit: Decimal, amounts: Sequence[float | Decimal]) -> Finding | None:
    """The finding about a window of these amounts."""
    state, finding = Threshold(limit, of=of, direction=direction).judge(None, key_window(amounts))
    assert state is None
    return finding


@st.composite
def cases(draw: st.DrawFn) -> tuple[Of, Decimal, list[float | Decimal]]:
    """Amounts, and a limit that is at the value, next to it, or anywhere."""
    of = draw(st.sampled_from(Of))
    amounts = draw(st.lists(AMOUNTS, min_size=1, max_size=6))
    value = expected_value(of, amounts)
    near = st.builds(
        lambda digits, places: Decimal(round(value * 10**places) + digits).scaleb(-places),
        st.integers(-1, 1),
        st.sampled_from([0, 2, 4, 5, 18, 30]),
    )
    float_near = st.just(Decimal(float(value)) if abs(value) < Fraction(10) ** 300 else Decimal(0))
    limit = draw(near | float_near | st.sampled_from([Decimal(8000), Decimal(0), Decimal("-0.5")]))
    return of, limit, amounts


@settings(max_examples=200)
@given(cases(), SIDES)
def test_what_is_strictly_beyond_the_limit_is_an_anomaly(
    case: tuple[Of, Decimal, list[float | Decimal]], direction: Direction
) -> None:
    of, limit, amounts = case
    value = expected_value(of, amounts)
    beyond = value > Fraction(limit) if direction is Direction.ABOVE else value < Fraction(limit)
    assert beyond == (judge(of, direction, limit, amounts) is not None)


@pytest.mark.parametrize("direction", [Direction.ABOVE, Direction.BELOW])
@pytest.mark.parametrize(
    ("of", "limit"),
    [(Of.SUM, "0.6"), (Of.COUNT, "3"), (Of.MAX, "0.3"), (Of.MIN, "0.1"), (Of.MEAN, "0.2")],
)
def test_a_value_of_exactly_the_limit_is_no_anomaly(of: Of, limit: str, direction: Direction) -> None:
    assert judge(of, direction, Decimal(limit), [0.1, 0.2, 0.3]) is None
    step = Decimal("1e-20") * (-1 if direction is Direction.ABOVE else 1)
    assert judge(of, direction, Decimal(limit) + step, [0.1, 0.2, 0.3]) is not None


def test_a_mean_that_no_decimal_can_show_is_compared_exactly() -> None:
    third = Decimal("0.3333333333333333333333333333333333")
    assert judge(Of.MEAN, Direction.ABOVE, third, [1.0, 0.0, 0.0]) is not None
    assert judge(Of.MEAN, Direction.BELOW, Decimal("0.3333333333333333333333333333333334"), [1.0, 0.0, 0.0]) is not None


def test_the_finding_says_the_limit_and_the_value_where_that_is_not_the_sum() -> None:
    limit, greatest = Decimal("0.1"), Decimal("2.25000000000000000003")
    assert {
        Of.SUM: Finding(limit),
        Of.COUNT: Finding(limit, 3),
        Of.MAX: Finding(limit, greatest),
        Of.MIN: Finding(limit, Decimal("0.5")),
        Of.MEAN: Finding(limit, Decimal("1.25000000000000000001")),
    } == {of: judge(of, Direction.ABOVE, limit, [0.5, greatest, 1.0]) for of in Of}


@given(st.sampled_from(Of), st.lists(AMOUNTS, min_size=1, max_size=6))
def test_the_value_is_exact_and_a_mean_has_34_digits(of: Of, amounts: list[float | Decimal]) -> None:
    expected, found = expected_value(of, amounts), exactly(value_of(of, key_window(amounts).aggregate))
    if of is Of.MEAN:
        assert abs(expected - found) <= abs(expected) / 10**33
    else:
        assert expected == found


IDS = st.text(st.sampled_from("ab*\ud7ff\U0010ffff"), max_size=4)
NAMES = IDS | st.text(st.sampled_from("ab\U0010ffff"), max_size=2).map(lambda prefix: prefix + "*")


@settings(max_examples=200)
@given(st.lists(NAMES, max_size=8), st.none() | st.just(Decimal(-1)), IDS)
@example(["a*", "b*"], Decimal(-1), "b")
def test_an_ids_own_limit_applies_else_its_longest_prefixs_else_the_default(
    names: list[str], otherwise: Decimal | None, key: str
) -> None:
    every = {name: limit_for(Of.SUM, Direction.ABOVE, Decimal(number)) for number, name in enumerate(names)}
    default = None if otherwise is None else limit_for(Of.SUM, Direction.ABOVE, otherwise)
    if default is None and "*" not in every:
        with pytest.raises(ValueError, match="a limit for all other ids is missing"):
            LimitsById(every, default)
        return
    prefixes = [name for name in every if name.endswith("*") and key.startswith(name[:-1])]
    expected = default
    if prefixes:
        expected = every[max(prefixes, key=len)]
    if key in every and not key.endswith("*"):
        expected = every[key]
    assert expected is LimitsById(every, default).of(key)


def test_the_limit_that_applied_is_in_the_finding() -> None:
    limits = {"card-1": Decimal(10), "card-*": Decimal(20), "card-12*": Decimal(30)}
    detector = Threshold(Decimal(40), limits=limits)
    found = {}
    for key in ("card-1", "card-2", "card-12", "card-120", "shop-1"):
        _, finding = detector.judge(None, key_window([25.0], key))
        found[key] = finding and finding.limit
    assert {"card-1": 10, "card-2": 20, "card-12": None, "card-120": None, "shop-1": None} == found


def test_a_limit_for_all_ids_needs_no_other() -> None:
    detector = Threshold(None, limits={"a*": Decimal(5), "*": Decimal(1)})
    assert [1, None] == [(one := detector.judge(None, key_window([2.0], key))[1]) and one.limit for key in ("b", "a")]


@pytest.mark.parametrize("limits", [{}, {"a*": Decimal(1), "b": Decimal(1)}])
def test_ids_without_a_limit_are_refused(limits: dict[str, Decimal]) -> None:
    with pytest.raises(ValueError, match="a limit for all other ids is missing"):
        Threshold(None, limits=limits)


@pytest.mark.parametrize("of", Of)
def test_a_limit_with_two_sides_is_refused(of: Of) -> None:
    with pytest.raises(ValueError, match="not both"):
        Threshold(Decimal(1), of=of, direction=Direction.BOTH)


def steps(detector: Threshold, key: str) -> int:
    """How many instructions of the interpreter a verdict takes."""
    window = key_window([1.0], key)
    return steps_of(lambda: detector.judge(None, window))


@pytest.mark.parametrize(
    "name",
    [lambda number: f"tx-{number:05d}", lambda number: f"tx-{number:05d}*", lambda number: "t" * number + "*"],
    ids=["ids", "prefixes side by side", "prefixes inside each other"],
)
def test_ten_thousand_limits_take_as_many_steps_as_one(name: Callable[[int], str]) -> None:
    one, many = (
        Threshold(Decimal(10), limits={name(number): Decimal(20) for number in range(1, count + 1)})
        for count in (1, 10_000)
    )
    for key in (name(1), name(5_000), name(10_000), "a", "z"):
        assert steps(one, key.rstrip("*") + "!") == steps(many, key.rstrip("*") + "!")


def test_the_default_takes_no_search() -> None:
    assert steps(Threshold(Decimal(1)), "tx1") < steps(Threshold(Decimal(1), limits={"a": Decimal(1)}), "tx1")


def test_an_aggregate_of_floats_above_two_to_the_53_is_exact() -> None:
    aggregate: Aggregate = key_window([9_007_199_254_740_993.0, 2e15, Decimal("1e-30")]).aggregate
    assert limit_for(Of.SUM, Direction.ABOVE, Decimal(11_007_199_254_740_992)).crossed_by(aggregate)
    assert not limit_for(Of.SUM, Direction.BELOW, Decimal(11_007_199_254_740_992)).crossed_by(aggregate)
