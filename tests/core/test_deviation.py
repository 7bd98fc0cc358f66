"""Baselines and the deviation detector against exact arithmetic."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.core.detectors import Direction, Finding, KeyWindow, Of
from service.core.detectors.baseline import Baseline, deviation_of, updated
from service.core.detectors.deviation import Deviation
from service.core.detectors.looked_at import LARGEST, NUMBERS, number_of, value_of
from tests.core.key_windows import key_window
from tests.strategies import AMOUNTS

DIGITS = Context(prec=60)
"""Exact enough: 60 digits."""


def window_of(value: float) -> KeyWindow:
    """A closed window with this sum."""
    return key_window([value])


def root(square: Fraction) -> Fraction:
    """A square root, to 60 digits."""
    exact = DIGITS.divide(Decimal(square.numerator), Decimal(square.denominator))
    return Fraction(DIGITS.sqrt(exact))


@dataclass
class Oracle:
    """The contract's formulas over all earlier values, worked out again each time and with fractions."""

    half_life: int
    values: list[Fraction]

    def mean_and_deviation(self) -> tuple[Fraction, Fraction]:
        """By definition, not by updates; with a half-life there is only the recursion."""
        count = len(self.values)
        if not self.half_life:
            mean = sum(self.values, Fraction(0)) / count
            squares = sum(((one - mean) ** 2 for one in self.values), Fraction(0))
            return mean, root(squares / (count - 1)) if count > 1 else Fraction(0)
        weight = 1 - Fraction(DIGITS.power(2, DIGITS.divide(Decimal(-1), self.half_life)))
        mean, variance = self.values[0], Fraction(0)
        for value in self.values[1:]:
            from_mean = value - mean
            mean += weight * from_mean
            variance = (1 - weight) * (variance + weight * from_mean**2)
        return mean, root(variance)


WHOLE = st.integers(-(10**6), 10**6)


@settings(max_examples=200)
@given(st.sampled_from([0, 1, 3, 50]), st.lists(WHOLE, min_size=1, max_size=40))
def test_mean_and_deviation_are_those_of_the_formulas(half_life: int, values: list[int]) -> None:
    baseline: Baseline | None = None
    for value in values:
        baseline = updated(baseline, float(value), half_life)
    assert baseline is not None
    mean, deviation = Oracle(half_life, [Fraction(one) for one in values]).mean_and_deviation()
    scale = max(map(abs, values)) + 1
    assert len(values) == baseline.windows
    assert float(mean) == pytest.approx(baseline.mean, abs=1e-12 * scale)
    assert float(deviation) == pytest.approx(deviation_of(baseline, half_life), abs=1e-9 * scale)


@dataclass(frozen=True)
class Given:
    """A detector's parameters."""

    sigmas: float
    direction: Direction
    min_windows: int
    half_life: int
    clip_sigmas: float

    def detector(self, of: Of = Of.SUM) -> Deviation:
        """The detector with them."""
        return Deviation(
            of=of,
            sigmas=self.sigmas,
            direction=self.direction,
            min_windows=self.min_windows,
            half_life=self.half_life,
            clip_sigmas=self.clip_sigmas,
        )


GIVEN = st.builds(
    Given,
    sigmas=st.sampled_from([0.5, 1.0, 3.0]),
    direction=st.sampled_from(Direction),
    min_windows=st.sampled_from([2, 3, 10]),
    half_life=st.sampled_from([0, 1, 7]),
    clip_sigmas=st.sampled_from([0.0, 0.25, 1.0, 3.0]),
)
VALUES = st.lists(st.integers(-3, 3) | st.integers(-(10**4), 10**4), min_size=1, max_size=25)


def findings(detector: Deviation, values: Iterable[float]) -> list[Finding | None]:
    """What is found in windows of these sums, one after the other."""
    state, found = None, []
    for value in values:
        state, finding = detector.judge(state, window_of(value))
        found.append(finding)
    return found


@settings(max_examples=150)
@given(GIVEN, VALUES)
@example(Given(0.5, Direction.ABOVE, 2, 0, 0.25), [0, 1, 2, 100, 0, 1, 3, 3])
@example(Given(0.5, Direction.BELOW, 2, 0, 0.25), [0, 1, -2, -100, 0, -1, -3])
def test_windows_are_judged_by_the_ones_before_them_and_then_go_in(parameters: Given, values: list[int]) -> None:
    oracle, found = Oracle(parameters.half_life, []), findings(parameters.detector(), map(float, values))
    for value, finding in zip(values, found, strict=True):
        goes_in = Fraction(value)
        mean, deviation = oracle.mean_and_deviation() if oracle.values else (Fraction(0), Fraction(0))
        if len(oracle.values) < parameters.min_windows or not deviation:
            assert finding is None
        else:
            score = (value - mean) / deviation
            side = 1 if score > 0 else -1
            looked_at = {Direction.ABOVE: (1,), Direction.BELOW: (-1,), Direction.BOTH: (1, -1)}
            if abs(abs(score) - Fraction(parameters.sigmas)) > Fraction(1, 10**6):  # nearer, a float may decide
                beyond = abs(score) > parameters.sigmas and side in looked_at[parameters.direction]
                assert beyond == (finding is not None)
            if finding is not None:
                limit = mean + side * Fraction(parameters.sigmas) * deviation
                assert finding.value is None
                assert (float(score), float(limit)) == pytest.approx((finding.score, finding.limit))
                assert {"baseline", "score"} == finding.fields.keys()
                assert finding.score == finding.fields["score"]
                expected = {"mean": float(mean), "deviation": float(deviation), "windows": len(oracle.values)}
                assert expected == pytest.approx(finding.fields["baseline"])
            if parameters.clip_sigmas:
                most = Fraction(parameters.clip_sigmas) * deviation
                goes_in = max(mean - most, min(goes_in, mean + most))
        oracle.values.append(goes_in)


def test_a_key_is_judged_from_its_first_window_after_min_windows_on() -> None:
    usual = [10.0, 12.0] * 15
    detector = Deviation()
    assert [None] * 30 == findings(detector, [*usual[:29], 900.0])
    assert findings(detector, [*usual, 900.0])[30] is not None


@pytest.mark.parametrize("half_life", [0, 5])
def test_a_deviation_of_exactly_0_judges_nothing_and_bounds_nothing(half_life: int) -> None:
    detector = Deviation(min_windows=2, half_life=half_life, clip_sigmas=1.0)
    found = findings(detector, [0.1, 0.1, 0.1, 0.1, 0.7, 50.0])
    assert [None] * 5 == found[:5]
    assert found[5] is not None
    assert found[5].fields["baseline"]["mean"] > 0.1, "0.7 went in as it was"


def test_a_deviation_however_small_judges() -> None:
    found = findings(Deviation(min_windows=2), [0.0001, 0.0002, 0.01])
    assert found[2] is not None
    assert 1e-4 > found[2].fields["baseline"]["deviation"]


def test_a_value_at_the_limit_is_no_anomaly() -> None:
    """Mean 2 and deviation 1, exactly."""
    assert [None] * 4 == findings(Deviation(sigmas=2.0, min_windows=3), [1.0, 2.0, 3.0, 4.0])
    assert findings(Deviation(sigmas=2.0, min_windows=3), [1.0, 2.0, 3.0, 4.0001])[3] is not None


def test_of_another_value_than_the_sum_the_finding_says_it_exactly() -> None:
    detector = Deviation(of=Of.MAX, min_windows=2)
    state = None
    for amount in (1.0, 2.0, Decimal("99.00000000000000000001")):
        state, finding = detector.judge(state, key_window([0.5, amount]))
    assert finding is not None
    assert Decimal("99.00000000000000000001") == finding.value


def test_judging_does_not_change_the_state() -> None:
    state = Baseline(40, 10.0, 100.0)
    first = Deviation(clip_sigmas=1.0).judge(state, window_of(99.0))
    assert Baseline(40, 10.0, 100.0) == state
    assert first == Deviation(clip_sigmas=1.0).judge(state, window_of(99.0))


def test_a_state_is_kept_where_only_limits_or_the_half_lifes_length_have_changed() -> None:
    kinds = {
        Deviation(half_life=5).state_kind,
        Deviation(half_life=50, sigmas=9, clip_sigmas=1, min_windows=5, direction=Direction.BOTH).state_kind,
    }
    others = {Deviation().state_kind, Deviation(of=Of.MAX, half_life=5).state_kind, Deviation(of=Of.MAX).state_kind}
    assert (1, 3, 4) == (len(kinds), len(others), len(kinds | others))


HUGE = st.sampled_from([Decimal("9e399"), Decimal("-9e399"), 1.7e308, -1.7e308, 5e-324, Decimal("1e-390"), 1e100])


@settings(max_examples=200)
@given(
    GIVEN,
    st.sampled_from(Of),
    st.lists(st.lists(HUGE | AMOUNTS | st.sampled_from([0.0, 1.0]), min_size=1, max_size=3), min_size=3, max_size=12),
)
def test_no_amount_makes_a_state_or_a_finding_that_is_no_number(
    parameters: Given, of: Of, windows: list[list[float | Decimal]]
) -> None:
    detector, state = parameters.detector(of), None
    for amounts in windows:
        state, finding = detector.judge(state, key_window(amounts))
        assert all(map(math.isfinite, (state.mean, state.spread)))
        assert state == msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=Baseline)
        if finding is not None:
            json.dumps([finding.limit, finding.score, dict(finding.fields)], allow_nan=False, default=str)


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e308])
@pytest.mark.parametrize("half_life", [0, 1e-300, 3.0, 1e300])
def test_a_baseline_of_infinities_stays_finite(value: float, half_life: float) -> None:
    state = updated(None, value, half_life)
    for each in (-value, value, 5.0, -value):
        state = updated(state, each, half_life)
        assert all(map(math.isfinite, (state.mean, state.spread, deviation_of(state, half_life))))


def test_the_number_of_a_window_is_the_nearest_float() -> None:
    windows: tuple[list[float | Decimal], ...] = (
        [0.1, 0.2],
        [0.1, Decimal("0.30000000000000000001")],
        [1e15, 1e15, 7.0],
        [Decimal("1e399")],
    )
    for amounts in windows:
        aggregate = key_window(amounts).aggregate
        for of in Of:
            exact = float(value_of(of, aggregate))
            assert max(-LARGEST, min(exact, LARGEST)) == number_of(of, aggregate) == NUMBERS[of](aggregate)


LEVELS = {
    "everyday amounts": lambda draw: round(draw.lognormvariate(4, 1) * 100),
    "a level far above its spread": lambda draw: 100_000_000 + draw.randrange(-100, 100),
    "few values": lambda draw: draw.choice([1, 2, 250_000]),
}
"""Sums of a key's windows, in cents."""
MEAN_WITHIN, DEVIATION_WITHIN = 1e-6, 1e-9
"""In deviations. Found were at most 2e-7 (a level of a million and a deviation of 0.6) and 3e-11."""


def exact_baseline(start: Baseline | None, cents: Sequence[int]) -> tuple[Fraction, Fraction]:
    """Mean and deviation after these values, by sums of whole numbers."""
    count, total, squares = len(cents), Fraction(sum(cents), 100), Fraction(sum(one * one for one in cents), 10_000)
    if start is not None:
        mean = Fraction(start.mean)
        count, total = count + start.windows, total + start.windows * mean
        squares += Fraction(start.spread) + start.windows * mean**2
    return total / count, root((squares - total * total / count) / (count - 1))


def exact_weighted(start: Baseline | None, cents: Sequence[int], half_life: int) -> tuple[Decimal, Decimal]:
    """The same with a half-life, with 60 digits."""
    context = DIGITS
    weight = context.subtract(1, context.power(2, context.divide(Decimal(-1), half_life)))
    kept = context.subtract(1, weight)
    first = Decimal(cents[0]) / 100
    mean, variance = (first, Decimal(0)) if start is None else (Decimal(start.mean), Decimal(start.spread))
    for one in cents[start is None :]:
        from_mean = context.subtract(Decimal(one) / 100, mean)
        step = context.multiply(weight, from_mean)
        mean = context.add(mean, step)
        variance = context.multiply(kept, context.add(variance, context.multiply(step, from_mean)))
    return mean, context.sqrt(variance)


def errors(start: Baseline | None, cents: Sequence[int], half_life: int) -> tuple[float, float]:
    """How far mean and deviation are from the exact ones, both in exact deviations."""
    state = start
    tracer = sys.gettrace()
    sys.settrace(None)  # coverage would make these loops several times as dear; shorter tests cover their lines
    try:
        for one in cents:
            state = updated(state, one / 100, half_life)
        mean, deviation = exact_weighted(start, cents, half_life) if half_life else exact_baseline(start, cents)
    finally:
        sys.settrace(tracer)
    assert state is not None
    found = deviation_of(state, half_life)
    return (
        float(abs(Fraction(state.mean) - Fraction(mean)) / Fraction(deviation)),
        float(abs(Fraction(found) / Fraction(deviation) - 1)),
    )


@pytest.mark.slow
@pytest.mark.parametrize(("level", "half_life"), [*((level, 0) for level in LEVELS), ("everyday amounts", 1_000)])
def test_a_million_updates_stay_near_exact_arithmetic(level: str, half_life: int) -> None:
    draw = random.Random(level)  # noqa: S311 - the same values each time
    of_mean, of_deviation = errors(None, [LEVELS[level](draw) for _ in range(1_000_000)], half_life)
    assert of_mean < MEAN_WITHIN
    assert of_deviation < DEVIATION_WITHIN


@pytest.mark.parametrize("half_life", [0, 1_000])
@pytest.mark.parametrize("level", LEVELS)
def test_a_hundred_thousand_updates_after_10_to_the_9_stay_near_exact_arithmetic(level: str, half_life: int) -> None:
    draw = random.Random(level)  # noqa: S311 - the same values each time
    cents = [LEVELS[level](draw) for _ in range(100_000)]
    mean, deviation = exact_baseline(None, cents[:1_000])
    windows = 10**9
    spread = float(deviation) ** 2 * (1 if half_life else windows - 1)
    of_mean, of_deviation = errors(Baseline(windows, float(mean), spread), cents, half_life)
    assert of_mean < MEAN_WITHIN
    assert of_deviation < DEVIATION_WITHIN


@pytest.mark.parametrize("half_life", [0, 5])
def test_a_score_is_that_of_the_finding_and_there_is_none_before_it_judges(half_life: int) -> None:
    detector = Deviation(sigmas=2, direction=Direction.BOTH, min_windows=3, half_life=half_life, clip_sigmas=0)
    state: Baseline | None = None
    for value in (100.0, 110.0, 90.0):
        assert detector.score(state, window_of(value)) is None
        state, _ = detector.judge(state, window_of(value))
    assert state is not None
    for value in (500.0, -500.0):
        _, finding = detector.judge(state, window_of(value))
        assert finding is not None
        assert detector.score(state, window_of(value)) == finding.score
        assert math.copysign(1, finding.score or 0) == math.copysign(1, value)
    assert detector.score(state, window_of(state.mean)) == 0
