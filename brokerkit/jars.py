"""Fetches the jars of Apache Kafka into `.broker/`, each one named and checked by brokerkit/kafka-jars.lock.

A jar appears under its final name only after its SHA-256 was verified, so a file that is there with the locked size
is taken as good: later starts read no jar and ask no network.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import queue
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
HOME: Final = ROOT / ".broker"
LOCK_FILE: Final = Path(__file__).with_name("kafka-jars.lock")
KAFKA_VERSION: Final = "4.2.1"
THREADS: Final = 6
ATTEMPTS: Final = 3
PAUSE_S: Final = 1.0

Advance = Callable[[int], None]
Progress = Callable[[str, int], AbstractContextManager[Advance]]
Fetch = Callable[["Jar", Path, Advance], Path]


class BrokerError(Exception):
    """The broker can't be fetched, started or reached; the text is one line for a person."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock file."""

    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def filename(self) -> str:
        """The name under which every Maven repository keeps it."""
        return f"{self.artifact}-{self.version}.jar"


def locked_jars(kafka_version: str = KAFKA_VERSION, lock_file: Path = LOCK_FILE) -> list[Jar]:
    """The jars of one Kafka version, as the lock file has them."""
    jars = []
    for line in lock_file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        kafka, coordinate, size, sha256 = line.split()
        if kafka == kafka_version:
            group, artifact, version = coordinate.split(":")
            jars.append(Jar(group, artifact, version, int(size), sha256))
    if not jars:
        raise BrokerError(f"{lock_file.name} has no jars of Kafka {kafka_version}")
    return jars


def locked_versions(lock_file: Path = LOCK_FILE) -> list[str]:
    """The Kafka versions that the lock file names, the oldest first."""
    lines = lock_file.read_text(encoding="utf-8").splitlines()
    found = {line.split()[0] for line in lines if line.strip() and not line.startswith("#")}
    return sorted(found, key=lambda version: [int(part) for part in version.split(".")])


def major(kafka_version: str) -> int:
    """The first number of a version."""
    return int(kafka_version.partition(".")[0])


def group_protocol(kafka_version: str) -> str:
    """The newest group protocol that its brokers offer as they come: KIP-848 is there since 4.0."""
    return "consumer" if major(kafka_version) >= 4 else "classic"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def one_at_a_time(name: str, home: Path = HOME) -> Iterator[None]:
    """Holds an exclusive lock between processes; it ends with its holder, however that ends."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def ensure_jars(kafka_version: str = KAFKA_VERSION, home: Path = HOME, fetch: Fetch | None = None) -> list[Path]:
    """Returns the jars in class path order, downloading those that are missing (by `fetch`, else with jgo).

    Raises:
        BrokerError: a jar can't be had, or isn't what the lock file says.
        OSError: the folder can't be written.
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
    """Those that aren't there with the locked size."""
    there = {entry.name: entry.stat().st_size for entry in os.scandir(libs)} if libs.is_dir() else {}
    return [jar for jar in jars if there.get(jar.filename) != jar.size]


def fetch_with_jgo(jar: Jar, folder: Path, advance: Advance) -> Path:
    """Downloads one jar with jgo from the repositories that jgo is set up with; returns where it is."""
    # Imported here, since only the first start needs it.
    from jgo.config import GlobalSettings  # noqa: PLC0415
    from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415

    logging.getLogger("jgo").addHandler(logging.NullHandler())  # what it warns of is checked, and said, here

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
    """Fetches with a few threads, checks each jar's SHA-256 and moves it to `libs` in one step.

    Raises:
        BrokerError: one jar could not be had after several attempts, or its content is wrong.
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
        # Daemons: Ctrl-C must not wait for a silent server.
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
    """How jars are fetched, checked and put in their place."""

    folder: Path
    libs: Path
    fetch: Fetch
    advance: Advance
    pause_s: float

    def one(self, jar: Jar) -> BrokerError | None:
        """Gets one jar, in several attempts. Returns what went wrong, if anything; the thread that waits raises it."""
        reason = ""
        for attempt in range(ATTEMPTS):
            time.sleep(attempt * self.pause_s)
            try:
                path = self.fetch(jar, self._empty_folder(jar), self.advance)
                if (got := sha256_of(path)) == jar.sha256:
                    path.replace(self.libs / jar.filename)
                    return None
                reason = f"its SHA-256 is {got[:16]}…, the lock file says {jar.sha256[:16]}…"
            except RuntimeError:  # jgo's word for any answer but 200
                reason = "no configured Maven repository has it, or none answered well"
            except OSError as error:  # requests' errors are among them, and a full disk
                reason = error.strerror or short(error)
                if error.errno is not None:
                    break  # the file system's, not the network's: trying again is no use
        return BrokerError(f"could not download {jar.filename}: {reason}")

    def _empty_folder(self, jar: Jar) -> Path:
        """Removes what an attempt left: jgo requires that the file isn't there yet."""
        own = self.folder / jar.filename  # two groups may have an artifact of one name
        shutil.rmtree(own, ignore_errors=True)
        return own


def short(error: BaseException) -> str:
    """The innermost cause of a network error, on one line, without addresses of objects."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    text = " ".join(str(error).split()) or type(error).__name__
    return text.rpartition(">: ")[2]


@contextlib.contextmanager
def show_progress(total: int) -> Iterator[Advance]:
    """A bar on a terminal, a line at each quarter on a pipe; both on standard error."""
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


def say(text: str) -> None:
    """Prints a line to standard error; standard output belongs to results."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
