"""`txwatch schema`: what a payload looks like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import click

from service.cli.common import OK, common_options, say
from service.settings import load


@click.command()
@common_options
@click.argument("name", metavar="NAME", type=click.Choice(["transaction", "alert", "aggregate"]))
@click.pass_obj
def schema(outer: Path | None, name: Literal["transaction", "alert", "aggregate"], config: Path | None) -> int:
    """Print the JSON Schema of a payload."""
    from service.wire.schemas import json_schema  # noqa: PLC0415 - takes a while to load

    if file := config or outer:  # not needed here, but every command refuses a file that cannot be used
        load(file)
    say(json.dumps(json_schema(name), indent=2))
    return OK
