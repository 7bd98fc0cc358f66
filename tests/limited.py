"""Runs a program in a process with low limits: `python -m tests.limited LIMIT VALUE PROGRAM [ARGUMENT…]`.

LIMIT is `threads` (of this user; root becomes another user) or `mib` (of address space, in addition to what the process
has after all imports).
"""

import importlib
import os
import pkgutil
import resource
import sys
from pathlib import Path

OPTIONAL = {"service.history.timeline", "service.history.timeline.draw", "service.history.training.fit"}
"""They need an extra."""
SPARE_USER = 54_322
"""An id of a user who has no process."""


def main() -> None:
    """Does not return."""
    limit, value, program, *arguments = sys.argv[1:]
    for module in pkgutil.walk_packages(importlib.import_module(program).__path__, f"{program}."):
        if not module.name.endswith("__main__") and module.name not in OPTIONAL:
            importlib.import_module(module.name)
    run = importlib.import_module(f"{program}.__main__").main
    sys.argv = [program, *arguments]
    if limit == "threads":
        if os.getuid() == 0:  # whom this limit does not concern
            os.setgid(SPARE_USER)
            os.setuid(SPARE_USER)
        resource.setrlimit(resource.RLIMIT_NPROC, (int(value), int(value)))
    else:
        lines = Path("/proc/self/status").read_text().splitlines()
        size_kib = int(next(line for line in lines if line.startswith("VmSize")).split()[1])
        allowed = (size_kib << 10) + (int(value) << 20)
        resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
    run()


if __name__ == "__main__":
    main()
