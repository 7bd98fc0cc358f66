"""The entry point. It sets up standard error and signals first, then loads the command line, which takes a while."""

from __future__ import annotations

import sys
from typing import NoReturn

from producer.stop import Stop
from service.process import stderr
from service.process.stop import end_process


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    code = 1
    try:
        stderr.install("txwatch-replay")  # first, or the stop's pipe would get the descriptor of a closed stream
        stop = Stop()
        stop.install()
        from producer.cli import main as run  # noqa: PLC0415 - see above

        code = run(stop)
    except BaseException as error:  # noqa: BLE001 - end_process skips the interpreter's end, which would show it
        from producer.unforeseen import one_line  # noqa: PLC0415

        print(f"txwatch-replay: {one_line(error)}", file=sys.stderr)  # noqa: T201
    end_process(code)


if __name__ == "__main__":
    main()
