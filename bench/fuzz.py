"""The decoder under coverage-guided fuzzing: for any bytes, the right transaction or a rejection.

    pip install atheris   # Linux; not among the locked dependencies, since only this needs it
    .venv/bin/python -m bench.fuzz [--cases N] [--seed N]

libFuzzer mutates the records below, guided by which lines of service.wire they reach; what is accepted is compared
with Python's own JSON reader. Prints libFuzzer's statistics. A case that breaks the property ends it with a traceback
and a file crash-… in the working directory.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["service.wire", "service.core"]):
    from histories.decoder_oracle import agrees, outcome
    from service.core.model import Transaction

SEEDS = [
    b'{"transaction_id":"tx1","timestamp":1715392800000,"amount":3200.0}',
    b'{"transaction_id":"00123","timestamp":1715392800000,"amount":8000.00000000000000001}',
    b'{"amount":-1e-7,"more":[{"a":null},"\\ud83d\\ude00"],"timestamp":1715392800000,"transaction_id":"\\u0000"}',
    b' {\n"transaction_id" : "x" , "timestamp" : 1715392800 , "amount" : "5" } ',
    b'{"transaction_id":"","timestamp":1715392800000.0,"amount":NaN}',
    b'{"transaction_id":"x","timestamp":9223372036854775807,"amount":1e400,"amount":0e99999}',
    b"\xff\xfe{",
    b"[[[[[[[[",
]


def one(data: bytes) -> None:
    """A case."""
    found = outcome(data)
    if isinstance(found, Transaction):
        agrees(found, data)


def main() -> None:
    """Hand over to libFuzzer, which ends the process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    corpus = Path(tempfile.mkdtemp(prefix="txwatch-fuzz-"))
    for number, seed in enumerate(SEEDS):
        (corpus / str(number)).write_bytes(seed)
    arguments = [f"-runs={options.cases}", f"-seed={options.seed}", "-max_len=600", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *arguments, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
