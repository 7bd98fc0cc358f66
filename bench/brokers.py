"""Which brokers: the faults that matter, under load, on each version of Kafka that brokerkit/kafka-jars.lock names.

    .venv/bin/python -m bench.brokers [--kafka VERSION ...] [--cycles N] [--seed N] [--session-s N] [--page]

For each version it plays histories (service killed, taken over, paused and woken; broker killed, also in the commit),
each with an oracle at its end, and then the rounds of bench.stranded. Prints the table, and keeps
it in .bench/brokers.json, where versions that were not measured now stay as they were. --page writes all of that into
docs/operations.md. Returns 1 if a history was not exact or an offset not right.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench import stranded
from bench.page import fill_marks
from bench.report import machine
from brokerkit.jars import group_protocol, locked_versions
from brokerkit.service_process import ROOT
from histories.run import play, stage
from histories.world import HistoryError
from tools.signals import Stopped, stopped_by_signals

PAGE: Final = ROOT / "docs" / "operations.md"
RESULTS: Final = ROOT / ".bench" / "brokers.json"
TAKEOVERS: Final = ("sigkill", "takeover")
RETURNS: Final = ("broker_kill", "broker_killed_in_commit")
KINDS: Final = (*TAKEOVERS, "zombie", *RETURNS)
PATIENCE_S: Final = 60.0
HEADINGS: Final = (
    "Kafka",
    "group protocol",
    "histories exact",
    "records in them",
    "takeover after SIGKILL",
    "first commit after the broker's return",
    "committed offsets after a kill before the commit",
)


@dataclass
class Row:
    """One version of Kafka. Seconds."""

    kafka: str
    protocol: str
    taken: str
    cycles: int
    session_s: float
    histories: int = 0
    wrong: list[str] = field(default_factory=list)
    """Of each history that was not exact: what is said of it."""
    records: int = 0
    takeovers_s: list[float] = field(default_factory=list)
    """From SIGKILL to the first commit of a new process of the name, or until another instance has all partitions."""
    returns_s: list[float] = field(default_factory=list)
    told_s: list[float] = field(default_factory=list)
    """In each round of bench.stranded whose answer was right."""
    rounds: int = 0

    @property
    def well(self) -> bool:
        """Whether everything was exact and right."""
        return not self.wrong and len(self.told_s) == self.rounds

    def cells(self) -> list[str]:
        """The row's cells in the table."""
        return [
            self.kafka,
            {"consumer": "KIP-848"}.get(self.protocol, self.protocol),
            f"{self.histories - len(self.wrong)} of {self.histories}",
            f"{self.records:,}",
            spread(self.takeovers_s),
            spread(self.returns_s),
            f"{len(self.told_s)} of {self.rounds} right, {spread(self.told_s)}",
        ]


def spread(seconds: list[float]) -> str:
    """Median and greatest."""
    return f"{statistics.median(seconds):.1f} s, {max(seconds):.1f} s" if seconds else "-"


def measure(kafka: str, cycles: int, seed: int, session_s: float, say: Callable[[str], None]) -> Row:
    """All histories and rounds with one version."""
    row = Row(kafka, group_protocol(kafka), f"{datetime.now(UTC):%Y-%m-%d}", cycles, session_s)
    for kind in KINDS:
        row.histories += 1
        began_s = time.monotonic()
        with stage(kind, kafka, session_s) as on:
            try:
                world = play(on, kind, seed, cycles)
            except HistoryError as error:
                row.wrong.append(f"{kind}: {error}")
                say(f"Kafka {kafka}: {kind}: WRONG: {error}")
                continue
        row.records += len(world.load.inputs)
        if kind in TAKEOVERS:
            row.takeovers_s += world.recoveries
        elif kind in RETURNS:
            row.returns_s += world.recoveries
        say(f"Kafka {kafka}: {kind}: exact, {time.monotonic() - began_s:.0f} s; {spread(world.recoveries)}")
    answers = stranded.measure(kafka, cycles, PATIENCE_S)
    row.rounds = len(answers)
    row.told_s = [answer.took_s for answer in answers if answer.right]
    return row


def table(rows: list[Row]) -> str:
    """The rows as Markdown, and what the numbers mean."""
    lines = [" | ".join(HEADINGS), " | ".join(["---"] * len(HEADINGS))]
    lines += [" | ".join(row.cells()) for row in rows]
    cycles = ", ".join(sorted({str(row.cycles) for row in rows}))
    sessions = ", ".join(sorted({f"{row.session_s:g}" for row in rows}))
    days = ", ".join(sorted({row.taken for row in rows}))
    found = machine()
    note = (
        f"Seconds are median and greatest. Sessions of {sessions} s, {cycles} faults in each history. "
        f"Taken {days} on {found['cores']} shared cores with librdkafka {found['librdkafka']}."
    )
    return "\n".join([*(f"| {line} |" for line in lines), "", note])


def load(path: Path) -> dict[str, Row]:
    """What earlier runs measured, by version."""
    if not path.exists():
        return {}
    return {one["kafka"]: Row(**one) for one in json.loads(path.read_text(encoding="utf-8"))}


def in_order(rows: dict[str, Row]) -> list[Row]:
    """The oldest version first; those that the lock file no longer names are left out."""
    return [rows[version] for version in locked_versions() if version in rows]


def main() -> int:
    """Measure; returns 1 if something was not exact."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    versions = locked_versions()
    parser.add_argument(
        "--kafka", action="append", choices=versions, metavar="VERSION", help="default: all locked ones"
    )
    parser.add_argument("--cycles", type=int, default=3, help="faults in each history, and rounds of bench.stranded")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--session-s", type=float, default=6.0, help="when the group takes a silent member for dead")
    parser.add_argument("--page", action="store_true", help="write the table into docs/operations.md, too")
    options = parser.parse_args()
    rows = load(RESULTS)
    measured = []
    for version in options.kafka or versions:
        row = measure(version, options.cycles, options.seed, options.session_s, lambda line: print(line, flush=True))
        measured.append(row)
        rows[version] = row
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps([asdict(each) for each in in_order(rows)], indent=1) + "\n", encoding="utf-8")
    found = table(in_order(rows))
    print(f"\n{found}")
    if options.page:
        PAGE.write_text(fill_marks(PAGE.read_text(encoding="utf-8"), "brokers", found), encoding="utf-8")
    return 0 if all(row.well for row in measured) else 1


if __name__ == "__main__":
    try:
        with stopped_by_signals():
            sys.exit(main())
    except Stopped as stopped:
        sys.exit(stopped.exit_code)
