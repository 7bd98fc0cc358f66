"""Reads docs/detectors.md: its examples, and the package that it shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from brokerkit.service_process import ROOT
from service.testing import HandDrivenTask

PAGE: Final = ROOT / "docs" / "detectors.md"
DAY: Final = "2024-05-11"
_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING: Final = re.compile(r"^##+ (.+)$", re.MULTILINE)


@dataclass(slots=True)
class Example:
    """A configuration, the records that are read with it, and the alerts that the page shows."""

    heading: str
    settings: str
    records: str = ""
    alerts: list[dict[str, Any]] = field(default_factory=list)

    def run(self, folder: Path) -> HandDrivenTask:
        """Read the records, each at its own time; ``folder`` is for the file of settings."""
        file = folder / "service.toml"
        file.write_text(self.settings, encoding="utf-8")
        steps = [line.split() for line in self.records.splitlines()]
        task = HandDrivenTask(now_ms=at(steps[0][0]), settings=file)
        for time, *record in steps:
            if record:
                key, amount = record
                task.replay((key, at(time), Decimal(amount)))
            else:
                task.at(at(time))
                task.commit()
        return task


def at(time: str) -> int:
    """A time of the page in epoch milliseconds."""
    return int(datetime.fromisoformat(f"{DAY}T{time}+00:00").timestamp() * 1000)


def blocks() -> Iterator[tuple[str, str, str]]:
    """Heading, language and content of each block of the page."""
    page = PAGE.read_text(encoding="utf-8")
    for block in _BLOCK.finditer(page):
        heading = [one.group(1) for one in _HEADING.finditer(page, 0, block.start())][-1]
        yield heading, block.group(1), block.group(2)


def examples() -> list[Example]:
    """The examples: each begins with its detectors, and the records and alerts follow."""
    found: list[Example] = []
    for heading, language, content in blocks():
        if language == "toml" and "[[detectors]]" in content:
            found.append(Example(heading, content))
        elif language == "text":
            found[-1].records = content
        elif language == "json":
            found[-1].alerts += decoded(content)
    return found


def decoded(text: str) -> list[dict[str, Any]]:
    """JSON objects that follow each other."""
    decoder, found, start = json.JSONDecoder(parse_float=Decimal), [], 0
    while text[start:].strip():
        start += len(text[start:]) - len(text[start:].lstrip())
        value, start = decoder.raw_decode(text, start)
        found.append(value)
    return found


def files() -> dict[str, str]:
    """The files of the page's package: blocks whose first line is a comment with the file's name."""
    named = {}
    for _, language, content in blocks():
        name = content.partition("\n")[0].removeprefix("# ")
        if language in {"python", "toml"} and name.endswith((".py", ".toml")):
            named[name] = content
    return named


def install(package: dict[str, str], folder: Path) -> Path:
    """Install a package with pip; returns the folder to add to PYTHONPATH."""
    source, target = folder / "source", folder / "installed"
    source.mkdir()
    for name, content in package.items():
        (source / name).write_text(content, encoding="utf-8")
    pip = ["-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "PIP_"))}
    done = subprocess.run(
        [sys.executable, *pip, str(target), str(source)],
        env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return target
