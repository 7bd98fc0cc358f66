"""`./bench/run`: all figures on a real broker, each beside its floor in the same run.

Prints a table for each, and keeps all in a JSON file with plots beside it; --page writes them into docs/performance.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench.comparing import peers
from bench.detecting import detectors, detectors_latency
from bench.detector_states import detectors_states
from bench.draining import clocks, drain, mapped, memory, scaling
from bench.formats import formats
from bench.memory import backlogs
from bench.page import write_page
from bench.plots import draw
from bench.producing import producer, schedule
from bench.report import Figure, load
from bench.scaling import start_broker
from bench.stand import Stand
from bench.timing import latency, partitions, start
from brokerkit.service_process import ROOT
from tools.signals import Stopped, stopped_by_signals

FIGURES: dict[str, Callable[[Stand], Figure]] = {
    "drain": drain,
    "clocks": clocks,
    "mapped": mapped,
    "formats": formats,
    "latency": latency,
    "partitions": partitions,
    "memory": memory,
    "backlogs": backlogs,
    "start": start,
    "scaling": scaling,
    "producer": producer,
    "schedule": schedule,
    "detectors": detectors,
    "detectors_latency": detectors_latency,
    "detectors_states": detectors_states,
    "peers": peers,
}
ROUNDS, QUICK_ROUNDS = 5, 2
RESULTS = ROOT / ".bench" / "results.json"


def main(arguments: list[str]) -> int:
    """Measure what is asked for; returns the exit code."""
    options = _parse(arguments)
    results = load(options.output)
    if options.page:
        write_page(results)
        return 0
    names = chosen(options.only or list(FIGURES))
    how = f"{'quick, ' if options.quick else ''}{options.rounds} rounds"
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("starting the broker", total=len(names))

        def say(what: str) -> None:
            progress.update(task, description=f"{what[:60]:60}")
            if not console.is_terminal:
                print(f"  {what}", file=sys.stderr, flush=True)

        for name in names:
            # Each figure has a broker of its own, so that the data of one do not slow the next.
            with start_broker() as broker:
                figure = FIGURES[name](Stand(broker, options.quick, options.rounds, say))
            results.put(figure, how)
            results.save(options.output)
            progress.advance(task)
            progress.console.out(f"\n{figure.title} ({results.taken[name]})\n{figure.markdown()}\n{figure.note}\n")
    for path in draw(results, options.output.parent):
        print(path, file=sys.stderr)
    print(options.output)
    return 0


def chosen(asked: list[str]) -> list[str]:
    """The figures of these names, and of those that begin with one and an underscore."""
    return [name for name in FIGURES if any(name == one or name.startswith(f"{one}_") for one in asked)]


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./bench/run", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a fifth of the records and two rounds: some minutes")
    parser.add_argument(
        "--only", action="append", choices=FIGURES, metavar="FIGURE", help=f"one of {', '.join(FIGURES)}"
    )
    parser.add_argument("--rounds", type=int, help=f"of each case; default {ROUNDS}, or {QUICK_ROUNDS} with --quick")
    parser.add_argument("--output", type=Path, default=RESULTS, help="JSON; figures not measured now are kept in it")
    parser.add_argument(
        "--page", action="store_true", help="measure nothing: write the JSON's figures into docs/performance.md"
    )
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    return options


if __name__ == "__main__":
    try:
        with stopped_by_signals():
            sys.exit(main(sys.argv[2:]))
    except Stopped as stopped:
        sys.exit(stopped.exit_code)
