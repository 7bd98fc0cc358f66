"""The entry point. It sets up signals and standard error first, then loads the command line, which takes a while."""

from __future__ import annotations

import sys
import traceback
from typing import NoReturn

from service.process import stderr
from service.process.limits import shortage
from service.process.stop import end_at_once_by_signals, end_process


def main() -> NoReturn:
    """Run a command and exit with its code."""
    code = 1
    try:
        end_at_once_by_signals()
        stderr.install()
        from service.cli.main import main as run  # noqa: PLC0415 - see above

        code = run()
    except BaseException as error:  # noqa: BLE001 - end_process skips the interpreter's end, which would show it
        if line := shortage(error):
            print(f"txwatch: {line}", file=sys.stderr)  # noqa: T201
        else:
            traceback.print_exc()
    end_process(code)


if __name__ == "__main__":
    main()
