"""`txwatch schema`: prints the JSON Schema of a payload."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, Literal, get_args

import click

from service.cli.common import OK, common_options, say
from service.settings import load

Payload = Literal["transaction", "alert", "aggregate"]
NAMES: Final = get_args(Payload)


@click.command(help=f"Print the JSON Schema of a payload. NAME is one of {', '.join(NAMES)}.")
@common_options
@click.argument("name", metavar="NAME", type=click.Choice(NAMES))
@click.pass_obj
def schema(outer: Path | None, name: Payload, config: Path | None) -> int:
    """Print the JSON Schema of a payload."""
    from service.wire.schemas import json_schema  # noqa: PLC0415 - takes a while to load

    if file := config or outer:  # this command needs no settings, but every command refuses an unusable file
        load(file)
    say(json.dumps(json_schema(name), indent=2))
    return OK
