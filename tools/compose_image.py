"""What tools/compose_smoke.py looks at in the image."""

import json
import time
from typing import Final

from tools.compose import Stack, expect

REBUILD_S: Final = 30
IMAGE_MB_MAX: Final = 250
UID: Final = "10001"
IN_THE_IMAGE: Final = """
import importlib.metadata, os, shutil
from pathlib import Path
print(sorted(f"{d.name.lower().replace('_', '-')}=={d.version}" for d in importlib.metadata.distributions(
    path=[p for p in __import__('sys').path if p.startswith('/opt/txwatch')])))
print(sorted(os.listdir("/app")))
print([tool for tool in ("pip", "gcc", "cc", "make", "git", "curl") if shutil.which(tool)])
print([str(p) for top in ("/root/.cache", "/app/tests", "/app/.git", "/runtime.lock") if (p := Path(top)).exists()])
print([str(p) for p in Path("/app").rglob("*.py") if not list(p.parent.glob(f"__pycache__/{p.stem}.*.pyc"))])
"""
WRITABLE: Final = """
import os
print(os.getuid(), [top for top in ("/app", "/app/service", "/opt/txwatch", "/", "/etc") if os.access(top, os.W_OK)])
"""


class Image:
    """The checks of the image, in their order.

    Args:
        stack: whose image it is.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def builds_from_a_fresh_clone(self) -> str:
        """The image is there."""
        self.stack.compose("build", "--progress", "plain")
        megabytes = int(self.stack.docker("image", "inspect", "-f", "{{.Size}}", self.stack.image)) / 1e6
        expect(megabytes < IMAGE_MB_MAX, f"{megabytes:.0f} MB")
        return f"{megabytes:.0f} MB"

    def holds_the_lock_and_the_code_and_no_tools(self) -> None:
        """What is in the image is what was locked, and its user cannot write to it."""
        lock = (self.stack.folder / "requirements/runtime.lock").read_text()
        locked = sorted(line.split()[0] for line in lock.splitlines() if "==" in line and not line.startswith(" "))
        expected = [str(locked), "['producer', 'service']", "[]", "[]", "[]", f"{UID} []"]
        python = ("run", "--rm", "--network", "none", "--entrypoint", "python")
        # Only root sees all of it.
        found = self.stack.docker(*python, "--user", "0:0", self.stack.image, "-c", IN_THE_IMAGE)
        found += self.stack.docker(*python, self.stack.image, "-c", WRITABLE)
        for wanted, line in zip(expected, found.splitlines(), strict=True):
            expect(line == wanted, f"{line} instead of {wanted}")

    def says_who_it_is(self) -> None:
        """Labels, user, stop signal, health check."""
        config = json.loads(self.stack.docker("image", "inspect", self.stack.image))[0]["Config"]
        labels = {name.rpartition(".")[2] for name in config["Labels"] if name.startswith("org.opencontainers.image.")}
        expect({"title", "version", "licenses", "revision", "description"} <= labels, f"labels {labels}")
        expect(config["User"].startswith(UID) and config["StopSignal"] == "SIGTERM", f"{config['User']}")
        expect("service.app.healthcheck" in str(config["Healthcheck"]["Test"]), f"{config['Healthcheck']}")

    def builds_fast_when_only_code_changed(self) -> str:
        """The packages are not installed again."""
        changed = self.stack.folder / "service/observe/log.py"
        before = changed.read_text()
        changed.write_text(before + "\n")
        began_s = time.monotonic()
        try:
            self.stack.docker("build", "--progress", "plain", "--tag", self.stack.image, ".")
        finally:
            changed.write_text(before)
        took_s, said = time.monotonic() - began_s, self.stack.said
        expect("Collecting" not in said and "CACHED" in said, "packages were installed again")
        expect(took_s < REBUILD_S, f"{took_s:.1f} s")
        self.stack.docker("build", "--quiet", "--tag", self.stack.image, ".")
        return f"{took_s:.1f} s"
