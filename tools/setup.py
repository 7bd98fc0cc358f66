"""Makes `.venv/`: locked packages, checked by their hashes, and txwatch itself. Quick and offline once it is done.

`dev.lock` holds all that `demo.lock` does, so a checkout that was set up for tests is set up for the demo as well.
"""

import contextlib
import fcntl
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from tools.command import Display, run, say

ROOT: Final = Path(__file__).resolve().parent.parent
VENV: Final = ROOT / ".venv"
PYTHON: Final = VENV / "bin" / "python"
UNFINISHED: Final = VENV / "unfinished"
PIP_LOG: Final = VENV / "pip.log"

Level = Literal["demo", "dev"]


def set_up(level: Level) -> None:
    """Makes sure that `.venv/` has what a level needs.

    Raises:
        SetupError: it can't be had.
        OSError: the checkout can't be written.
    """
    if is_done(level):
        return
    with one_at_a_time():
        if is_done(level):  # by the process that held the lock
            return
        # What pip left half-way is not to be trusted; with its cache, starting over is quick.
        if UNFINISHED.exists() or venv_identity() is None:
            say("setting up .venv")
            shutil.rmtree(VENV, ignore_errors=True)
            run([sys.executable, "-m", "venv", str(VENV)], "could not make .venv", None)
        UNFINISHED.touch()
        PIP_LOG.unlink(missing_ok=True)
        install_locked(level)
        install_txwatch()
        stamp_file(level).write_text(stamp(level), encoding="utf-8")
        UNFINISHED.unlink()


def is_done(level: Level) -> bool:
    """Whether nothing changed since this level, or the one that contains it, was set up."""
    if UNFINISHED.exists():
        return False
    levels: list[Level] = ["dev"] if level == "dev" else ["dev", "demo"]
    return any(
        stamp_file(each).exists() and stamp_file(each).read_text(encoding="utf-8") == stamp(each) for each in levels
    )


def stamp_file(level: Level) -> Path:
    """Where the state of a finished setup is kept."""
    return VENV / f"{level}.stamp"


def stamp(level: Level) -> str:
    """A hash of all that decides what the environment contains, its place and its Python included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    relevant = [project["build-system"], project["project"], project["tool"]["setuptools"]]
    lock = (ROOT / "requirements" / f"{level}.lock").read_text(encoding="utf-8")
    text = json.dumps([venv_identity(), lock, relevant])
    return hashlib.sha256(text.encode()).hexdigest()


def venv_identity() -> str | None:
    """Which Python `.venv` has and where; None where it has none that runs, with pip."""
    code = "import sys, pip; print(sys.version, sys.prefix)"
    with contextlib.suppress(OSError):
        done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
    return None


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Lets only one process at a time change `.venv`."""
    home = ROOT / ".broker"
    home.mkdir(exist_ok=True)
    with (home / "setup.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another setup runs in this checkout; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def install_locked(level: Level) -> None:
    """Installs the packages of a lock file, by hash, showing how far it is."""
    lock = ROOT / "requirements" / f"{level}.lock"
    total = len(re.findall(r"^[a-z0-9].*==", lock.read_text(encoding="utf-8"), flags=re.MULTILINE))
    progress = ["--progress-bar", "raw"] if pip_has_raw_progress() else []
    # The lock names everything: a pip that looks for dependencies itself finds newer ones than those in the lock.
    options = ["--require-hashes", "--no-deps", "-r", str(lock)]
    pip = [str(PYTHON), "-m", "pip", "install", *progress, *options]
    run(pip, "could not install the packages", PIP_LOG, Display(total))


def install_txwatch() -> None:
    """Installs the checkout itself, editable; needs no network, since the locks have setuptools."""
    options = ["--no-build-isolation", "--no-deps", "--no-index", "--editable", str(ROOT)]
    run([str(PYTHON), "-m", "pip", "install", *options], "could not install txwatch", PIP_LOG)
    for left_over in ROOT.glob("*.egg-info"):
        shutil.rmtree(left_over)


def pip_has_raw_progress() -> bool:
    """Whether pip can report its downloads to a program (since 24.1); else only their names and sizes are shown."""
    done = subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True, text=True, check=False)
    version = re.match(r"pip (\d+)\.(\d+)", done.stdout)
    return version is not None and (int(version[1]), int(version[2])) >= (24, 1)
