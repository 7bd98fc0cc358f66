"""Where the process begins: first of all what a signal means, then the command line, which takes a while to load."""

from __future__ import annotations

from typing import NoReturn

from service.stop import end_at_once_by_signals, end_process


def main() -> NoReturn:
    """Run a command and exit with its code."""
    end_at_once_by_signals()
    from service.cli import main as run  # noqa: PLC0415 - see above

    end_process(run())


if __name__ == "__main__":
    main()
