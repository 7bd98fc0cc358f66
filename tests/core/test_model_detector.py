"""The model detector: its features, its baseline, and what it makes of a model's outputs."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from statistics import mean, stdev
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.detectors import Finding, KeyWindow
from service.core.detectors.baseline import Baseline
from service.core.detectors.deviation import Deviation
from service.core.detectors.features import FEATURES, GREATEST, Features, need_baseline, need_extremes
from service.core.detectors.model import Model, Row, ScoreError
from service.core.model import Aggregate, EventTimeMs, Extremes, Offset, TumblingWindow

MONDAY_MS = 1_715_558_400_000
"""2024-05-13 00:00:00 UTC."""
HOUR_MS = 3_600_000


def key_window(
    *amounts: float | Decimal, late: int = 0, start_ms: int = MONDAY_MS, key: str = "tx1", extremes: bool = True
) -> KeyWindow:
    """A closed window of ten seconds with these amounts."""
    at_ms, offset = EventTimeMs(start_ms), Offset(0)
    aggregate = Aggregate(timestamp=at_ms, first_offset=offset, max_timestamp=at_ms, last_offset=offset)
    for amount in amounts:
        aggregate.add(amount)
        aggregate.count += 1
    aggregate.late_count = late
    if extremes:
        aggregate.extremes = Extremes(max(amounts), min(amounts))
    return KeyWindow(key, aggregate, TumblingWindow(start_ms, start_ms + 10_000), EventTimeMs(start_ms + 10_000))


def features_of(window: KeyWindow, baseline: Baseline | None = None) -> dict[str, float]:
    values = Features(FEATURES).of(window.aggregate, window.window, baseline)
    return dict(zip(FEATURES, values, strict=True))


def model(*features: str, limit: float = 0.5, score: Any = None) -> Model:  # noqa: ANN401
    return Model(score=score or (lambda rows: [row[0] for row in rows]), features=features or ("sum",), limit=limit)


def judged(detector: Model, *windows: KeyWindow) -> list[Finding | None]:
    """What is found in windows of one key, one after the other, in one call of the model."""
    state, rows = None, []
    for window in windows:
        state, row = detector.prepare(state, window)
        rows.append(row)
    return detector.judge_all(rows)


# ---- features -----------------------------------------------------------------------------------------------


def test_the_features_of_a_keys_first_window() -> None:
    window = key_window(10.25, 30.5, -0.75, 20.0, late=1, start_ms=MONDAY_MS + 13 * HOUR_MS)
    assert {
        "sum": 60.0,
        "count": 4,
        "max": 30.5,
        "min": -0.75,
        "mean": 15.0,
        "late_share": 0.25,
        "baseline_mean": 0,
        "baseline_deviation": 0,
        "baseline_windows": 0,
        "score": 0,
        "hour": 13,
        "weekday": 0,
    } == features_of(window)


@pytest.mark.parametrize("days", range(-7, 8))
@pytest.mark.parametrize("hour", [0, 1, 23])
def test_hour_and_weekday_are_of_the_windows_start_in_utc(days: int, hour: int) -> None:
    first = features_of(key_window(1.0, start_ms=MONDAY_MS + (24 * days + hour) * HOUR_MS))
    last = features_of(key_window(1.0, start_ms=MONDAY_MS + (24 * days + hour + 1) * HOUR_MS - 1))
    assert (hour, days % 7) == (first["hour"], first["weekday"]) == (last["hour"], last["weekday"])


def test_the_sum_is_the_exact_one() -> None:
    assert 0.3 == features_of(key_window(0.1, 0.2))["sum"]
    assert 1e25 == features_of(key_window(Decimal("1e25"), Decimal("1e-25")))["sum"]


def test_features_come_in_the_models_order() -> None:
    window = key_window(2.0, 4.0)
    assert (2, 6.0) == Features(["count", "sum"]).of(window.aggregate, window.window, None)


@pytest.mark.parametrize(
    ("names", "why"), [([], "no feature"), (["sum", "sums"], "'sums' is no"), (["sum"] * 2, "twice")]
)
def test_wrong_features_are_refused(names: list[str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        model_of(names)


def model_of(names: Sequence[str]) -> Model:
    return Model(score=list, features=names, limit=1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("amount", [1e39, 1e308, Decimal("9e300"), Decimal("9e399")])
@pytest.mark.parametrize("sign", [1, -1])
def test_every_feature_of_an_absurd_amount_is_a_finite_float32(amount: float | Decimal, sign: int) -> None:
    found = features_of(key_window(sign * amount, 1.0, 1.0), Baseline(40, 1.0, 1e-300))
    assert sign * GREATEST == found["sum"] == found["score"]
    assert all(abs(value) <= GREATEST for value in found.values())


amounts = st.floats(-1e12, 1e12).map(lambda amount: round(amount, 2))


@given(st.lists(st.lists(amounts, min_size=1, max_size=3), min_size=1, max_size=12))
def test_the_baseline_is_that_of_the_earlier_windows(windows: list[list[float]]) -> None:
    detector = model("baseline_windows", "baseline_mean", "baseline_deviation")
    state, sums = None, list[float]()
    for one in windows:
        state, row = detector.prepare(state, key_window(*one))
        expected = [len(sums), mean(sums or [0]), stdev(sums) if len(sums) > 1 else 0]
        assert row.values == pytest.approx(expected, rel=1e-6, abs=1e-3)
        sums.append(float(sum(map(Decimal, map(str, one)))))


@given(st.lists(st.integers(0, 50), min_size=28, max_size=34), st.integers(10**4, 10**6))
def test_the_score_is_that_of_a_default_deviation(before: list[int], last: int) -> None:
    detector, deviation = model("score"), Deviation()
    ours = theirs = None
    for amount in before:
        ours, _ = detector.prepare(ours, key_window(float(amount)))
        theirs, _ = deviation.judge(theirs, key_window(float(amount)))
    _, row = detector.prepare(ours, key_window(float(last)))
    _, finding = deviation.judge(theirs, key_window(float(last)))
    assert row.values == ((finding.score if finding else 0.0),)
    assert (finding is not None) is (len(before) >= 30 and len(set(before)) > 1)


def test_a_state_is_not_changed() -> None:
    state = Baseline(40, 5.0, 39.0)
    new, _ = model("score").prepare(state, key_window(7.0))
    assert (Baseline(40, 5.0, 39.0), 41) == (state, new.windows if new else None)


@pytest.mark.parametrize("name", FEATURES)
def test_what_a_feature_needs(name: str) -> None:
    has_state = name in {"baseline_mean", "baseline_deviation", "baseline_windows", "score"}
    assert (has_state, name in {"max", "min"}) == (need_baseline([name]), need_extremes([name]))
    detector = model("count" if name == "sum" else "sum", name)
    state, _ = detector.prepare(None, key_window(1.0, extremes=name in {"max", "min"}))
    assert (Baseline if has_state else None) is detector.state_type
    assert has_state is (state is not None) is bool(detector.state_kind)


def test_another_model_keeps_the_baselines() -> None:
    assert model("score").state_kind == model("sum", "baseline_mean", limit=9.0).state_kind


# ---- verdicts -----------------------------------------------------------------------------------------------


def test_an_output_above_the_limit_is_an_anomaly() -> None:
    found = judged(model("sum", "count", limit=8.0), key_window(8.0), key_window(4.0, 5.0), key_window(1.0))
    fields = {"score": 9.0, "features": {"sum": 9.0, "count": 2}}
    assert [None, Finding(8.0, score=9.0, fields=fields), None] == found


def test_all_windows_are_judged_in_one_call() -> None:
    calls: list[Any] = []

    def score(rows: Sequence[Sequence[float]]) -> Sequence[float]:
        calls.append(rows)
        return [0.0] * len(rows)

    detector = model("sum", "count", score=score)
    assert [None, None] == judged(detector, key_window(8.0), key_window(4.0, 5.0))
    assert [[(8.0, 1), (9.0, 2)]] == calls
    assert [] == detector.judge_all([])
    assert 1 == len(calls)


def test_an_infinite_output_is_the_greatest_number() -> None:
    found = judged(model(score=lambda _: [math.inf, -math.inf]), key_window(1.0), key_window(1.0))
    assert [GREATEST, None] == [one and one.score for one in found]


def test_an_output_that_is_no_number_names_id_and_window() -> None:
    row = Row((1.0,), "tx\n7", TumblingWindow(1_000, 2_000))
    with pytest.raises(ScoreError, match=r"not a number \(NaN\) for 'tx\\n7' in the window \[1000, 2000\)"):
        model(score=lambda _: [math.nan]).judge_all([row])


def test_a_model_that_drops_a_row_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        judged(model(score=lambda _: [0.0]), key_window(1.0), key_window(1.0))
