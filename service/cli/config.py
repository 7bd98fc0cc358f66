"""`txwatch config`: prints the effective settings."""

from __future__ import annotations

from pathlib import Path

import click

from service.cli.common import OK, common_options, say
from service.settings import load


@click.command()
@common_options
@click.pass_obj
def config(outer: Path | None, config: Path | None) -> int:
    """Print the effective settings as TOML, secrets masked, and where each came from."""
    say(load(config or outer).as_toml().rstrip())
    return OK
