"""Reads the settings again while the service runs, and hands the loop other detectors: all of them or none.

It looks at the file once a second, and reads it at a signal or when it has changed. All of that happens on a thread of
its own: a model takes seconds to load, and topics are prepared by questions to Kafka.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Final

from structlog.typing import FilteringBoundLogger

from service.app.in_force import Detecting
from service.kafka.threads import start_call
from service.loop.change import Change
from service.loop.errors import Fatal, Misconfigured, Retriable
from service.settings import NAMES, Settings, SettingsError, load
from service.settings.read import DEFAULT_FILE

LOOK_S: Final = 1.0
"""The time between looks at the file. A change is read when a second look finds it the same: it has been written."""
_OWN: Final = "DETECT_LIMIT"
"""The one setting that is the default detector's, so it may change with the detectors."""
_Seen = tuple[int, int, int, int]


class ConfigFile:
    """Where the settings were read, so that they can be read again."""

    def __init__(self, given: Path | None) -> None:
        """``given`` is the file of ``--config``; None means the default file, where it exists."""
        # Without its file the start would take the defaults; a running service does not.
        self._given = given or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
        self._path = given or DEFAULT_FILE

    def read(self) -> Settings:
        """Read the settings, those of the environment included.

        Raises:
            SettingsError: a setting is unknown or has a wrong value, or a file cannot be read.
        """
        return load(self._given).settings

    def look(self) -> _Seen | None:
        """What tells a changed file from an unchanged one; None where it cannot be seen.

        It follows links: Kubernetes replaces the files of a ConfigMap by moving a link of a folder.
        """
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


class Reloading:
    """Appends a change for the loop whenever the settings have other detectors."""

    def __init__(
        self,
        file: ConfigFile,
        in_force: Detecting,
        *,
        asked: threading.Event,
        prepare: Callable[[Detecting], Change],
        changes: deque[Change],
        failed: Callable[[bool], object],
        log: FilteringBoundLogger,
    ) -> None:
        """Read nothing yet. The signal sets ``asked``.

        ``prepare`` prepares the topics, ``changes`` has room for one, and ``failed`` is called after each reading:
        whether it was in vain.
        """
        self._file = file
        self._accepted = in_force
        """The newest good ones: they are in force, or wait for a boundary."""
        self._asked = asked
        self._prepare = prepare
        self._changes = changes
        self._failed = failed
        self._log = log
        self._seen: _Seen | None = None
        self._read: _Seen | None = None
        """The file as it was when it was last read. None at first: it may have changed since the start read it."""
        self._waiting: Detecting | None = None
        """Those whose topics could not be prepared since Kafka did not answer: the next look asks it again."""
        self._over = False
        self._thread: Future[None] | None = None

    def start(self) -> None:
        """Begin to look.

        Raises:
            Fatal: the process cannot start a thread.
        """
        self._thread = start_call("config", self._run)

    def check(self) -> None:
        """Raise here, on the loop's thread, what has ended the other one: a bug is not passed over in silence."""
        if self._thread is not None and self._thread.done():
            self._thread.result()

    def close(self) -> None:
        """Look no more."""
        self._over = True
        self._asked.set()

    def _run(self) -> None:
        while not self._over:
            asked = self._asked.wait(LOOK_S)
            if asked:  # a signal that comes only now counts for the next turn
                self._asked.clear()
            if not self._over:
                self.look(asked=asked)

    def look(self, *, asked: bool) -> None:
        """Look at the file once; read it if it has changed, or if ``asked`` to."""
        seen = self._file.look()
        written, self._seen = seen == self._seen, seen
        try:
            if asked or (written and seen != self._read):
                first, self._read, self._waiting = self._read is None, seen, None
                self._take(self._file.read(), quiet=first and not asked)
            elif self._waiting is not None:
                self._hand_over(self._waiting)
        except (SettingsError, Misconfigured, Fatal) as problem:
            self._refuse(str(problem))
        except Exception as problem:  # noqa: BLE001 - the class of a package's detector may raise anything
            self._refuse(f"{type(problem).__name__}: {problem}")

    def _take(self, settings: Settings, *, quiet: bool) -> None:
        """Construct the detectors of these settings, unless they are those that judge already, and hand them over."""
        if others := _others(self._accepted.settings, settings):
            raise SettingsError(f"only detectors can change while the service runs; restart it for {', '.join(others)}")
        if self._accepted.judge_like(settings):
            if not quiet:
                self._log.info("config_unchanged", rules=self._accepted.rules)
            self._failed(False)  # noqa: FBT003 - a gauge's function
        else:
            self._hand_over(Detecting.by(settings))

    def _hand_over(self, new: Detecting) -> None:
        """Prepare the topics, and give the loop the change. Where Kafka does not answer, these detectors wait."""
        again, self._waiting = new is self._waiting, None
        try:
            change = self._prepare(new)
        except Retriable as problem:
            self._waiting = new
            if not again:
                self._log.warning("config_reload_waits", error=str(problem))
            return
        self._changes.append(change)  # in place of one that still waits
        self._accepted = new
        self._log.info("config_read", rules=new.rules, detectors=[one.name for one in new.detectors])
        self._failed(False)  # noqa: FBT003 - a gauge's function

    def _refuse(self, why: str) -> None:
        self._failed(True)  # noqa: FBT003 - a gauge's function
        self._log.error("config_reload_failed", error=" ".join(why.split()), rules=self._accepted.rules)


def _others(before: Settings, now: Settings) -> list[str]:
    """The settings, besides the detectors, that differ. The targets of `forward` are another program's."""
    return [
        name
        for name, (group, field) in NAMES.items()
        if name != _OWN and getattr(getattr(before, group), field) != getattr(getattr(now, group), field)
    ]
