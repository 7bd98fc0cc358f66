"""Checks a request for shell completion, which a shell makes through an environment variable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SHELLS: Final = ("bash", "zsh", "fish")


def fault_of_completion(program: str, environment: Mapping[str, str]) -> str | None:
    """One line about a request that no shell makes, or None. Click would answer with a traceback or with nothing.

    ``_TXWATCH_COMPLETE=bash_source txwatch`` prints the script that a shell reads at its start. That script sets the
    other variables.
    """
    name = f"_{program.replace('-', '_').upper()}_COMPLETE"
    asked = environment.get(name)
    if not asked:
        return None
    shell, _, what = asked.partition("_")
    if shell in SHELLS and what == "source":
        return None
    word = environment.get("COMP_CWORD", "")
    if shell in SHELLS and what == "complete" and "COMP_WORDS" in environment and (shell == "fish" or word.isdecimal()):
        return None
    return f"{name}: {asked!a} is none of {', '.join(f'{each}_source' for each in SHELLS)}"
