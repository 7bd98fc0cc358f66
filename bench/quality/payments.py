"""Generates card payments with three kinds of fraud, from a seed.

The model is the one that the Fraud Detection Handbook (Le Borgne, Siblini, Lebichot, Bontempi, 2022), chapter 3,
describes. This is a new program after that description; it does not give the same payments.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.core.detectors import DAY_MS

Ints = NDArray[np.int64]

FIRST_MS: Final = 1_522_540_800_000
"""2018-04-01, a Sunday."""
SIDE: Final = 100.0
"""Customers and terminals are on a square of this side."""
RADIUS: Final = 5.0
"""A card is used at terminals nearer than this to its customer."""
LEAST_MEAN, MOST_MEAN = 5.0, 100.0
MOST_A_DAY: Final = 4.0
NOON_S, SPREAD_S = 43_200, 20_000
LARGE_CENTS: Final = 22_000
"""Scenario 1: a greater amount is fraud."""
TERMINAL_DAYS, CARD_DAYS = 28, 14
SHARE: Final = 3
"""Scenario 3: of the payments of a compromised card, one in so many is fraud."""
FACTOR: Final = 5
SCENARIOS: Final = (1, 2, 3)


@dataclass(frozen=True)
class Plan:
    """How much to generate."""

    customers: int = 5_000
    terminals: int = 10_000
    days: int = 183
    seed: int = 0
    terminals_a_day: float = 2.0
    """So many terminals are compromised a day."""
    cards_a_day: float = 3.0

    @classmethod
    def of(cls, customers: int, days: int, seed: int) -> Plan:
        """As much of everything as belongs to so many customers."""
        whole = cls()
        part = customers / whole.customers
        return cls(
            customers,
            round(whole.terminals * part),
            days,
            seed,
            whole.terminals_a_day * part,
            whole.cards_a_day * part,
        )


@dataclass(frozen=True)
class Payments:
    """Payments by column, in the order of their times."""

    times_ms: Ints
    cards: Ints
    terminals: Ints
    cents: Ints
    scenario: Ints
    """0: honest."""
    incident: Ints
    """Which compromised terminal or card, or which single payment; -1: honest."""
    days: int

    def __len__(self) -> int:
        return len(self.times_ms)

    @property
    def ids(self) -> dict[str, Ints]:
        """What can be the transaction_id."""
        return {"card": self.cards, "terminal": self.terminals}

    @property
    def amounts(self) -> list[str]:
        """The amounts as a CSV has them."""
        return [f"{cents // 100}.{cents % 100:02}" for cents in self.cents.tolist()]

    def write(self, path: Path, by: str, bad: Sequence[int] = SCENARIOS, before_ms: int | None = None) -> None:
        """Write a CSV: transaction_id, timestamp (epoch ms), amount, fraud (whether the scenario is one of ``bad``)."""
        count = len(self) if before_ms is None else int(np.searchsorted(self.times_ms, before_ms))
        columns: list[list[Any]] = [
            [f"{by}-{number}" for number in self.ids[by][:count].tolist()],
            self.times_ms[:count].tolist(),
            self.amounts[:count],
            np.isin(self.scenario[:count], bad).astype(int).tolist(),
        ]
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["transaction_id", "timestamp", "amount", "fraud"])
            writer.writerows(zip(*columns, strict=True))


def generate(plan: Plan) -> Payments:
    """Generate honest payments, then fraud. The same plan gives the same payments."""
    chance = np.random.default_rng(plan.seed)
    times_ms, cards, terminals, cents = _honest(plan, chance)
    order = np.argsort(times_ms, kind="stable")
    honest = np.zeros(len(order), dtype=np.int64)
    payments = Payments(times_ms[order], cards[order], terminals[order], cents[order], honest, honest - 1, plan.days)
    _defraud(payments, plan, chance)
    return payments


def _honest(plan: Plan, chance: np.random.Generator) -> tuple[Ints, Ints, Ints, Ints]:
    """Times, cards, terminals and cents.

    Each customer has a mean amount (the deviation is half of it), a mean of payments a day, and terminals nearby.
    """
    homes = chance.uniform(0, SIDE, (plan.customers, 2))
    means = chance.uniform(LEAST_MEAN, MOST_MEAN, plan.customers)
    rates = chance.uniform(0, MOST_A_DAY, plan.customers)
    places = chance.uniform(0, SIDE, (plan.terminals, 2))
    near = [np.flatnonzero(((places - home) ** 2).sum(axis=1) < RADIUS**2) for home in homes]
    reachable = np.array([len(each) for each in near])
    begins = np.concatenate([[0], np.cumsum(reachable)[:-1]])

    counts = chance.poisson(rates[:, None], (plan.customers, plan.days)) * (reachable > 0)[:, None]
    cards = np.repeat(np.arange(plan.customers), counts.sum(axis=1))
    days = np.repeat(np.tile(np.arange(plan.days), plan.customers), counts.ravel())
    seconds = chance.normal(NOON_S, SPREAD_S, len(cards)).astype(np.int64)
    mean = means[cards]
    amounts = chance.normal(mean, mean / 2)
    amounts = np.where(amounts < 0, chance.uniform(0, 2 * mean), amounts)
    picks = (chance.random(len(cards)) * reachable[cards]).astype(np.int64)
    terminals = np.concatenate(near)[begins[cards] + picks]
    cents = np.rint(amounts * 100).astype(np.int64)
    times_ms = FIRST_MS + days * DAY_MS + seconds * 1000

    of_the_day = (seconds > 0) & (seconds < DAY_MS // 1000)
    return times_ms[of_the_day], cards[of_the_day], terminals[of_the_day], cents[of_the_day]


def _defraud(payments: Payments, plan: Plan, chance: np.random.Generator) -> None:
    """Mark and change payments in place. A later scenario takes a payment over from an earlier one."""
    large = np.flatnonzero(payments.cents > LARGE_CENTS)
    payments.scenario[large], payments.incident[large] = 1, np.arange(len(large))
    incident = len(large)
    days = (payments.times_ms - FIRST_MS) // DAY_MS
    at_terminal, of_card = _by_id(payments.terminals, plan.terminals), _by_id(payments.cards, plan.customers)
    for day, terminal in _drawn(plan.terminals, plan.terminals_a_day, plan.days, chance):
        hit = _within(at_terminal[terminal], days, day, TERMINAL_DAYS)
        payments.scenario[hit], payments.incident[hit] = 2, incident
        incident += 1
    for day, card in _drawn(plan.customers, plan.cards_a_day, plan.days, chance):
        used = _within(of_card[card], days, day, CARD_DAYS)
        hit = chance.choice(used, len(used) // SHARE, replace=False)
        payments.cents[hit] *= FACTOR
        payments.scenario[hit], payments.incident[hit] = 3, incident
        incident += 1


def _by_id(numbers: Ints, count: int) -> list[Ints]:
    """For each id the indexes of its payments, in their order."""
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.searchsorted(numbers[order], np.arange(1, count)))


def _within(indexes: Ints, days: Ints, day: int, length: int) -> Ints:
    return indexes[(days[indexes] >= day) & (days[indexes] < day + length)]


def _drawn(count: int, a_day: float, days: int, chance: np.random.Generator) -> list[tuple[int, int]]:
    """Day and number of what is compromised; ``a_day`` on average, different ones on one day."""
    found = []
    for day in range(days):
        draws = int((day + 1) * a_day) - int(day * a_day)
        found += [(day, int(number)) for number in chance.choice(count, draws, replace=False)]
    return found
