"""The packages of tools/npm/package-lock.json, installed into `.npm/`: they check asyncapi.yaml, and run an example.

The lock file names no registry. In tools/npm, this writes it again:

    npm install --package-lock-only --omit-lockfile-registry-resolved
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tools.command import SetupError
from tools.setup import ROOT

LOCKED: Final = ROOT / "tools" / "npm"
HOME: Final = ROOT / ".npm"
_FILES: Final = ("package.json", "package-lock.json")


def installed() -> Path:
    """The folder `node_modules` with these packages.

    Raises:
        SetupError: node or npm is missing, or npm cannot get a package; one line.
    """
    modules = HOME / "node_modules"
    stamp = HOME / "installed"
    locked = "".join((LOCKED / name).read_text(encoding="utf-8") for name in _FILES)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == locked:
        return modules
    if not shutil.which("npm") or not shutil.which("node"):
        raise SetupError("the tests of asyncapi.yaml and of the TypeScript example need node and npm in PATH")
    HOME.mkdir(exist_ok=True)
    for name in _FILES:
        shutil.copy2(LOCKED / name, HOME)
    command = ["npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        raise SetupError(f"could not install the packages of npm: {why}")
    stamp.write_text(locked, encoding="utf-8")  # the last step: without it, the next run installs again
    return modules


def run_node(*arguments: str | Path, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Run node, which finds these packages by require()."""
    environment = {**os.environ, "NODE_PATH": str(installed())}
    return subprocess.run(
        ["node", *arguments],  # noqa: S607 - node is where it is
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
