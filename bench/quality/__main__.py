"""Measures how good the detectors are, and writes the figures of docs/quality.md.

    .venv/bin/python -m bench.quality [--customers N] [--only PART ...] [--nab FOLDER]

Each part is saved as soon as it is there. A part with 5,000 customers takes some minutes of CPU.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path

from bench.quality import fraud, nab, page, results, synthetic
from bench.quality.payments import SCENARIOS, Plan, generate
from brokerkit.service_process import ROOT

OUTPUT = ROOT / ".bench" / "quality.json"
BEGAN = time.monotonic()
PAYMENTS = [*fraud.PLANNED, "models"]
USUAL = ["synthetic", *PAYMENTS]
PARTS = [*USUAL, "variants"]


def say(text: str) -> None:
    """Show progress."""
    print(f"{time.monotonic() - BEGAN:6,.0f} s  {text}", file=sys.stderr, flush=True)


def measure(options: argparse.Namespace) -> None:
    """Measure the parts that are wanted."""
    wanted = options.only or USUAL
    if "synthetic" in wanted:
        say("synthetic cases")
        results.put(options.output, "synthetic", synthetic.everything(options.seed))
    if parts := [part for part in wanted if part != "synthetic"]:
        measure_payments(options, parts)


def measure_payments(options: argparse.Namespace, parts: list[str]) -> None:
    """Generate payments, and judge them."""
    plan = Plan.of(options.customers, options.days, options.seed)
    payments = generate(plan)
    say(f"{len(payments):,} payments, {(payments.scenario > 0).mean():.2%} of them fraud")
    counts = {str(one): int((payments.scenario == one).sum()) for one in SCENARIOS}
    about = {"customers": plan.customers, "terminals": plan.terminals, "days": plan.days, "seed": plan.seed}
    for part in parts:
        say(part)
        found = fraud.judge_models(payments, say) if part == "models" else fraud.judge_part(payments, part)
        results.put(options.output, part, asdict(found) | {"payments": len(payments), "fraud": counts, **about})


def main() -> int:
    """Read the options, and measure."""
    parser = argparse.ArgumentParser(prog="bench.quality", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--customers", type=int, default=Plan.customers, help="fewer are quicker  [5000]")
    parser.add_argument("--days", type=int, default=Plan.days, help="[183]")
    parser.add_argument("--seed", type=int, default=0, help="[0]")
    parser.add_argument("--only", action="append", choices=PARTS, metavar="PART", help=f"one of: {'; '.join(PARTS)}")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="FILE", help="[.bench/quality.json]")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="only write the payments, with the column fraud")
    parser.add_argument("--by", choices=["card", "terminal"], default="card", help="the id in the CSV  [card]")
    parser.add_argument("--nab", type=Path, metavar="FOLDER", help="only judge this folder of the Numenta benchmark")
    parser.add_argument("--page", action="store_true", help="only write what --output has into docs/quality.md")
    options = parser.parse_args()
    if options.page:
        page.write_page(results.load(options.output))
    elif options.csv is not None:
        generate(Plan.of(options.customers, options.days, options.seed)).write(options.csv, options.by)
    elif options.nab is not None:
        try:
            found = nab.figures(nab.read(options.nab), say)
        except nab.LayoutError as error:
            parser.error(str(error))
        results.put(options.output, "nab", found)
        for name, by_profile in found.items():
            print(f"{name:12}" + "".join(f"  {profile} {points:.1f}" for profile, points in by_profile.items()))
    else:
        measure(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
