"""`txwatch run`: runs the service."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.cli.common import common_options
from service.process.limits import try_threads
from service.settings import Loaded, load

if TYPE_CHECKING:
    from service.app.bootstrap import Service
    from service.process.stop import Stop


@click.command()
@common_options
@click.pass_obj
def run(outer: Path | None, config: Path | None) -> int:
    """Run the service until SIGTERM or SIGINT."""
    return run_service(config or outer)


def run_service(config: Path | None) -> int:
    """Run the service with the settings of this file; returns the exit code."""
    loaded = load(config)
    # Late, so that --help and a wrong setting answer at once.
    from service.app.bootstrap import Service  # noqa: PLC0415
    from service.app.reloading import ConfigFile  # noqa: PLC0415

    file = ConfigFile(config)
    return run_until_stopped(loaded, lambda stop: Service(loaded.settings, stop, config=file), rereads=True)


def run_until_stopped(loaded: Loaded, make: Callable[[Stop], Service], *, rereads: bool = False) -> int:
    """Run what is made until a signal stops it; returns the exit code. It may have the settings read again."""
    from service.observe import log  # noqa: PLC0415 - see above
    from service.process import stop  # noqa: PLC0415

    log_format = loaded.settings.log.format or ("console" if sys.stderr.isatty() else "json")
    log.configure(loaded.settings.log.level, log_format)
    try_threads()
    with stop.stopped_by_signals(rereads=rereads) as asked:
        return make(asked).run()
