"""`txwatch rekey`: writes the input to another topic, keyed by the ids."""

from __future__ import annotations

from pathlib import Path

import click

from service.cli.common import common_options
from service.cli.run import run_until_stopped
from service.settings import load


@click.command()
@common_options
@click.option(
    "--to",
    "target",
    metavar="TOPIC",
    required=True,
    help="The topic to write to. If it is missing, it is created with as many partitions as the input.",
)
@click.pass_obj
def rekey(outer: Path | None, config: Path | None, *, target: str) -> int:
    """Write each record of the input to another topic, keyed by its id, exactly once.

    For inputs that are not keyed by the transaction id. Value, headers and timestamp are kept. Runs until SIGTERM or
    SIGINT.
    """
    # Late, so that --help and a wrong option answer at once.
    from service.app.rekeying import Rekey  # noqa: PLC0415

    loaded = load(config or outer)
    return run_until_stopped(loaded, lambda stop: Rekey(loaded.settings, target, stop))
