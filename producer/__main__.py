"""Where the process begins: first of all what a signal means, then the command line, which takes a while to load."""

from __future__ import annotations

import sys

from producer.stop import Stop


def main() -> int:
    """Run the command line; returns the exit code."""
    stop = Stop()
    stop.install()
    from producer.cli import main as run  # noqa: PLC0415 - see above

    return run(stop)


if __name__ == "__main__":
    sys.exit(main())
