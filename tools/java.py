"""A JDK, which runs the Java example from its source. The broker's own Java has no compiler."""

import os
import shutil
import subprocess
from typing import Final

from tools.command import SetupError

_PACKAGE: Final = "default-jdk-headless"


def program() -> str:
    """Where a `java` is that has a compiler.

    Raises:
        SetupError: there is none, and it cannot be installed; one line.
    """
    if not shutil.which("javac"):
        apt = shutil.which("apt-get")
        if not apt or os.geteuid():
            raise SetupError("the test of the Java example needs a JDK: javac in PATH")
        for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", _PACKAGE]):
            _run([apt, *arguments])
    compiler = shutil.which("javac")
    if not compiler:
        raise SetupError(f"{_PACKAGE} has brought no javac")
    return os.path.join(os.path.dirname(os.path.realpath(compiler)), "java")  # noqa: PTH118, PTH120 - links are followed


def _run(command: list[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        raise SetupError(f"could not install {_PACKAGE}: {why}")
