"""Fetches the jars of Apache Kafka into `.broker/`, and checks each one against brokerkit/kafka-jars.lock.

A jar gets its final name only after its SHA-256 was verified. So a file with the locked size is a good one, and later
starts read no jar and need no network.
"""

import contextlib
import logging
import os
import queue
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from brokerkit.jars import HOME, KAFKA_VERSION, BrokerError, Jar, locked_jars, one_at_a_time, say, sha256_of

THREADS: Final = 6
ATTEMPTS: Final = 3
PAUSE_S: Final = 1.0

Advance = Callable[[int], None]
Fetch = Callable[[Jar, Path, Advance], Path]


def ensure_jars(kafka_version: str = KAFKA_VERSION, home: Path = HOME, fetch: Fetch | None = None) -> list[Path]:
    """Returns the jars in class path order, and downloads the missing ones, by `fetch` or with jgo.

    Raises:
        BrokerError: a jar cannot be downloaded, or differs from the lock file.
        OSError: the folder cannot be written.
    """
    libs = home / f"kafka-{kafka_version}" / "libs"
    jars = locked_jars(kafka_version)
    if missing_jars(jars, libs):
        with one_at_a_time("download.lock", home):
            missing = missing_jars(jars, libs)  # again: another process may have fetched them meanwhile
            if missing:
                download(missing, libs, fetch or fetch_with_jgo)
    return [libs / jar.filename for jar in jars]


def missing_jars(jars: list[Jar], libs: Path) -> list[Jar]:
    """Returns the jars without a file of the locked size."""
    sizes = {entry.name: entry.stat().st_size for entry in os.scandir(libs)} if libs.is_dir() else {}
    return [jar for jar in jars if sizes.get(jar.filename) != jar.size]


def fetch_with_jgo(jar: Jar, folder: Path, advance: Advance) -> Path:
    """Downloads one jar with jgo from the repositories in jgo's settings; returns the file."""
    # Imported here, since only the first start needs it.
    from jgo.config import GlobalSettings  # noqa: PLC0415
    from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415

    logging.getLogger("jgo").addHandler(logging.NullHandler())  # our own checks report what it warns of

    @contextlib.contextmanager
    def progress(_name: str, _size: int) -> Generator[Advance]:
        yield advance

    defaults = MavenContext().remote_repos
    own = GlobalSettings.load().repositories
    context = MavenContext(
        resolver=PythonResolver(progress_callback=progress),
        repo_cache=folder,
        remote_repos={**own, **{name: url for name, url in defaults.items() if name not in own}},
    )
    path = context.resolver.download(context.project(jar.group, jar.artifact).at_version(jar.version).artifact())
    if path is None:
        raise RuntimeError(jar.filename)
    return path


def download(jars: list[Jar], libs: Path, fetch: Fetch, pause_s: float = PAUSE_S) -> None:
    """Fetches the jars with a few threads, checks each SHA-256, and moves each file to `libs` in one step.

    Raises:
        BrokerError: a jar could not be downloaded in several attempts, or its content is wrong.
    """
    home = libs.parent
    home.mkdir(parents=True, exist_ok=True)
    for left_over in home.glob("download-*"):
        shutil.rmtree(left_over, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix="download-", dir=home))
    libs.mkdir(exist_ok=True)
    todo: queue.SimpleQueue[Jar] = queue.SimpleQueue()
    done: queue.SimpleQueue[BrokerError | int | None] = queue.SimpleQueue()
    for jar in jars:
        todo.put(jar)

    def work() -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                done.put(Download(folder, libs, fetch, done.put, pause_s).one(todo.get_nowait()))

    try:
        # Daemon threads, so that Ctrl-C does not wait for a server that does not answer.
        for _ in range(min(THREADS, len(jars))):
            threading.Thread(target=work, daemon=True).start()
        with show_progress(sum(jar.size for jar in jars)) as advance:
            left = len(jars)
            while left:
                match done.get():
                    case BrokerError() as error:
                        raise error
                    case None:
                        left -= 1
                    case int(size):
                        advance(size)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Download:
    """Fetches jars, checks them, and moves them to their place."""

    folder: Path
    libs: Path
    fetch: Fetch
    advance: Advance
    pause_s: float

    def one(self, jar: Jar) -> BrokerError | None:
        """Fetches one jar, in several attempts. Returns the error, if any; the thread that waits raises it."""
        reason = ""
        for attempt in range(ATTEMPTS):
            time.sleep(attempt * self.pause_s)
            try:
                path = self.fetch(jar, self._empty_folder(jar), self.advance)
                if (got := sha256_of(path)) == jar.sha256:
                    path.replace(self.libs / jar.filename)
                    return None
                reason = f"its SHA-256 is {got[:16]}…, the lock file says {jar.sha256[:16]}…"
            except RuntimeError:  # jgo raises it for every answer but 200
                reason = "no configured Maven repository has it, or none answered well"
            except OSError as error:  # an error of requests, or of the file system
                reason = error.strerror or short(error)
                if error.errno is not None:
                    break  # an error of the file system, which another attempt would meet again
        return BrokerError(f"could not download {jar.filename}: {reason}")

    def _empty_folder(self, jar: Jar) -> Path:
        """Returns a folder for one attempt. It removes what the last attempt left, which jgo would refuse."""
        own = self.folder / jar.filename  # a folder for each, because artifacts of two groups may have the same name
        shutil.rmtree(own, ignore_errors=True)
        return own


def short(error: BaseException) -> str:
    """Returns the innermost cause of a network error, on one line, without addresses of objects."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    text = " ".join(str(error).split()) or type(error).__name__
    return text.rpartition(">: ")[2]


@contextlib.contextmanager
def show_progress(total: int) -> Iterator[Advance]:
    """Shows the progress on standard error: a bar on a terminal, otherwise a line at each quarter."""
    if sys.stderr.isatty():
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn  # noqa: PLC0415

        columns = (TextColumn("  Apache Kafka"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("", total=total)
            yield lambda size: bar.advance(task, size)
        return
    got = 0
    quarter = 0

    def advance(size: int) -> None:
        nonlocal got, quarter
        got += size
        if (now := min(got * 4 // total, 4)) > quarter:
            quarter = now
            say(f"  {quarter * 25} %")

    say(f"downloading Apache Kafka, {total / 1e6:.0f} MB")
    yield advance
