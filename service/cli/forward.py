"""`txwatch forward`: sends alerts to where people are."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from service.cli.common import common_options
from service.process.limits import try_threads
from service.settings import load


@click.command()
@common_options
@click.option("--to", "name", metavar="NAME", required=True, help="The target: the name of a [[forward]].")
@click.pass_obj
def forward(outer: Path | None, config: Path | None, *, name: str) -> int:
    """Send each alert to a target over HTTP, at least once and in order.

    Runs until SIGTERM or SIGINT. Without HTTP_PORT its pages are at a free port, which it logs.
    """
    # Late, so that --help and a wrong option answer at once.
    from service.app.forwarding import Forwarding  # noqa: PLC0415
    from service.observe import log  # noqa: PLC0415
    from service.process.stop import stopped_by_signals  # noqa: PLC0415

    loaded = load(config or outer)
    settings = loaded.settings
    if not loaded.is_set("HTTP_PORT"):
        settings = settings.model_copy(update={"http": settings.http.model_copy(update={"port": 0})})
    log.configure(settings.log.level, settings.log.format or ("console" if sys.stderr.isatty() else "json"))
    try_threads()
    with stopped_by_signals() as stop:
        return Forwarding(settings, name, stop).run()
