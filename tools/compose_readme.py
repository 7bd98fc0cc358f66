"""Runs the commands that README gives for Docker, as its reader would: each in a terminal of its own.

Each command of the section has its check here, by its very text. A command without one fails, and so does a check
whose command is gone.
"""

import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import IO, Final

from tools.compose import Stack, eventually, expect, get

ALERTS: Final = (
    "Anomaly detected: ('tx1', 1715392800000, 11700.0), current watermark: 1715392808000",
    "Anomaly detected: ('tx1', 1715392810000, 9000.0), current watermark: 1715392809000",
)
ONE_OF_LIVE: Final = re.compile(r"Anomaly detected: \('tx\d\d', ")
KAFKA_LINES_MAX: Final = 60
RUNNING_S: Final = 120.0
HEADING: Final = "## With Docker"
UP: Final = "docker compose up"
ALERTS_LOG: Final = "docker compose logs --follow alerts"
AGAIN: Final = "docker compose run --rm producer"
LIVE: Final = "docker compose --profile live up"
SCALE: Final = "docker compose up --detach --scale service=3"
DOWN: Final = "docker compose --profile live down --remove-orphans"
IN_ANOTHER_ORDER: Final = (AGAIN, SCALE, ALERTS_LOG, LIVE, UP, DOWN)
"""The replay before anything runs, and `up` last."""


def commands(readme: str) -> list[str]:
    """The commands of README's section in their order, without their comments."""
    section = readme.partition(f"\n{HEADING}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^ {4}((?:[A-Z_]+=\S+ )*docker compose .*?)\s*(?:#.*)?$", section, re.MULTILINE)
    return [" ".join(each.split()) for each in found]


class Terminal:
    """A command that somebody has typed, and what it has printed.

    Args:
        stack: where.
        command: as typed.
    """

    def __init__(self, stack: Stack, command: str) -> None:
        self.command = command
        self._output: IO[bytes] = tempfile.NamedTemporaryFile(prefix="txwatch-terminal-")  # noqa: SIM115 - until leave()
        words = shlex.split(command)
        settings = list(takewhile(lambda word: "=" in word, words))
        environment = stack.environment | dict(each.split("=", 1) for each in settings)
        self._process = subprocess.Popen(
            words[len(settings) :],
            cwd=stack.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def text(self) -> str:
        """All that it has printed so far."""
        return Path(self._output.name).read_text(encoding="utf-8", errors="replace")

    def shows(self, what: str | re.Pattern[str], timeout_s: float = RUNNING_S) -> None:
        """Wait until it has printed that.

        Raises:
            CheckError: it has not.
        """
        pattern = re.compile(re.escape(what)) if isinstance(what, str) else what
        eventually(lambda: pattern.search(self.text), f"`{self.command}` shows {pattern.pattern}", timeout_s)

    def ends(self) -> int:
        """Wait for its exit code.

        Raises:
            CheckError: it goes on.
        """
        eventually(lambda: self._process.poll() is not None, f"`{self.command}` ends", RUNNING_S)
        return int(self._process.returncode)

    def leave(self) -> None:
        """End it, if it has not ended: the terminal's window is closed."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._output.close()


class Reader:
    """Somebody who types README's commands.

    Args:
        stack: where nothing is running yet.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._terminals: list[Terminal] = []
        self._before = 0
        self.checks: Mapping[str, Callable[[Terminal], str]] = {
            UP: self._up,
            ALERTS_LOG: self._alerts_log,
            AGAIN: self._again,
            LIVE: self._live,
            SCALE: self._scale,
            DOWN: self._down,
        }

    def types(self, lines: Sequence[str]) -> str:
        """Run these commands in this order; returns what was seen.

        Raises:
            CheckError: a command has no check, or did not do what README says.
        """
        missing = set(lines) ^ set(self.checks)
        expect(not missing, f"a command without a check, or a check without its command: {sorted(missing)}")
        try:
            return "; ".join(self._one(each) for each in lines)
        finally:
            for terminal in self._terminals:
                terminal.leave()

    def _one(self, line: str) -> str:
        self._before = self._first_windows()
        terminal = Terminal(self._stack, line)
        self._terminals.append(terminal)
        seen = self.checks[line](terminal)
        expect(not re.search("pull access denied|pulling", terminal.text, re.IGNORECASE), f"`{line}` pulls")
        expect("unhealthy" not in terminal.text, f"`{line}`: unhealthy")
        if line != DOWN:
            found = self._examples()
            expect(found == 1, f"after `{line}` the example has been replayed {found} times")
        return seen

    def _examples(self) -> int:
        """How often the example has been replayed by `up`, once its container has ended."""
        containers = self._stack.compose("ps", "--all", "--quiet", "example").split()
        expect(self._stack.docker("wait", *containers).split() == ["0"], "the example failed")
        return self._stack.compose("logs", "example").count('"delivered"')

    def _first_windows(self) -> int:
        """How often the example's first window is in the alerts."""
        if not self._stack.inspect():
            return 0
        return sum("('tx1', 1715392800000, 11700.0)" in line for line in self._stack.alerts())

    def _up(self, terminal: Terminal) -> str:
        if len(self._terminals) > 1:  # the example is over; live goes on
            terminal.shows(ONE_OF_LIVE)
            return "up shows an alert"
        for alert in ALERTS:
            terminal.shows(alert)
        kafka = len(re.findall(r"kafka-1 +\| ", terminal.text))
        expect(1 <= kafka <= KAFKA_LINES_MAX, f"{kafka} lines of Kafka")
        return f"up shows the example's alerts, and {kafka} lines of Kafka"

    def _alerts_log(self, terminal: Terminal) -> str:
        for alert in ALERTS:
            terminal.shows(alert)
        return "the log of alerts has the example's"

    def _again(self, terminal: Terminal) -> str:
        expect(terminal.ends() == 0, f"the replay failed: {terminal.text[-500:]}")
        expect('"delivered":4' in terminal.text.replace(" ", ""), f"the replay says {terminal.text[-500:]}")
        expected = (self._before or 1) + 1  # where nothing was running, the example comes first
        eventually(lambda: self._first_windows() == expected, f"the example's first alert {expected} times")
        return "the replay has alerts"

    def _live(self, terminal: Terminal) -> str:
        terminal.shows(ONE_OF_LIVE)
        return "live shows an alert"

    def _scale(self, terminal: Terminal) -> str:
        expect(terminal.ends() == 0, f"scaling failed: {terminal.text[-500:]}")
        eventually(self._stack.shared, "each instance has a partition")
        expect(get(f"{self._stack.front}/readyz")[0] == 200, "the published port does not answer")  # noqa: PLR2004
        return "three share the partitions"

    def _down(self, terminal: Terminal) -> str:
        expect(terminal.ends() == 0, f"down failed: {terminal.text[-500:]}")
        left = self._stack.docker("ps", "--filter", f"label=com.docker.compose.project={self._stack.project}")
        expect(len(left.splitlines()) == 1, f"still running: {left}")
        for each in self._terminals:
            each.ends()
        return "down leaves nothing running"
