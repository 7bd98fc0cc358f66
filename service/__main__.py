"""Where the process begins: what a signal means, standard error, then the command line, which takes a while to load."""

from __future__ import annotations

import traceback
from typing import NoReturn

from service import stderr
from service.stop import end_at_once_by_signals, end_process


def main() -> NoReturn:
    """Run a command and exit with its code."""
    end_at_once_by_signals()
    stderr.install()
    code = 1
    try:
        from service.cli import main as run  # noqa: PLC0415 - see above

        code = run()
    except BaseException:  # noqa: BLE001 - told as the interpreter would, whose end is not ours
        traceback.print_exc()
    end_process(code)


if __name__ == "__main__":
    main()
