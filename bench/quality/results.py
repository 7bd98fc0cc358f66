"""What a run has found, as JSON, so that the page can be written without another run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def load(path: Path) -> dict[str, Any]:
    """Read what was saved; nothing where there is no file."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def put(path: Path, name: str, found: Mapping[str, Any]) -> None:
    """Replace one part of what is saved."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**load(path), name: found}, indent=1) + "\n", encoding="utf-8")
