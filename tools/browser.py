"""A headless Chromium for tests of the page and for its pictures, driven by the browser's own protocol over a pipe.

It is the system's, or Debian's package, which root can install. axe-core, which looks for barriers, comes from npm into
`.browser/`.
"""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

from tools.command import SetupError

HOME: Final = Path(__file__).resolve().parents[1] / ".browser"
AXE: Final = "axe-core@4.11.0"
PATIENCE_S: Final = 20.0
CHUNK: Final = 1 << 16


def program() -> str:
    """Where Chromium is.

    Raises:
        SetupError: it is not there and cannot be installed; one line.
    """
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    apt = shutil.which("apt-get")
    if not apt or os.geteuid():
        raise SetupError("the tests of the page need chromium in PATH")
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "chromium"]):
        _run([apt, *arguments], "chromium")
    return shutil.which("chromium") or ""


def axe() -> str:
    """The script of axe-core.

    Raises:
        SetupError: npm is missing, or cannot get it; one line.
    """
    script = HOME / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        npm = shutil.which("npm")
        if not npm:
            raise SetupError("the tests of the page need npm in PATH")
        HOME.mkdir(exist_ok=True)
        _run([npm, "install", "--silent", "--no-save", "--ignore-scripts", "--prefix", str(HOME), AXE], AXE)
    return script.read_text(encoding="utf-8")


def _run(command: list[str], what: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        raise SetupError(f"could not install {what}: {why}")


class BrowserError(AssertionError):
    """The page or the browser did not do what was asked."""


class Browser:
    """One page in a headless Chromium, from construction until close()."""

    def __init__(self, width: int = 1440, height: int = 1000) -> None:
        """Start it."""
        self._profile = tempfile.TemporaryDirectory(prefix="txwatch-browser-")
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        flags = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
            "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--hide-scrollbars", "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
            f"--user-data-dir={self._profile.name}", f"--window-size={width},{height}", "about:blank",
        ]  # fmt: skip
        # The protocol's pipe is at 3 and 4, whatever is there in this process.
        script = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "browser", program(), *flags],  # noqa: S607 - bash is where it is
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._out = os.fdopen(ours_out, "wb", buffering=0)
        self._in = os.fdopen(ours_in, "rb", buffering=0)
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.complaints: list[str] = []
        """What the page wrote to the console as an error, exceptions, and what its policy refused."""
        target = self.ask("Target.getTargets")["targetInfos"][0]["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.resize(width, height)

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401
        """Call a method of the protocol.

        Raises:
            BrowserError: it is refused, or the browser has ended.
        """
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            data = self._in.read(CHUNK)
            if not data:
                raise BrowserError(f"the browser ended with {self._process.wait()}")
            self._rest += data
        one, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(one)
        return message

    def _note(self, event: dict[str, Any]) -> None:
        parameters = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(parameters["exceptionDetails"])[:500])
            case "Log.entryAdded" if parameters["entry"]["level"] == "error":
                self.complaints.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")

    def open(self, url: str) -> None:
        """Go to a page, and wait until it is there."""
        self.ask("Page.navigate", url=url)
        self.wait(f"document.readyState === 'complete' && location.href === {json.dumps(url)}")

    def run(self, script: str) -> Any:  # noqa: ANN401
        """The value of an expression in the page, which may be a promise.

        Raises:
            BrowserError: it raised an exception.
        """
        done = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            raise BrowserError(f"{script}: {json.dumps(done['exceptionDetails'])[:500]}")
        return done["result"].get("value")

    def wait(self, script: str, timeout_s: float = PATIENCE_S) -> Any:  # noqa: ANN401
        """Wait until an expression is true; returns its value.

        Raises:
            BrowserError: it was not in time.
        """
        until_s = time.monotonic() + timeout_s
        while not (value := self.run(script)):
            if time.monotonic() > until_s:
                raise BrowserError(f"not within {timeout_s} s: {script}")
            time.sleep(0.05)
        return value

    def text(self, selector: str) -> str:
        """The text of an element."""
        return str(self.run(f"document.querySelector({json.dumps(selector)}).textContent"))

    def resize(self, width: int, height: int, scale: float = 1.0) -> None:
        """Make the window this large; below 600 it is a phone."""
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale,
            mobile=width < 600,  # noqa: PLR2004 - as page.css has it
        )  # fmt: skip

    def prefer(self, **features: str) -> None:
        """What the user prefers: `color_scheme="dark"`, `reduced_motion="reduce"`."""
        media = [{"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in features.items()]
        self.ask("Emulation.setEmulatedMedia", features=media)

    def picture(self, target: Path, *, whole: bool = True) -> None:
        """Write a PNG of the page, whole or what is in the window."""
        done = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole=whole))
        target.write_bytes(base64.b64decode(done["data"]))

    def _clip(self, *, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(BrowserError, OSError):
            self._session = None
            self.ask("Browser.close")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._process.kill()
        self._process.wait()
        self._in.close()
        self._out.close()
        with contextlib.suppress(OSError):
            self._profile.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def until(what: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    """Wait until something is so.

    Raises:
        BrowserError: it was not in time.
    """
    until_s = time.monotonic() + timeout_s
    while not what():
        if time.monotonic() > until_s:
            raise BrowserError(f"not within {timeout_s} s")
        time.sleep(0.05)
