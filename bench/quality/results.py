"""What a run has found, as JSON, so that the page can be written without another run."""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any


def load(path: Path) -> dict[str, Any]:
    """Read what was saved; nothing where there is no file."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def put(path: Path, name: str, found: Any) -> None:  # noqa: ANN401 - dataclasses, or what JSON holds
    """Replace one part of what is saved."""
    whole = {**load(path), name: asdict(found) if is_dataclass(found) and not isinstance(found, type) else found}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
