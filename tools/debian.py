"""Programs of a Debian package for tests: the system's, or else the package unpacked beside the repository's files.

Nothing is installed, and no root is needed where the package lists are there.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tools.command import SetupError

ROOT: Final = Path(__file__).resolve().parents[1]


def programs(package: str, names: Sequence[str], home: str, what_for: str) -> dict[str, Path]:
    """The programs by name. ``home`` is a folder of the repository for the package; ``what_for`` is for the error.

    Raises:
        SetupError: they are not there and can't be had; one line.
    """
    found = {name: shutil.which(name) for name in names}
    if all(found.values()):
        return {name: Path(path or "") for name, path in found.items()}
    folder = ROOT / home
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        unpacked = {name: folder / "root/usr/bin" / name for name in names}
        if not all(path.exists() for path in unpacked.values()):
            _unpack(package, names, folder, what_for)
    return unpacked


def _unpack(package: str, names: Sequence[str], home: Path, what_for: str) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise SetupError(f"{what_for} need {' and '.join(names)} in PATH, or Debian's package {package}")
    with tempfile.TemporaryDirectory(dir=home) as folder:
        if _run("apt-get", "download", package, cwd=folder) is not None:
            if os.geteuid() == 0:
                _run("apt-get", "update", cwd=folder)
            if problem := _run("apt-get", "download", package, cwd=folder):
                raise SetupError(f"Debian's package {package}, for {what_for}: {problem}")
        (file,) = Path(folder).glob(f"{package}_*.deb")
        if problem := _run("dpkg-deb", "--extract", str(file), f"{folder}/root", cwd=folder):
            raise SetupError(f"{file.name}: {problem}")
        shutil.rmtree(home / "root", ignore_errors=True)
        (Path(folder) / "root").rename(home / "root")


def _run(*command: str, cwd: str) -> str | None:
    """Run it; returns the last line of what went wrong."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or [f"{command[0]} ended with {done.returncode}"])[-1]
