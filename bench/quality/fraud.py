"""The generated payments through the detectors: by card and by terminal, in short and long windows, and by models."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.quality.judging import Detectors, Floats, Judged, judge, settings_of
from bench.quality.payments import FIRST_MS, LARGE_CENTS, SCENARIOS, Payments
from bench.quality.scoring import Figures, Found, figures_of, highest_rank, incidents_found
from producer.reading.layout import Layout
from producer.reading.times import TimestampParser
from service.app.csv_file import CsvFile
from service.app.training import read_examples, train, write
from service.core.detectors import DAY_MS
from service.process.stop import Stop

MINUTE_MS: Final = 60_000
WINDOWS: Final[Mapping[str, int]] = {"minute": MINUTE_MS, "hour": 60 * MINUTE_MS, "day": DAY_MS}
TRAINING_DAYS: Final = 60
TRAINED: Final = (1, 3)
"""What the classifier learns. A compromised terminal shows in no card's payments."""
FEATURES: Final[Mapping[str, Sequence[str]]] = {
    "classifier": ("sum", "count", "max", "mean", "baseline_mean", "baseline_deviation", "baseline_windows", "score"),
    "isolation forest": ("max", "score"),
}
"""The forest treats all features alike, so it gets those that show fraud."""
SHARE: Final = 0.01
SIGMAS: Final = 4.0

Say = Callable[[str], None]


def _threshold(name: str, of: str) -> dict[str, Any]:
    return {"name": name, "type": "threshold", "of": of, "limit": LARGE_CENTS / 100}


def _deviation(name: str, of: str, **fields: float) -> dict[str, Any]:
    return {"name": name, "type": "deviation", "of": of, "sigmas": SIGMAS, **fields}


SETTLED: Final = {"min_windows": 10, "clip_sigmas": 3}
"""What is best here: few windows are enough, and an attack is bounded."""
SUMS: Final = (
    _threshold("threshold-sum", "sum"),
    _threshold("threshold-max", "max"),
    _deviation("deviation-sum", "sum", **SETTLED),
    _deviation("deviation-max", "max", **SETTLED),
)
PLANNED: Final[Mapping[str, Detectors]] = {
    "card, minute": (
        _threshold("threshold-max", "max"),
        _deviation("deviation-max-default", "max"),
        _deviation("deviation-max-clip", "max", clip_sigmas=3),
        _deviation("deviation-max-fading", "max", half_life=30, **SETTLED),
        _deviation("deviation-max", "max", **SETTLED),
        _deviation("episodes", "max", resolve_after=3, **SETTLED),
    ),
    "card, hour": SUMS,
    "card, day": SUMS,
    "terminal, day": (
        _threshold("threshold-sum", "sum"),
        _deviation("deviation-count", "count", **SETTLED),
        _deviation("deviation-max", "max", **SETTLED),
    ),
}
"""By what is the id, and the length of windows."""
VARIANTS: Final = (
    *(_deviation(f"clip-{clip}", "max", min_windows=10, clip_sigmas=clip) for clip in (0, 1, 2, 3, 4, 6)),
    *(_deviation(f"windows-{least}", "max", min_windows=least, clip_sigmas=3) for least in (5, 20, 30)),
    *(
        _deviation(f"half-life-{half_life}-{least}", "max", half_life=half_life, min_windows=least, clip_sigmas=3)
        for half_life, least in ((30, 10), (30, 30), (100, 10), (100, 100), (100, 200))
    ),
)
"""The same detector with one thing changed: by card, windows of a minute."""
BESIDE: Final = (_threshold("threshold-max", "max"), _deviation("deviation-max", "max", **SETTLED))
"""What the models are compared with."""
COMBINED: Final = ("threshold-max", "deviation-max")


@dataclass(frozen=True)
class AtItsLimit:
    """What a detector's alerts are, by its own limit."""

    alerts_a_day: float
    precision: float | None
    """The share of the alerts whose window has a fraudulent payment."""
    by_scenario: dict[int, Found]


@dataclass
class Part:
    """What the detectors of one part of the plan find, by detector."""

    figures: dict[str, Figures]
    limits: dict[str, AtItsLimit]
    """Only where the same detector is tried with and without episodes."""


def judge_part(payments: Payments, what: str) -> Part:
    """Judge all payments without labels; ``what`` is one of PLANNED, or "variants"."""
    by, _, window = ("card, minute" if what == "variants" else what).partition(", ")
    detectors = VARIANTS if what == "variants" else PLANNED[what]
    judged = judge(payments.ids[by], payments.times_ms, payments.amounts, detectors, WINDOWS[window])
    figures = {name: figures_of(payments, judged, found) for name, found in _scores(judged).items()}
    limits = {}
    if "episodes" in judged.alerts:
        limits = {name: at_its_limit(payments, judged, name) for name in ("deviation-max", "episodes")}
    return Part(figures, limits)


def judge_models(payments: Payments, say: Say) -> Part:
    """Train on the first days, and judge the payments of the days after, those of scenario 2 left out."""
    with tempfile.TemporaryDirectory() as folder:
        detectors = [*BESIDE, *_models(payments, Path(folder), say)]
        judged = judge(payments.cards, payments.times_ms, payments.amounts, detectors, MINUTE_MS)
    scores = _scores(judged)
    return Part({name: figures_of(payments, judged, scores[name], TRAINING_DAYS, TRAINED) for name in scores}, {})


def _scores(judged: Judged) -> dict[str, Floats]:
    """The scores of each detector, and of the two that go well together. An episode does not change a score."""
    scores = {name: found for name, found in judged.scores.items() if name != "episodes"}
    if all(name in scores for name in COMBINED):
        scores["both"] = highest_rank([scores[name] for name in COMBINED], judged)
    return scores


def at_its_limit(payments: Payments, judged: Judged, name: str) -> AtItsLimit:
    """The alerts of a detector as it is configured."""
    alerts = judged.alerts[name]
    written = np.unique(judged.first[alerts])
    right = np.unique(judged.first[alerts & (payments.scenario > 0)])
    everything = np.ones(len(payments), dtype=np.bool_)
    return AtItsLimit(
        len(written) / payments.days,
        len(right) / len(written) if len(written) else None,
        {one: incidents_found(payments, judged, alerts, everything, one) for one in SCENARIOS},
    )


def _models(payments: Payments, folder: Path, say: Say) -> Iterator[dict[str, Any]]:
    """Train by the code of `txwatch train`; yields tables of detectors."""
    csv = folder / "training.csv"
    payments.write(csv, "card", TRAINED, before_ms=FIRST_MS + TRAINING_DAYS * DAY_MS)
    for kind, features in FEATURES.items():
        say(f"training the {kind}")
        labelled = kind == "classifier"
        layout = Layout(TimestampParser("epoch_ms", UTC), extra=("fraud",) if labelled else ())
        read = read_examples(CsvFile(str(csv), layout, Stop()), settings_of(MINUTE_MS), features, labelled=labelled)
        trained = train(read, seed=0, limit=None, share=SHARE)
        name = kind.replace(" ", "-")
        model = folder / f"{name}.onnx"
        write(trained.fitted.onnx, model)
        yield {"name": name, "type": "model", "file": str(model), "features": list(features), "limit": trained.limit}
