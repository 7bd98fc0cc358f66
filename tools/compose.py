"""A stack of `docker-compose.yml` under a name and ports of its own, for tools/compose_smoke.py."""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

PATIENCE_S: Final = 120.0
INSTANCES: Final = 3


class CheckError(Exception):
    """A check failed; the text says what."""


def expect(condition: object, otherwise: str) -> None:
    """Go on only if it holds.

    Raises:
        CheckError: it does not.
    """
    if not condition:
        raise CheckError(otherwise)


def eventually(what: Callable[[], Any], name: str, timeout_s: float = PATIENCE_S) -> Any:  # noqa: ANN401
    """Ask until the answer is true, and return it.

    Raises:
        CheckError: it never was.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        if answer := what():
            return answer
        expect(time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {name}")
        time.sleep(0.5)


def get(url: str) -> tuple[int, str]:
    """Status and text of a page; status 0 where no program answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own addresses
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


class Stack:
    """One project of Docker Compose.

    Args:
        folder: a checkout.
        project: its name; containers, networks and volumes are found by it.
    """

    def __init__(self, folder: Path, project: str) -> None:
        self.folder = folder
        self.project = project
        self.image = f"{project}:smoke"
        service, kafka, prometheus, grafana = free_ports(4)
        self.front = f"http://127.0.0.1:{service}"
        self.prometheus = f"http://127.0.0.1:{prometheus}"
        self.grafana = f"http://127.0.0.1:{grafana}"
        self.environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": project,
            "COMPOSE_ANSI": "never",
            "TXWATCH_IMAGE": self.image,
            "KAFKA_PORT": str(kafka),
            "PROMETHEUS_PORT": str(prometheus),
            "GRAFANA_PORT": str(grafana),
            "SERVICE_PORT": str(service),
        }

    def docker(self, *arguments: str, timeout_s: float = 600, **environment: str) -> str:
        """Run `docker`; returns what it printed to standard output.

        Raises:
            CheckError: it failed, or took too long.
        """
        command = ["docker", *arguments]
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env=self.environment | environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CheckError(f"{' '.join(command)}: nothing after {timeout_s:.0f} s") from None
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines()
            raise CheckError(f"{' '.join(command)}: exit {done.returncode}: {' / '.join(lines[-5:])}")
        self.said = done.stderr
        return done.stdout

    def compose(self, *arguments: str, timeout_s: float = 600, **environment: str) -> str:
        """Run `docker compose`, likewise."""
        return self.docker("compose", *arguments, timeout_s=timeout_s, **environment)

    def inspect(self, *, everything: bool = False) -> list[dict[str, Any]]:
        """What Docker knows of the project's containers but those of `run`; the ended ones, too, if asked for."""
        chosen = ["--filter", f"label=com.docker.compose.project={self.project}"]
        chosen += ["--filter", "label=com.docker.compose.oneoff=False"]  # a container of `run --rm` may be gone next
        ids = self.docker("ps", "--quiet", *(["--all"] if everything else []), *chosen).split()
        return list(json.loads(self.docker("inspect", *ids))) if ids else []

    def instances(self) -> dict[str, dict[str, Any]]:
        """Each running container of the service by its id, with what its /status says ({} where it does not)."""
        found = {}
        for container in self.inspect():
            if container["Config"]["Labels"]["com.docker.compose.service"] == "service":
                (published,) = container["NetworkSettings"]["Ports"]["8000/tcp"]
                expect(published["HostIp"] == "127.0.0.1", f"published on {published['HostIp']}")
                status, text = get(f"http://127.0.0.1:{published['HostPort']}/status")
                found[container["Id"]] = json.loads(text) if status == 200 else {}  # noqa: PLR2004
        return found

    def shared(self) -> list[int] | None:
        """How many partitions each of the instances has, once each of INSTANCES has some."""
        counts = sorted(len(status.get("partitions", [])) for status in self.instances().values())
        return counts if len(counts) == INSTANCES and sum(counts) == INSTANCES + 1 and counts[0] else None

    def query(self, expression: str) -> list[Any]:
        """What Prometheus answers now."""
        status, text = get(f"{self.prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        return list(json.loads(text)["data"]["result"]) if status == 200 else []  # noqa: PLR2004

    def value(self, expression: str) -> float | None:
        """The only value of an answer; None where there is none."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if len(found) == 1 else None

    def records_read(self) -> float:
        """By all instances that are running now, repeats included."""
        return self.value('sum(txwatch_records_total and on (instance) up{job="txwatch"} == 1)') or 0

    def alerts(self, *options: str) -> list[str]:
        """The lines of `docker compose run --rm alerts …`, all that there are unless the options say otherwise."""
        return self.compose(
            "run", "--rm", "-T", "alerts", *(options or ("--format", "text")), timeout_s=180
        ).splitlines()

    def empty(self) -> None:
        """End all that is running, and forget what Kafka has."""
        self.compose("--profile", "live", "down", "--volumes", "--remove-orphans", "--timeout", "10")

    def remove(self) -> None:
        """Leave nothing behind, also after an error."""
        self.empty()
        subprocess.run(["docker", "image", "rm", self.image], capture_output=True, check=False)  # noqa: S607


def free_ports(count: int) -> list[int]:
    """So many ports on which no program listens."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
