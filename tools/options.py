"""The options of `./demo`. Read before anything is installed: a wrong one must not cost a download."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from tools.setup import ROOT

EXAMPLE: Final = ROOT / "data" / "data.csv"
EXAMPLE_TIMEZONE: Final = "Asia/Shanghai"


class Options(argparse.Namespace):
    """What was asked for."""

    broker_only: bool
    csv: Path
    keep: bool
    port: int | None
    timezone: str


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"./demo: {message}; see ./demo --help\n")
        raise SystemExit(2)


def parse(arguments: Sequence[str], caller: Path) -> Options:
    """Reads the command line. Help ends with 0; an error with one line and 2.

    Args:
        arguments: what followed `./demo`.
        caller: the folder from which it was called, to which FILE is relative.
    """
    parser = _Parser(
        prog="./demo",
        allow_abbrev=False,
        description="Starts a real Kafka broker and txwatch, replays a CSV file at its own pace and prints each alert.",
    )
    parser.add_argument("--csv", metavar="FILE", help="another file than data/data.csv")
    parser.add_argument("--timezone", metavar="NAME", help="of timestamps without an offset (other files: UTC)")
    parser.add_argument("--keep", action="store_true", help="leave broker and service running until Ctrl-C")
    parser.add_argument("--broker-only", action="store_true", help="start just the broker, until Ctrl-C")
    parser.add_argument("--port", type=_port, metavar="N", help="of the broker (default: a free one)")
    options = parser.parse_args(arguments, namespace=Options())
    if options.broker_only:
        for name in ("csv", "timezone", "keep"):
            if getattr(options, name):
                parser.error(f"--{name} has no meaning with --broker-only")
    options.timezone = options.timezone or ("UTC" if options.csv else EXAMPLE_TIMEZONE)
    options.csv = caller / options.csv if options.csv else EXAMPLE
    try:
        with options.csv.open("rb") as file:
            file.read(1)
    except OSError as error:
        parser.error(f"--csv {options.csv}: {error.strerror}")
    return options


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = 0
    if not 0 < port < 1 << 16:
        raise argparse.ArgumentTypeError(f"{text} is not a port (1 to 65535)")
    return port
