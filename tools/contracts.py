"""Writes `schemas/` (a JSON Schema of each payload) and asyncapi.yaml (topics, headers, payloads) from the code.

    .venv/bin/python -m tools.contracts

tests/unit/test_contracts.py fails where the files are not what this program writes.
"""

import json
import sys
from typing import Any, Final

import yaml

from tools.contract_channels import asyncapi
from tools.contract_payloads import schemas
from tools.setup import ROOT

SCHEMAS: Final = ROOT / "schemas"
ASYNCAPI: Final = ROOT / "asyncapi.yaml"
_BY: Final = "# `python -m tools.contracts` writes this file from the code, and a test compares the two.\n"
_WIDTH: Final = 110


def files() -> dict[str, str]:
    """The text of each file, by its path below the checkout."""
    made = {f"schemas/{name}": f"{json.dumps(schema, indent=2)}\n" for name, schema in schemas().items()}
    return {**made, ASYNCAPI.name: _BY + yaml.dump(asyncapi(), Dumper=_Dumper, sort_keys=False, width=_WIDTH)}


class _Dumper(yaml.SafeDumper):
    """Writes each thing in full, and texts of several lines as such."""

    def ignore_aliases(self, _: Any) -> bool:  # noqa: ANN401 - anything
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def main() -> int:
    """Write them; returns the exit code."""
    SCHEMAS.mkdir(exist_ok=True)
    made = files()
    for path in SCHEMAS.iterdir():
        if f"schemas/{path.name}" not in made:
            path.unlink()
    for name, text in made.items():
        (ROOT / name).write_text(text, encoding="utf-8")
    sys.stderr.write(f"{len(made)} files written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
