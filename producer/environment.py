"""Settings that the replay shares with the service: from the environment, or from the file that ``NAME_FILE`` names."""

from __future__ import annotations

import os
from typing import Any

import click

from service.process.environment import Variable, VariableError, variable


def setting(name: str) -> Variable | None:
    """Return the variable ``name``; None where it is not set or empty.

    Raises:
        click.UsageError: both ``name`` and ``NAME_FILE`` are set, or the file is empty or cannot be read.
    """
    try:
        found = variable(name, os.environ)
    except VariableError as error:
        raise click.UsageError(str(error)) from error
    if found and found.path and not found.text:
        raise click.UsageError(f"{found.where}: is empty")
    return found if found and found.text else None


class SettingOption(click.Option):
    """An option whose default is a setting. No error line shows a value from a file: it may be a secret."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return the variable's value."""
        if ctx.resilient_parsing:  # a shell asks for completions, and an error would be no answer
            return None
        found = setting(str(self.envvar))
        ctx.meta[self._key] = found
        return found.text if found else None

    def process_value(self, ctx: click.Context, value: Any) -> Any:  # noqa: ANN401  as click has it
        """Convert and check the value."""
        try:
            return super().process_value(ctx, value)
        except click.BadParameter:
            found: Variable | None = ctx.meta.get(self._key)
            if found is None or found.path is None:
                raise
            raise click.UsageError(f"{found.where}: its content is no valid {self.opts[0]}") from None

    @property
    def _key(self) -> str:
        return f"{__name__}.{self.name}"
