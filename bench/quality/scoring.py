"""Figures of a detector over labelled payments. A payment scores as its window does.

Average precision and limits are those of `backtest` (service.history.backtest.tallies).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from sklearn.metrics import average_precision_score

from bench.quality.judging import Bools, Floats, Judged
from bench.quality.payments import FIRST_MS, SCENARIOS, Payments
from service.core.detectors import DAY_MS
from service.history.backtest.tallies import Scores, median

A_DAY: Final = 100
"""The budget of alerts a day."""
EXACT: Final = 10_000_000
"""So many different scores are kept without rounding."""


@dataclass(frozen=True)
class Found:
    """What is found of some fraud within the budget."""

    incidents: int
    found: int
    """Incidents with an alert."""
    hours: float | None
    """From an incident's first payment to the end of its first window with an alert: the median."""


@dataclass(frozen=True)
class Figures:
    """A detector's figures over a span."""

    payments: int
    share: float
    """Of the payments, so many are fraud: the average precision of a guess."""
    average: dict[int, float | None]
    """Average precision of payments, by scenario; 0 is all of them. Those of other scenarios are left out."""
    limit: float | None
    """The least limit with at most A_DAY alerts a day over the span; None: even all windows are fewer."""
    alerts_a_day: float
    precision: float | None
    """The share of the alerts at that limit whose window has a fraudulent payment."""
    by_scenario: dict[int, Found]


def figures_of(
    payments: Payments, judged: Judged, scores: Floats, from_day: int = 0, bad: tuple[int, ...] = SCENARIOS
) -> Figures:
    """Score payments from a day on. Scenarios that are not in ``bad`` are left out altogether."""
    span = payments.times_ms >= FIRST_MS + from_day * DAY_MS
    known = span & np.isin(payments.scenario, (0, *bad))
    average = {0: _average(payments, scores, known)}
    for one in bad:
        average[one] = _average(payments, scores, span & np.isin(payments.scenario, (0, one)))
    days = payments.days - from_day
    limit = _windows(payments, judged, scores, known).limit_for(A_DAY * days)
    flagged = known & (scores > (-np.inf if limit is None else limit[0]))
    right = len(np.unique(judged.first[flagged & (payments.scenario > 0)]))
    alerts = len(np.unique(judged.first[flagged]))
    return Figures(
        int(known.sum()),
        float((payments.scenario[known] > 0).mean()),
        average,
        None if limit is None else limit[0],
        alerts / days,
        right / alerts if alerts else None,
        {one: incidents_found(payments, judged, flagged, span, one) for one in bad},
    )


def incidents_found(payments: Payments, judged: Judged, flagged: Bools, span: Bools, scenario: int) -> Found:
    """Which incidents of a scenario have an alert, and how soon."""
    its = np.flatnonzero(span & (payments.scenario == scenario))
    of = payments.incident[its]
    began = dict(zip(of[::-1].tolist(), payments.times_ms[its][::-1].tolist(), strict=True))  # the first one stays
    hit = flagged[its]
    detected = dict(zip(of[hit][::-1].tolist(), judged.end_ms[its][hit][::-1].tolist(), strict=True))
    took_ms = median(detected[incident] - began[incident] for incident in detected)
    return Found(len(began), len(detected), None if took_ms is None else took_ms / 3_600_000)


def highest_rank(all_scores: list[Floats], windows: Judged) -> Floats:
    """One score of several detectors: the greatest of a window's ranks, each rank the share of windows not above it."""
    ranks = []
    for scores in all_scores:
        ordered = np.sort(scores[windows.windows])
        ranks.append(np.searchsorted(ordered, scores, side="right") / len(ordered))
    highest: Floats = np.max(ranks, axis=0)
    return highest


def _average(payments: Payments, scores: Floats, which: Bools) -> float | None:
    """What is not judged comes last. scikit-learn's function: tests hold `backtest`'s to it, and it is faster."""
    bad = payments.scenario[which] > 0
    if not bad.any():
        return None
    found = scores[which]
    return float(average_precision_score(bad, np.where(found == -np.inf, np.finfo(np.float64).min, found)))


def _windows(payments: Payments, judged: Judged, scores: Floats, which: Bools) -> Scores:
    """The windows with such a payment, by score."""
    tally = Scores(EXACT)
    bad = np.unique(judged.first[which & (payments.scenario > 0)])
    firsts = np.unique(judged.first[which])
    for score, is_bad in zip(scores[firsts].tolist(), np.isin(firsts, bad).tolist(), strict=True):
        tally.add(None if score == -np.inf else score, bad=is_bad)
    return tally
