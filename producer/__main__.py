"""Where the process begins: first of all what a signal means, then the command line, which takes a while to load."""

from __future__ import annotations

import sys
from typing import NoReturn

from producer.stop import Stop, end_process


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    stop = Stop()
    stop.install()
    from producer.cli import main as run  # noqa: PLC0415 - see above

    code = 1
    try:
        code = run(stop)
    except BaseException as error:  # noqa: BLE001 - the interpreter's end, which would show it, is not ours
        from producer.unforeseen import one_line  # noqa: PLC0415

        print(f"txwatch-replay: {one_line(error)}", file=sys.stderr)  # noqa: T201
    end_process(code)


if __name__ == "__main__":
    main()
