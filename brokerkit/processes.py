"""Child processes that end with the process that started them, however that one ends; and how much memory one uses."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Final

# Runs in the child and then becomes the program, so the process id stays the same. It asks Linux for SIGKILL at the
# parent's death (prctl 1 is PR_SET_PDEATHSIG) and leaves if the parent is gone already.
_GUARD: Final = """\
import os, signal, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""

# For Linux the parent is the thread that forked, so one thread that lives as long as this process starts them all.
_spawner: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


def spawn(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a program that dies with this process. It has its own session: the terminal's Ctrl-C doesn't reach it.

    Args:
        command: the program and its arguments; a bare name is looked up in PATH.
        cwd: its working directory.
        env: its whole environment; by default this process's.
        stdin: as for `subprocess.Popen`; empty by default.
        stdout: as for `subprocess.Popen`.
        stderr: as for `subprocess.Popen`.
    """
    guarded = [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid()), *command]
    return _spawner.submit(
        subprocess.Popen,
        guarded,
        cwd=cwd,
        env=env,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    ).result()


def resident_mib(pid: int) -> float:
    """A process's resident size now."""
    return _memory_mib(pid, "VmRSS")


def peak_mib(pid: int) -> float:
    """The greatest resident size of a process so far."""
    return _memory_mib(pid, "VmHWM")


def _memory_mib(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024
