"""Histories in which the detectors change all the time, by the file of ``--config`` and SIGHUP, while faults happen.

The file is swapped as Kubernetes swaps a ConfigMap. Now and then it is broken, or changes what needs a restart.
"""

import json
import random
import signal
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import tomli_w

from brokerkit.service_process import ServiceProcess, wait_until
from histories.detector_audit import FORGET_AFTER_MS, differences, outputs_of
from histories.detector_oracle import Rule
from histories.oracle import Account
from histories.reload_oracle import WITNESS, expect_changing, in_one_txn
from histories.world import World
from service.app.detectors import rules_hash
from service.settings import load

ONE_AT_A_TIME: Final = ("sigkill", "sigterm", "broker_kill", "killed_in_commit", "broker_killed_in_commit", "quiet")
"""Kinds in which no two services live at once."""
_OTHERWISE: Final[Mapping[str, Mapping[str, Any]]] = {
    "threshold": {"limit": 6500},
    "greatest": {"limit": 1900, "limits": {}},
    "busy": {"limit": 3},
    "unusual": {"sigmas": 1.0, "min_windows": 5, "clip_sigmas": 3},
    "recent": {"sigmas": 2.0},
    "silent": {"after_ms": 3_000},
}
_MORE: Final[Rule] = {"name": "least", "type": "threshold", "of": "min", "limit": 100, "direction": "below"}
_BY_SIGNAL: Final = 0.8
"""How often a service reads a file at a signal, and not because it looks: in histories few live for two looks."""
_NEVER: Final[Rule] = {**WITNESS, "limit": 1}
"""Part of files that must be refused: if it judges, its rules are unknown ones."""


def _accepted(service: ServiceProcess) -> str | None:
    """The hash of the detectors that a service took over last, or found in force; None before its first reading."""
    events = [one for one in service.log if one["event"] in {"detectors_changed", "config_unchanged"}]
    return str(events[-1]["rules"]) if events else None


def variants(detectors: Sequence[Rule]) -> tuple[Sequence[Rule], Sequence[Rule]]:
    """Two forms of these detectors: with other parameters, one more, and in another order."""
    return [*detectors, WITNESS], [_MORE, WITNESS, *({**one, **_OTHERWISE[one["name"]]} for one in reversed(detectors))]


class ReloadWorld(World):
    """A world whose services read their detectors from a file that changes."""

    plays: ClassVar[str] = "reload"
    again: ClassVar[str] = " --reload"

    def __post_init__(self) -> None:
        """Write the first file; nothing runs yet."""
        super().__post_init__()
        del self.settings["DETECTORS"]
        self._folder = tempfile.TemporaryDirectory(prefix="txwatch-")
        self._variants = variants(self.detectors)
        self._written = 0
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._write({"detectors": self._variants[0]})
        self._changer = threading.Thread(target=self._change, daemon=True)

    @property
    def _file(self) -> Path:
        return Path(self._folder.name) / "service.toml"

    def arguments(self) -> Sequence[str]:
        """The file, which the services read again."""
        return ["run", "--config", str(self._file)]

    def start(self, name: str = "one", module: str = "service", **settings: str) -> Any:  # noqa: ANN401 - as it returns
        """Start an instance; from the first one on the detectors change."""
        with self._lock:
            if self._broken:
                self._write({"detectors": self._variants[0]})  # a start with a broken file would fail
            service = super().start(name, module, **settings)
        if not self._changer.is_alive() and not self._over.is_set():
            self._changer.start()
        return service

    def _change(self) -> None:
        dice = random.Random(f"{self.kind} {self.seed} reload")  # noqa: S311 - no secret
        number = 0
        while not self._over.wait(0.3 + dice.random()):
            number += 1
            with self._lock:
                alive = self.alive()
                started = all(service.events("started") for service in alive)
                match dice.randrange(6) if started else None:
                    case 0:
                        self._write({"detectors": [_NEVER, {"name": "x", "type": "threshold"}]}, broken=True)
                    case 1:
                        self._write({"detectors": [_NEVER], "window": {"ingestion_margin_ms": 7}}, broken=True)
                    case _:
                        self._write({"detectors": self._variants[number % 2]})
                self.note(f"another file, number {self._written}{', broken' * self._broken}")
                for service in alive if started else ():  # before it has started, the signal would end it
                    if dice.random() < _BY_SIGNAL:
                        service.process.send_signal(signal.SIGHUP)

    def _write(self, content: Mapping[str, Any], *, broken: bool = False) -> None:
        self._written, self._broken = self._written + 1, broken
        folder = self._file.parent
        version = folder / f"..{self._written}"
        version.mkdir()
        (version / "service.toml").write_text(tomli_w.dumps(content))
        link = folder / "..data_tmp"
        link.symlink_to(version.name)
        link.replace(folder / "..data")
        if self._written == 1:
            self._file.symlink_to("..data/service.toml")

    def settle(self) -> Account:
        """Change twice more while records come: few changes may have reached a service that lived. Then no more."""
        self._over.set()
        self._changer.join()
        with self._lock:
            self._write({"detectors": self._variants[0]})
        if not self.alive():
            self.start("last")
        service = self.alive()[-1]
        service.wait_ready(timeout_s=60)
        for number in (1, 0):
            rules = self._hash(self._variants[number])
            with self._lock:
                self._write({"detectors": self._variants[number]})
            service.process.send_signal(signal.SIGHUP)
            wait_until(lambda: _accepted(service) == rules, timeout_s=60)  # noqa: B023 - called before the next one
            self.recovered(time.time(), "the last changes", counts=False)
        return super().settle()

    def close(self) -> None:
        """End every process, and remove the file."""
        self._over.set()
        super().close()
        self._folder.cleanup()

    def _compare_with_a_calm_service(self, account: Account) -> None:
        """There is none to compare with: when a change was applied does not follow from the input."""

    def _detector_faults(self, account: Account) -> list[str]:
        sets = {self._hash(one): one for one in self._variants}
        found = outputs_of(self.broker, self.names)
        due, faults = expect_changing(
            sets, self.names.transactions, account.windows, found.shadow, forget_after_ms=FORGET_AFTER_MS
        )
        faults += differences(due, found)
        if self.kind in ONE_AT_A_TIME:
            faults += in_one_txn([*found.alerts, *found.shadow])
        if not sum(len(service.events("detectors_changed")) for _, service in self.everyone()):
            faults.append("no detectors were changed: the history shows nothing")
        return faults

    def _hash(self, detectors: Sequence[Rule]) -> str:
        loaded = load(Path("/dev/null"), {"DETECTORS": json.dumps(detectors)})
        return rules_hash(loaded.settings) or ""
