"""How good the detectors are: what bench.quality measures is right, and on a small slice no figure falls."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.quality import nab, synthetic
from bench.quality.fraud import MINUTE_MS, SETTLED
from bench.quality.judging import Floats, Judged, judge, windows_of
from bench.quality.nab_scoring import PROFILES, Labelled, not_scored, only_where, score, worth
from bench.quality.payments import FIRST_MS, LARGE_CENTS, Payments, Plan, generate
from bench.quality.scoring import A_DAY, figures_of, highest_rank
from service.core.detectors import DAY_MS

SLICE = Plan(customers=150, terminals=300, days=60, seed=7, terminals_a_day=0.05, cards_a_day=0.5)
DEVIATION: dict[str, Any] = {"type": "deviation", "of": "max", "sigmas": 4.0}
DETECTORS: list[dict[str, Any]] = [
    {"name": "threshold", "type": "threshold", "of": "max", "limit": 220},
    {"name": "settled", **DEVIATION, **SETTLED},
]


@functools.cache
def payments() -> Payments:
    return generate(SLICE)


@functools.cache
def judged() -> Judged:
    some = payments()
    return judge(some.cards, some.times_ms, some.amounts, DETECTORS, MINUTE_MS)


# ---- the guard ----------------------------------------------------------------------------------------------


def test_no_figure_falls_on_a_small_slice() -> None:
    found, some = judged(), payments()
    scores = {**found.scores, "both": highest_rank([found.scores["threshold"], found.scores["settled"]], found)}
    average = {name: figures_of(some, found, each).average for name, each in scores.items()}
    least = {
        ("threshold", 1): 0.99,
        ("settled", 3): 0.75,
        ("both", 1): 0.99,
        ("both", 3): 0.78,
        ("both", 0): 0.57,
    }
    too_low = {
        where: average[where[0]][where[1]] for where in least if (average[where[0]][where[1]] or 0) < least[where]
    }
    assert {} == too_low


def test_bounding_what_goes_into_the_baseline_helps_against_compromised_cards() -> None:
    some = payments()
    without = judge(
        some.cards, some.times_ms, some.amounts, [{"name": "open", **DEVIATION, "min_windows": 10}], MINUTE_MS
    )
    bounded, unbounded = (
        figures_of(some, *each).average[3] or 0
        for each in ((judged(), judged().scores["settled"]), (without, without.scores["open"]))
    )
    assert bounded > unbounded + 0.05


@pytest.mark.parametrize(
    ("case", "detector", "expected"),
    [
        ("level shift", "the same in episodes", (0, 1, 1)),
        ("poisoning", "deviation", (24, None, 0)),
        ("poisoning", "deviation, clip", (24, 1, 1)),
        ("slow drift", "deviation, fading", (0, None, 0)),
        ("silence", "inactivity", (0, 11, 1)),
    ],
)
def test_what_a_detector_does_in_a_synthetic_case(case: str, detector: str, expected: tuple[Any, ...]) -> None:
    found = cases()[case][detector]
    assert expected == (found.before, found.hours, found.about)


@functools.cache
def cases() -> dict[str, Any]:
    return {case.name: synthetic.outcomes(case, forest=False) for case in synthetic.cases()}


# ---- the payments -------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_payments() -> None:
    again, other = generate(SLICE), generate(Plan(**{**vars(SLICE), "seed": 8}))
    assert payments().cents.tolist() == again.cents.tolist()
    assert payments().cents.tolist() != other.cents.tolist()


def test_payments_are_fraud_by_the_three_scenarios() -> None:
    some = payments()
    days = (some.times_ms - FIRST_MS) // DAY_MS
    assert bool((np.diff(some.times_ms) >= 0).all())
    assert bool((some.scenario[(some.cents > LARGE_CENTS)] > 0).all())
    assert bool((some.cents[some.scenario == 1] > LARGE_CENTS).all())
    for scenario, ids, length in ((2, some.terminals, 28), (3, some.cards, 14)):
        incidents = np.unique(some.incident[some.scenario == scenario])
        assert len(incidents) > 0
        for incident in incidents:
            its = some.incident == incident
            assert 1 == len(np.unique(ids[its]))
            assert days[its].max() - days[its].min() < length
            others = (ids == ids[its][0]) & (days >= days[its].min()) & (days <= days[its].max()) & ~its
            if scenario == 2:
                assert bool((some.scenario[others] > 0).all())
    honest, stolen = some.scenario == 0, some.scenario == 3
    counts = np.bincount(some.cards[honest], minlength=SLICE.customers)
    means = np.bincount(some.cards[honest], some.cents[honest], SLICE.customers) / np.maximum(counts, 1)
    ratio = (some.cents[stolen] / means[some.cards[stolen]]).mean()
    assert 4 < ratio < 6


def test_the_csv_is_that_of_the_payments(tmp_path: Path) -> None:
    some = payments()
    some.write(tmp_path / "some.csv", "card", bad=(1, 3))
    header, *lines = (tmp_path / "some.csv").read_text().splitlines()
    assert "transaction_id,timestamp,amount,fraud" == header
    assert len(some) == len(lines)
    at = int(np.flatnonzero(some.scenario == 3)[0])
    cents = int(some.cents[at])
    assert f"card-{some.cards[at]},{some.times_ms[at]},{cents // 100}.{cents % 100:02},1" == lines[at]
    assert int(np.isin(some.scenario, (1, 3)).sum()) == sum(line.endswith(",1") for line in lines)


# ---- the figures --------------------------------------------------------------------------------------------


def four_payments() -> tuple[Payments, Judged]:
    """Two hours of two cards: one honest window, one of two payments with a fraud, one of a fraud alone."""
    ints = functools.partial(np.array, dtype=np.int64)
    times_ms = FIRST_MS + ints([0, 10, 20, 70]) * MINUTE_MS
    scenario, incident = ints([0, 0, 3, 1]), ints([-1, -1, 5, 6])
    some = Payments(times_ms, ints([1, 2, 2, 1]), ints([0, 0, 0, 0]), ints([1, 2, 3, 4]), scenario, incident, 1)
    return some, windows_of(some.cards, times_ms, 60 * MINUTE_MS)


def test_a_payment_scores_as_its_window_does() -> None:
    some, found = four_payments()
    assert [0, 1, 1, 3] == found.first.tolist()
    figures = figures_of(some, found, np.array([1.0, 2.0, 2.0, 3.0]))
    assert {0: pytest.approx(0.5 * 1 + 0.5 * 2 / 3), 1: 1.0, 2: None, 3: 0.5} == figures.average
    assert (None, 3) == (figures.limit, figures.alerts_a_day)
    assert pytest.approx(2 / 3) == figures.precision
    hours = {scenario: one.hours for scenario, one in figures.by_scenario.items()}
    assert {1: pytest.approx(50 / 60), 2: None, 3: pytest.approx(40 / 60)} == hours
    assert [(1, 1), (0, 0), (1, 1)] == [(one.incidents, one.found) for one in figures.by_scenario.values()]


def test_what_is_not_judged_is_found_last() -> None:
    some, found = four_payments()
    figures = figures_of(some, found, np.array([1.0, -np.inf, -np.inf, 3.0]))
    assert 0.5 + 0.5 * 2 / 4 == figures.average[0]
    assert (1, 0) == (figures.by_scenario[3].incidents, figures.by_scenario[3].found)


def test_the_budget_is_that_of_backtest() -> None:
    ids, rows = np.arange(1_000), 1_000
    nothing = np.zeros(rows, dtype=np.int64)
    some = Payments(nothing + FIRST_MS, ids, ids, ids, nothing, nothing - 1, days=2)
    some.scenario[900:950] = 1
    some.incident[900:950] = ids[:50]
    figures = figures_of(some, windows_of(ids, some.times_ms, MINUTE_MS), ids.astype(np.float64))
    assert (2 * A_DAY, 0.25) == (figures.alerts_a_day * 2, figures.precision)


def test_the_highest_rank_compares_scores_of_two_detectors() -> None:
    _, found = four_payments()
    ranks = highest_rank([np.array([9.0, 1.0, 1.0, 2.0]), np.array([-np.inf, 0.2, 0.2, 0.1])], found)
    assert [1.0, 1.0, 1.0, pytest.approx(2 / 3)] == ranks.tolist()


# ---- the Numenta benchmark ----------------------------------------------------------------------------------


def scores_at(rows: dict[int, float], count: int = 1_000) -> Floats:
    found = np.zeros(count)
    for row, value in rows.items():
        found[row] = value
    return found


STANDARD = PROFILES["standard"]
WINDOWS = [(400, 499), (700, 799)]


def points(rows: dict[int, float], profile: str = "standard") -> float:
    return score([Labelled(scores_at(rows), WINDOWS)], PROFILES[profile]).score


def test_a_perfect_detector_has_100_and_one_that_finds_nothing_0() -> None:
    assert [100.0] * 3 == [points({400: 1, 700: 1}, profile) for profile in PROFILES]
    nothing = [Labelled(np.full(1_000, -np.inf), WINDOWS)]
    assert [0.0] * 3 == [score(nothing, profile).score for profile in PROFILES.values()]


def test_a_detection_is_worth_more_the_earlier_it_is() -> None:
    assert [0.98661, 0.84828, 0.0, -0.98661, -1.0] == [round(worth(at), 5) for at in (-1, -0.5, 0, 1, 3)]
    assert 100 > points({400: 1, 750: 1}) > points({400: 1, 790: 1}) > points({400: 1}) == 50
    late = worth(-0.5) / worth(-1)
    assert pytest.approx(100 * (1 + late + 2) / 4) == points({400: 1, 750: 1})


def test_only_the_best_detection_of_a_window_counts() -> None:
    assert points({400: 1, 700: 1}) == points({400: 1, 450: 1, 499: 1, 700: 1})


def test_a_false_alarm_costs_what_the_profile_says() -> None:
    at_begin = {300: 1.0, 400: 1.0, 700: 1.0}
    assert pytest.approx(100 - 100 * 0.11 / 4) == points(at_begin)
    assert pytest.approx(100 - 100 * 0.22 / 4) == points(at_begin, "reward_low_FP_rate")
    assert pytest.approx(100 - 100 * 0.11 / 6) == points(at_begin, "reward_low_FN_rate")
    assert points({400: 1, 510: 1, 700: 1}) > points({400: 1, 600: 1, 700: 1}) > points(at_begin)


def test_the_threshold_is_one_for_all_series_and_the_best_one() -> None:
    alarms = {300: 0.5, 310: 0.5, 320: 0.5, 400: 0.9, 700: 0.8}
    found = score(
        [Labelled(scores_at(alarms), WINDOWS), Labelled(scores_at({10: 1.0, 650: 0.7}), [(600, 699)])], STANDARD
    )
    assert 0.7 == found.threshold
    assert pytest.approx(100 * (2 + worth(-0.5) / worth(-1) + 3) / 6) == found.score


def test_the_begin_of_a_series_is_not_scored() -> None:
    assert 100.0 == points({149: 1, 400: 1, 700: 1}) > points({150: 1, 400: 1, 700: 1})
    assert (150, 750, 750) == (not_scored(1_000), not_scored(5_000), not_scored(20_000))


def test_a_row_without_an_alert_is_no_detection() -> None:
    rows = only_where(scores_at({300: 1, 400: 1, 700: 1}), scores_at({400: 1, 700: 1}) > 0)
    assert 100.0 == score([Labelled(rows, WINDOWS)], STANDARD).score


def folder_of(path: Path, series: dict[str, tuple[list[float], list[tuple[int, int]]]]) -> Path:
    """Write series in the benchmark's layout: a value every five minutes, and windows by their rows."""
    labels = {}
    for name, (values, windows) in series.items():
        times = [f"2014-04-{1 + row // 288:02} {row % 288 // 12:02}:{row % 12 * 5:02}:00" for row in range(len(values))]
        file = path / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = [f"{at},{value}" for at, value in zip(times, values, strict=True)]
        file.write_text("\n".join(["timestamp,value", *rows, ""]))
        labels[name] = [[f"{times[begin]}.000000", f"{times[end]}.000000"] for begin, end in windows]
    (path / "labels").mkdir()
    (path / "labels" / "combined_windows.json").write_text(json.dumps(labels))
    return path


def a_spike(seed: int, at: int, count: int = 1_000) -> list[float]:
    values = np.random.default_rng(seed).normal(50, 2, count)
    values[at] = 90
    return [round(value, 3) for value in values.tolist()]


def test_series_of_the_benchmarks_layout_are_read_and_judged(tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path,
        {
            "one/a.csv": (a_spike(1, 500), [(500, 549)]),
            "two/b.csv": (a_spike(2, 700), [(680, 719)]),
            "two/quiet.csv": ([5.0, 5.5, 1e-5, -3.25], []),
        },
    )
    series = nab.read(folder)
    assert ["one/a.csv", "two/b.csv", "two/quiet.csv"] == [one.name for one in series]
    assert [[(500, 549)], [(680, 719)], []] == [one.windows for one in series]
    assert 300_000 == series[0].times_ms[1] - series[0].times_ms[0]
    assert ["5.0", "5.5", "1e-05", "-3.25"] == list(series[2].values)
    found = nab.figures(series, lambda _: None)
    best = 100 * (1 + worth(-0.5) / worth(-1) + 2) / 4
    assert {name: pytest.approx(best) for name in found} == {name: each["standard"] for name, each in found.items()}
    assert set(PROFILES) == set(found["deviation"])


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("labels/combined_windows.json", "{", "combined_windows.json: Expecting property name"),
        ("labels/combined_windows.json", "{}", "combined_windows.json: there is no one/a.csv"),
        (
            "labels/combined_windows.json",
            '{"one/a.csv": [["2020-01-01 00:00:00", "2020-01-02 00:00:00"]]}',
            "one/a.csv: a window",
        ),
        ("data/one/a.csv", "timestamp,value\n2014-04-01 00:00:00,x\n", "a.csv: line 2: could not convert"),
        ("data/one/a.csv", "time,value\n2014-04-01 00:00:00,1\n", "a.csv: line 2: 'timestamp'"),
    ],
)
def test_a_folder_of_another_layout_is_refused_by_one_line(
    tmp_path: Path, file: str, text: str, complaint: str
) -> None:
    folder = folder_of(tmp_path, {"one/a.csv": ([1.0, 2.0, 3.0], [])})
    (folder / file).write_text(text)
    with pytest.raises(nab.LayoutError) as caught:
        nab.read(folder)
    assert complaint in str(caught.value)
    assert 1 == len(str(caught.value).splitlines())


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "combined_windows.json").write_text("{}")
    with pytest.raises(nab.LayoutError, match=r"there is no GROUP/NAME\.csv"):
        nab.read(tmp_path)
