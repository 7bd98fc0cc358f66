"""Says what a trained model would have flagged, and how to use it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from service.history.training.examples import Examples

MOST_LISTED: Final = 20
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def flagged(examples: Examples, scores: Sequence[float], limit: float, bad: Sequence[bool] | None) -> Iterator[str]:
    """Yield lines: how many windows are above the limit, and those with the highest scores."""
    found = sorted((at for at in range(len(scores)) if scores[at] > limit), key=lambda at: -scores[at])
    share = len(found) / len(scores)
    yield f"It would have flagged {len(found)} of these {len(scores)} windows ({share:.2%}):"
    for at in found[:MOST_LISTED]:
        described = ", ".join(
            f"{name} {value:.6g}" for name, value in zip(examples.names, examples.features_of(at), strict=True)
        )
        mark = "" if bad is None else " bad" if bad[at] else " not bad"
        yield f"  {_time(examples.starts_ms[at])} {examples.ids[at]!r} {scores[at]:.4f}{mark}: {described}"
    if len(found) > MOST_LISTED:
        yield f"  and {len(found) - MOST_LISTED} more"
    if bad is not None:
        right, wanted = sum(bad[at] for at in found), sum(bad)
        precision = f"{right / len(found):.3f}" if found else "none"
        yield f"precision {precision}, recall {right / wanted:.3f} ({wanted} windows are bad), on what it was fitted to"


def table(output: str, features: Sequence[str], limit: float, size_ms: int) -> Iterator[str]:
    """Yield the lines of the TOML table; JSON's strings and lists are TOML's, too."""
    yield f"# WINDOW_SIZE_MS={size_ms}: the model knows windows of this length only"
    yield "[[detectors]]"
    yield 'name = "model"'
    yield 'type = "model"'
    yield f"file = {json.dumps(output, ensure_ascii=False)}"
    yield f"features = {json.dumps(list(features))}"
    yield f"limit = {limit!r}"


def _time(start_ms: int) -> str:
    try:
        return f"{_EPOCH + timedelta(milliseconds=start_ms):%Y-%m-%dT%H:%M:%SZ}"
    except OverflowError:  # after the year 9999
        return str(start_ms)
