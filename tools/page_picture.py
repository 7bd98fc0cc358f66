"""Makes docs/pictures/page.png: the live page while payments of now come in, out of order.

    .venv/bin/python -m tools.pictures page

It starts a broker and the service, replays data/live.csv for a minute, and takes the picture with Chromium
(tools/browser.py).
"""

import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from PIL import Image

from brokerkit.broker import Broker
from tools.browser import Browser
from tools.children import Child, Service
from tools.setup import ROOT

TARGET: Final = ROOT / "docs" / "pictures" / "page.png"
WIDTH: Final = 1180
HEIGHT: Final = 930
SHOWN_S: Final = 55.0
"""The first alerts come after 20 s; a minute has a few."""


def main() -> int:
    """Make it; returns the exit code."""
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(Broker())
        settings = {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "KAFKA_INSTANCE_ID": "one"}
        service = stack.enter_context(Service(settings))
        service.wait_until_ready()
        replay = ["replay", "data/live.csv", "--timestamp-format", "iso8601", "--rebase", "now", "--shuffle-ms", "1400"]
        stack.enter_context(Child("replay", ["-m", "producer", *replay, "--no-progress"], settings))
        page = stack.enter_context(Browser(WIDTH, HEIGHT))
        page.prefer(color_scheme="light")
        page.open(f"http://{service.address}/")
        time.sleep(SHOWN_S)
        page.wait("document.querySelectorAll('#alert-list .alert').length > 1", SHOWN_S)
        page.wait("Date.now() % 10000 > 5000 && Date.now() % 10000 < 6000")  # half of the window is filled
        with tempfile.TemporaryDirectory() as folder:
            taken = Path(folder) / "page.png"
            page.picture(taken, whole=False)
            with Image.open(taken) as image:  # packed better than by Chromium
                image.convert("RGB").save(TARGET, optimize=True)
    sys.stderr.write(f"{TARGET.name} written: {TARGET.stat().st_size // 1024} KiB\n")
    return 0
