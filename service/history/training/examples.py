"""The windows that a model is fitted to: features, ids, and which are bad."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Final

from service.core.detectors import KeyWindow
from service.core.detectors.model import Model
from service.core.model import WindowClosed

BAD: Final = frozenset({"1", "true"})
NOT_BAD: Final = frozenset({"0", "false", ""})


def bad_rows(labels: Sequence[str]) -> tuple[set[int], int]:
    """The indexes of the labels that say bad, and how many say neither bad nor not bad."""
    texts = [label.strip().lower() for label in labels]
    return {index for index, text in enumerate(texts) if text in BAD}, sum(text not in BAD | NOT_BAD for text in texts)


def _no_scores(_rows: Sequence[Sequence[float]]) -> Sequence[float]:
    raise AssertionError("the model is not fitted yet")


class Examples:
    """One example for each key of each closed window. The detector itself reads the features and keeps baselines."""

    def __init__(self, features: Sequence[str]) -> None:
        """Take the features' names, in the model's order; raises ValueError as Model does."""
        self._detector = Model(score=_no_scores, features=features, limit=0.0)
        self._states: dict[str, object] = {}
        self.names: Final = self._detector.features.names
        self.values = array("f")
        """The features as float32, example after example: what the model gets at serving, to the last bit."""
        self.ids: list[str] = []
        self.starts_ms = array("q")
        """The start of each example's window."""

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, closed: Iterable[WindowClosed]) -> None:
        """Add windows, in the order of their ends."""
        prepare, states = self._detector.prepare, self._states
        for one in closed:
            for key, aggregate in one.aggregates.items():
                window = KeyWindow(key, aggregate, one.window, one.watermark_ms)
                state, row = prepare(states.get(key), window)  # type: ignore[arg-type]
                if state is not None:
                    states[key] = state
                self.values.extend(row.values)
                self.ids.append(key)
                self.starts_ms.append(one.window.start_ms)

    def features_of(self, index: int) -> list[float]:
        """The features of one example."""
        width = len(self.names)
        return self.values[index * width : (index + 1) * width].tolist()

    def are_bad(self, bad: set[tuple[str, int]]) -> list[bool]:
        """Which examples are bad: ``bad`` has the id and the window's start of each."""
        return [key in bad for key in zip(self.ids, self.starts_ms, strict=True)]
