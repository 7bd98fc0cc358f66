"""Sets up what `./demo`, `./test` or `./bench/run` needs and becomes the program itself.

Usage: `python -m tools.launch CALLER demo|test|bench …`, CALLER being the folder from which it was called.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Final, NoReturn

from tools import options
from tools.command import SetupError, say
from tools.setup import PYTHON, set_up
from tools.signals import SIGNALS, Stopped, stopped_by_signals

MODULES: Final = {"demo": "tools.demo", "test": "tools.suite", "bench": "bench.measure"}


def main(caller: str, command: str, arguments: list[str]) -> NoReturn:
    """Never returns: it ends, or becomes the command's module on `.venv`'s Python."""
    if command == "demo":
        options.parse(arguments, Path(caller))
    try:
        with stopped_by_signals():
            set_up("demo" if command == "demo" else "dev")
            # The program that this becomes takes them when it is ready for them, instead of dying with a traceback.
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    except SetupError as error:
        say(f"./{command}: {error}")
        raise SystemExit(1) from None
    except OSError as error:
        say(f"./{command}: {error.strerror}: {error.filename}")
        raise SystemExit(1) from None
    except Stopped as stopped:
        say(f"./{command}: stopped; the next run sets up again")
        raise SystemExit(stopped.exit_code) from None
    os.execv(PYTHON, [str(PYTHON), "-m", MODULES[command], caller, *arguments])  # noqa: S606  # our own program


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
