"""Trains a model: reads a CSV, fits, compares the outputs of both libraries, and writes the file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from service.app.csv_file import CsvFile
from service.app.from_settings import task_rules
from service.app.onnx_model import load
from service.core.detectors.features import need_extremes
from service.core.model import AggregateDetail
from service.history.csv_windows import CsvWindows, Tally
from service.history.training.examples import Examples, bad_rows
from service.history.training.limit import flipped, limit_for
from service.settings import Settings, SettingsError

if TYPE_CHECKING:
    from service.history.training.fit import Fitted

LIMIT_OF_PROBABILITY: Final = 0.5
LEAST_WINDOWS: Final = 2
"""A tree over one window has no branch."""


class TrainingError(Exception):
    """There is nothing to fit, or the file would not do what scikit-learn does. The text is one line."""


@dataclass(slots=True)
class Read:
    """What a CSV holds."""

    examples: Examples
    tally: Tally
    malformed: int = 0
    skipped: int = 0
    odd_labels: int = 0
    bad: Sequence[bool] | None = None
    """For each example, whether it is bad; None without labels."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A model that can be written, and its verdicts on the examples."""

    fitted: Fitted
    limit: float
    scores: Sequence[float]
    """The output of the ONNX model for each example."""


def read_examples(csv: CsvFile, settings: Settings, features: Sequence[str], *, labelled: bool) -> Read:
    """Close the windows of a CSV, in event time, by the settings' window size and lateness.

    Raises:
        SettingsError: the file cannot be read.
        TrainingError: there are too few windows, or the labels do not say both bad and not bad.
    """
    detail = AggregateDetail(extremes=need_extremes(features))
    windows = CsvWindows(task_rules(settings, detail))
    read = Read(Examples(features), windows.tally)
    for chunk in csv.chunks():
        rows = chunk.rows
        read.malformed += len(chunk.rejects)
        read.skipped += len(chunk.skipped)
        bad, odd = bad_rows(rows.extra[0]) if labelled and rows else (set(), 0)
        read.odd_labels += odd
        read.examples.add(windows.read(rows.transaction_ids, rows.timestamps_ms, rows.amounts, bad))
    read.examples.add(windows.end())
    if len(read.examples) < LEAST_WINDOWS:
        raise TrainingError(f"{csv.name} has rows in {len(read.examples)} windows; fitting needs {LEAST_WINDOWS}")
    if labelled:
        read.bad = read.examples.are_bad(windows.bad)
        if len(set(read.bad)) == 1:
            which = "every window is bad" if read.bad[0] else "no window is bad: no cell is 1 or true"
            raise TrainingError(f"{csv.name}: {which}; a classifier needs both")
    return read


def train(read: Read, *, seed: int, limit: float | None, share: float) -> Trained:
    """Fit, and compare what both libraries give for every example.

    Args:
        read: the examples.
        seed: the same seed gives the same model.
        limit: the limit of the scores; None chooses one.
        share: without labels and limit, the share of the examples that may be above it.

    Raises:
        SettingsError: the extra is not installed.
        TrainingError: the two outputs differ in a verdict.
    """
    try:
        from service.history.training.fit import classifier, isolation_forest  # noqa: PLC0415 - an extra
    except ImportError:
        raise SettingsError("train needs scikit-learn and skl2onnx: pip install 'txwatch[train]'") from None
    examples, width = read.examples, len(read.examples.names)
    if read.bad is None:
        fitted = isolation_forest(examples.values, width, seed)
    else:
        fitted = classifier(examples.values, width, seed, read.bad)
    scores = _scores_of(fitted, examples)
    if limit is None:
        limit = limit_for(scores, share) if read.bad is None else LIMIT_OF_PROBABILITY
    if (index := flipped(scores, fitted.scores, limit)) is not None:
        raise TrainingError(
            f"the ONNX model gives {scores[index]!r} where scikit-learn gives {fitted.scores[index]!r}, on the other"
            f" side of the limit {limit!r}, for {examples.ids[index]!r} in the window from {examples.starts_ms[index]};"
            " nothing was written; try another --limit or --seed"
        )
    return Trained(fitted, limit, scores)


def _scores_of(fitted: Fitted, examples: Examples) -> list[float]:
    """The scores as the service would get them: the same loading, from a file."""
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(fitted.onnx)
        file.flush()
        score = load(Path(file.name), examples.names, where="the trained model")
        return score([examples.features_of(index) for index in range(len(examples))])


def write(model: bytes, output: Path) -> None:
    """Write the file whole or not at all; raises OSError."""
    partial = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        partial.write_bytes(model)
        partial.replace(output)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
