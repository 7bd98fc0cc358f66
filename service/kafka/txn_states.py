"""The states of a transactional producer, and the table of steps between them."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class TxnState(Enum):
    """The state of a producer."""

    NEW = auto()
    READY = auto()
    OPEN = auto()
    BROKEN = auto()


class TxnStep(Enum):
    """What happens to a producer."""

    INITIALISED = auto()
    BEGUN = auto()
    COMMITTED = auto()
    FAILED = auto()
    REPLACED = auto()


TXN_TABLE: Final[dict[tuple[TxnState, TxnStep], TxnState]] = {
    (TxnState.NEW, TxnStep.INITIALISED): TxnState.READY,
    (TxnState.READY, TxnStep.BEGUN): TxnState.OPEN,
    (TxnState.OPEN, TxnStep.COMMITTED): TxnState.READY,
    (TxnState.NEW, TxnStep.REPLACED): TxnState.NEW,
    (TxnState.READY, TxnStep.REPLACED): TxnState.NEW,
    (TxnState.OPEN, TxnStep.REPLACED): TxnState.NEW,
    (TxnState.NEW, TxnStep.FAILED): TxnState.BROKEN,
    (TxnState.READY, TxnStep.FAILED): TxnState.BROKEN,
    (TxnState.OPEN, TxnStep.FAILED): TxnState.BROKEN,
    (TxnState.BROKEN, TxnStep.FAILED): TxnState.BROKEN,
}


def next_state(state: TxnState, step: TxnStep) -> TxnState:
    """The state after ``step``.

    Raises:
        RuntimeError: this state has no such step.
    """
    try:
        return TXN_TABLE[state, step]
    except KeyError:
        raise RuntimeError(f"no {step.name} in state {state.name}") from None
