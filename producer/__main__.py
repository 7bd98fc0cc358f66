"""Where the process begins: first of all what a signal means, then the command line, which takes a while to load."""

from __future__ import annotations

from typing import NoReturn

from producer.stop import Stop, end_process


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    stop = Stop()
    stop.install()
    from producer.cli import main as run  # noqa: PLC0415 - see above

    end_process(run(stop))


if __name__ == "__main__":
    main()
