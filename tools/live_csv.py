"""Writes data/live.csv, five minutes of payments that `docker compose --profile live up` plays again and again.

    .venv/bin/python -m tools.live_csv

Forty payers, five payments a second, most of them small; every twenty seconds or so one of them pays four times
in three seconds, more than the limit together.
"""

import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

OUTPUT: Final = Path(__file__).parents[1] / "data/live.csv"
BEGIN: Final = datetime(2024, 5, 11, 2, tzinfo=UTC)
LENGTH_MS: Final = 300_000
PAYERS: Final = 40
MEAN_GAP_MS: Final = 200
BURST_EVERY_MS: Final = 20_000
BURST_ROWS: Final = 4
BURST_LENGTH_MS: Final = 3_000
BURST_AMOUNTS: Final = (2_100, 2_900)
USUAL_AMOUNTS: Final = (1, 400)


def build() -> str:
    """The file's text, the same each time."""
    chance = random.Random(1)  # noqa: S311 - an example, no secret
    rows: list[tuple[int, str, float]] = []
    time_ms = 0.0
    while time_ms < LENGTH_MS:
        rows.append((int(time_ms), _payer(chance), _between(chance, USUAL_AMOUNTS)))
        time_ms += 2 * MEAN_GAP_MS * chance.random()
    for start_ms in range(BURST_EVERY_MS // 2, LENGTH_MS - BURST_LENGTH_MS, BURST_EVERY_MS):
        payer = _payer(chance)
        times_ms = [start_ms + int(BURST_LENGTH_MS * chance.random()) for _ in range(BURST_ROWS)]
        rows += [(each_ms, payer, _between(chance, BURST_AMOUNTS)) for each_ms in times_ms]
    lines = [f"{payer},{_text(time_ms)},{amount:.2f}" for time_ms, payer, amount in sorted(rows)]
    return "\n".join(["transaction_id,timestamp,amount", *lines, ""])


def _payer(chance: random.Random) -> str:
    return f"tx{1 + int(PAYERS * chance.random()):02d}"


def _between(chance: random.Random, bounds: tuple[int, int]) -> float:
    low, high = bounds
    return low + (high - low) * chance.random()


def _text(time_ms: int) -> str:
    return (BEGIN + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


if __name__ == "__main__":
    OUTPUT.write_text(build(), encoding="utf-8")
    sys.stderr.write(f"{OUTPUT.name} written\n")
