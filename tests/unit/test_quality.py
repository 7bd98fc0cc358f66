"""How good the detectors are: what bench.quality measures is right, and on a small slice no figure falls."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import functools
import re
from dataclasses import asdict
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from bench.quality import fraud, page, results, synthetic
from bench.quality.fraud import MINUTE_MS, SETTLED
from bench.quality.judging import Judged, judge, settings_of, windows_of
from bench.quality.payments import FIRST_MS, LARGE_CENTS, Payments, Plan, generate
from bench.quality.scoring import A_DAY, figures_of, highest_rank
from producer.reading.layout import Layout
from producer.reading.times import TimestampParser
from service.app.backtesting import Backtest
from service.app.csv_file import CsvFile
from service.core.detectors import DAY_MS
from service.history.backtest.report import fit_of
from service.process.stop import Stop
from service.settings import load

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


@functools.cache
def unbounded() -> Judged:
    """By a deviation without clip_sigmas."""
    some = payments()
    return judge(some.cards, some.times_ms, some.amounts, [{"name": "open", **DEVIATION, "min_windows": 10}], MINUTE_MS)


def test_bounding_what_goes_into_the_baseline_helps_against_compromised_cards() -> None:
    some = payments()
    bounded = figures_of(some, judged(), judged().scores["settled"]).average[3] or 0
    open_ones = figures_of(some, unbounded(), unbounded().scores["open"]).average[3] or 0
    assert bounded > open_ones + 0.05
    stolen = some.scenario == 3
    assert judged().alerts["settled"][stolen].mean() > 0.66
    assert unbounded().alerts["open"][stolen].mean() > 0.35


def test_a_window_is_judged_before_it_is_learned() -> None:
    most = int(np.bincount(payments().cards[unbounded().windows]).max())
    greatest_of_its_own = (most - 1) / np.sqrt(
        most
    )  # the most deviations that one of so many numbers can be from their mean
    assert unbounded().scores["open"].max() > 2 * greatest_of_its_own


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


def test_the_judging_is_that_of_backtest(tmp_path: Path) -> None:
    some, csv = payments(), tmp_path / "some.csv"
    some.write(csv, "card")
    episodes = {"name": "episodes", **DEVIATION, **SETTLED, "resolve_after": 3}
    tables = [*DETECTORS, episodes]
    test = Backtest(settings_of(DAY_MS, tables), None, labelled=True, budget=2.0, write=None)
    layout = Layout(TimestampParser("epoch_ms", UTC), extra=("fraud",))
    test.over_csv(CsvFile(str(csv), layout, Stop()), "fraud", lambda *_: None, Stop())
    found = judge(some.cards, some.times_ms, some.amounts, tables, DAY_MS)
    windows = found.windows
    bad = np.isin(windows, found.first[some.scenario > 0])
    assert test.report.side.windows == len(windows)
    for name in ("threshold", "settled"):
        scores = found.scores[name][windows]
        ours = average_precision_score(bad, np.where(scores == -np.inf, -1e9, scores))
        assert pytest.approx(test.report.side.quality.of(name)["average_precision"]) == ours
        assert test.report.side.alerts[name] == len(found.ends[name]) == found.alerts[name][windows].sum()
    opened = len(found.ends["episodes"])
    assert opened < len(found.ends["settled"])
    assert opened < test.report.side.alerts["episodes"] <= 2 * opened
    fit = fit_of(test.report, test.report.side.detectors[1])
    assert fit is not None
    assert fit.value is not None
    assert fit.anomalies == (found.scores["settled"][windows] > fit.value).sum()


# ---- the page -----------------------------------------------------------------------------------------------


def test_the_settings_of_the_page_can_be_used(tmp_path: Path) -> None:
    table = re.search(r"```toml\n(.*?)```", page.PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert table is not None
    (tmp_path / "try.toml").write_text(table[1])
    assert ["large-payment", "unusual-payment"] == [
        one.name for one in load(tmp_path / "try.toml", {}).settings.detectors
    ]


def test_the_page_is_filled_from_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marks = re.findall(r"<!-- (quality .*?) -->", page.PAGE.read_text(encoding="utf-8"))
    assert {f"quality {part}{rest}" for part in [*fraud.PLANNED, "models"] for rest in ("", ", budget")} < set(marks)
    (tmp_path / "page.md").write_text("".join(f"<!-- {mark} -->\n\nold\n\n<!-- end -->\n" for mark in marks))
    some, found = payments(), judged()
    figures = {"deviation-max": figures_of(some, found, found.scores["settled"])}
    part = asdict(fraud.Part(figures, {"episodes": fraud.at_its_limit(some, found, "settled")}))
    about = {"payments": len(some), "customers": 150, "days": 60, "seed": 7, "fraud": {"1": 5, "2": 6, "3": 7}}
    saved = tmp_path / "saved.json"
    for name in [*fraud.PLANNED, "models", "variants"]:
        results.put(saved, name, part | about)
    results.put(
        saved, "synthetic", {"a case": {"wanted": "it", "outcomes": {"one": {"before": 2, "hours": 3, "about": 1}}}}
    )
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(page, "PICTURES", tmp_path)
    page.write_page(results.load(saved))
    text = (tmp_path / "page.md").read_text()
    assert "old" not in text
    average = figures["deviation-max"].average
    assert f"| {average[0]:.3f} | {average[1]:.3f} | {average[2]:.3f} | {average[3]:.3f} |" in text
    assert f"{len(some):,} payments of 150 cards in 60 days, seed 7; 18 are fraud" in text
    assert "| one | **after 3 h**, 1 alert; 2 before it |" in text
    assert {"quality-detectors.svg", "quality-models.svg"} == {file.name for file in tmp_path.glob("*.svg")}


def test_every_table_of_the_page_has_figures() -> None:
    bodies = re.findall(r"<!-- quality (.*?) -->\n(.*?)<!-- end -->", page.PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert [] == [name for name, body in bodies if "|" not in body]
