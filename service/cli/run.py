"""`txwatch run`: runs the service."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from service.cli.common import common_options
from service.process.limits import try_threads
from service.settings import Loaded, load


@click.command()
@common_options
@click.pass_obj
def run(outer: Path | None, config: Path | None) -> int:
    """Run the service until SIGTERM or SIGINT."""
    return run_service(load(config or outer))


def run_service(loaded: Loaded) -> int:
    """Run the service with these settings; returns the exit code."""
    # Late, so that --help and a wrong setting answer at once.
    from service.app import bootstrap  # noqa: PLC0415
    from service.observe import log  # noqa: PLC0415
    from service.process import stop  # noqa: PLC0415

    log_format = loaded.settings.log.format or ("console" if sys.stderr.isatty() else "json")
    log.configure(loaded.settings.log.level, log_format)
    try_threads()
    with stop.stopped_by_signals() as asked:
        return bootstrap.Service(loaded.settings, asked).run()
