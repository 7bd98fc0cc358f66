"""The long set of histories: faults under load, again and again, each history judged by the oracle.

    .venv/bin/python -m bench.histories [--kind KIND ...] [--seed N] [--histories N] [--cycles N] [--clock CLOCK]
        [--kafka VERSION] [--rekey] [--reload]

Prints one line a history, and at the end how long recovery took. A history with faults is saved in .histories/.
"""

import argparse
import sys
import time

from brokerkit.jars import KAFKA_VERSION
from histories.detector_audit import SEVERAL
from histories.rekey import REKEY_KINDS, RekeyWorld
from histories.reload import ReloadWorld
from histories.run import ALL, CLOCKS, play, stage
from histories.world import HistoryError, World, spread

PROCESSING = "processing"


def main() -> int:
    """Play them; returns 1 if one was not right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kind", action="append", choices=sorted(ALL), help="may be given several times; default: all")
    parser.add_argument("--seed", type=int, default=1, help="of the first history; the next ones count on")
    parser.add_argument("--histories", type=int, default=1, help="of each kind")
    parser.add_argument("--cycles", type=int, default=6, help="faults in each history")
    parser.add_argument("--clock", choices=[PROCESSING, *CLOCKS], default=PROCESSING, help="and late policy")
    parser.add_argument("--kafka", default=KAFKA_VERSION, metavar="VERSION", help="one that the lock file has")
    parser.add_argument("--without-detectors", action="store_true", help="with the one of DETECT_LIMIT only")
    parser.add_argument("--reload", action="store_true", help="detectors change all the time while it plays")
    parser.add_argument("--rekey", action="store_true", help="of the command `rekey`, by an oracle of its own")
    options = parser.parse_args()
    if options.rekey:
        options.kind = options.kind or list(REKEY_KINDS)
    if options.clock != PROCESSING and "expired" in (kinds := options.kind or ALL):
        options.kind = [kind for kind in kinds if kind != "expired"]  # what is gone can't be scanned
    detectors = () if options.without_detectors else SEVERAL
    wrong = 0
    for kind in options.kind or ALL:
        recoveries: list[float] = []
        with stage(kind, options.kafka) as on:
            for seed in range(options.seed, options.seed + options.histories):
                began_s = time.monotonic()
                try:
                    world = play(
                        on,
                        kind,
                        seed,
                        options.cycles,
                        CLOCKS.get(options.clock),
                        detectors=detectors,
                        make=RekeyWorld if options.rekey else ReloadWorld if options.reload else World,
                    )
                except HistoryError as error:
                    wrong += 1
                    print(f"{kind:24} seed {seed:3}  WRONG: {error}", flush=True)
                    continue
                recoveries += world.recoveries
                took_s = time.monotonic() - began_s
                records = len(world.load.inputs)
                print(
                    f"{kind:24} seed {seed:3}  right, {records:7,} records, {options.cycles} cycles, {took_s:5.1f} s",
                    flush=True,
                )
        print(f"{kind:24} recovery: {spread(recoveries)}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
