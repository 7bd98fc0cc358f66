"""Where Prometheus and promtool are, for the tests of rules and dashboards.

The system's, or else Debian's package unpacked into `.prometheus/`: nothing is installed, no root is needed where the
package lists are there.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tools.command import SetupError

HOME: Final = Path(__file__).parents[1] / ".prometheus"
PROGRAMS: Final = ("prometheus", "promtool")


def programs() -> dict[str, Path]:
    """Both programs by name.

    Raises:
        SetupError: they are not there and can't be had; one line.
    """
    found = {name: shutil.which(name) for name in PROGRAMS}
    if all(found.values()):
        return {name: Path(path or "") for name, path in found.items()}
    HOME.mkdir(exist_ok=True)
    with (HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        unpacked = {name: HOME / "root/usr/bin" / name for name in PROGRAMS}
        if not all(path.exists() for path in unpacked.values()):
            _unpack()
    return unpacked


def _unpack() -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise SetupError("tests of the alert rules need prometheus and promtool in PATH, or Debian's package of them")
    with tempfile.TemporaryDirectory(dir=HOME) as folder:
        if _run("apt-get", "download", "prometheus", cwd=folder) is not None:
            if os.geteuid() == 0:
                _run("apt-get", "update", cwd=folder)
            if problem := _run("apt-get", "download", "prometheus", cwd=folder):
                raise SetupError(f"Debian's package prometheus, for the tests of the alert rules: {problem}")
        (package,) = Path(folder).glob("prometheus_*.deb")
        if problem := _run("dpkg-deb", "--extract", str(package), f"{folder}/root", cwd=folder):
            raise SetupError(f"{package.name}: {problem}")
        shutil.rmtree(HOME / "root", ignore_errors=True)
        (Path(folder) / "root").rename(HOME / "root")


def _run(*command: str, cwd: str) -> str | None:
    """Run it; returns the last line of what went wrong."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or [f"{command[0]} ended with {done.returncode}"])[-1]
