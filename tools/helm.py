"""Where helm is, for the test of the chart: the system's, or one that `go install` builds into `.helm/`."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tools.command import SetupError

HOME: Final = Path(__file__).resolve().parents[1] / ".helm"
MODULE: Final = "helm.sh/helm/v3/cmd/helm@v3.22.0"


def program() -> Path:
    """The program; the first build takes minutes.

    Raises:
        SetupError: it is not there and cannot be built; one line.
    """
    if found := shutil.which("helm"):
        return Path(found)
    built = HOME / "bin" / "helm"
    HOME.mkdir(exist_ok=True)
    with (HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            _build(built)
    return built


def _build(target: Path) -> None:
    if not (go := shutil.which("go")):
        raise SetupError("the test of the Helm chart needs helm or go in PATH")
    environment = {**os.environ, "GOBIN": str(target.parent), "GOFLAGS": "-trimpath", "CGO_ENABLED": "0"}
    done = subprocess.run([go, "install", MODULE], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"go ended with {done.returncode}"])[-1]
        raise SetupError(f"could not build {MODULE}: {why}")
