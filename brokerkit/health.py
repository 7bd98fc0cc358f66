"""Whether clients can use a broker, and what its log says if they cannot."""

import contextlib
import logging
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from brokerkit.files import ADDRESS, Node

_PAUSE_S: Final = 0.02


def wait_until_ready(node: Node, nodes: int, check: Callable[[], None]) -> None:
    """Waits until clients find the node, and `nodes` brokers of its cluster in all.

    Args:
        node: the broker that is asked.
        nodes: how many brokers it must know, itself included.
        check: called at each attempt; it raises an error to end the wait.
    """
    while not _listens(node.port):
        check()
        time.sleep(_PAUSE_S)
    quiet = logging.getLogger("brokerkit.broker.client")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False
    settings: dict[str, str | int | float | bool] = {
        "bootstrap.servers": f"{ADDRESS}:{node.port}",
        "reconnect.backoff.max.ms": 100,
    }
    admin = AdminClient(settings, logger=quiet)
    while True:
        with contextlib.suppress(KafkaException):
            found = {each.id for each in admin.describe_cluster(request_timeout=2).result().nodes}
            if len(found) >= nodes and node.node_id in found:
                return
        check()
        time.sleep(_PAUSE_S)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex((ADDRESS, port)) == 0


def last_error(log_file: Path, since: int, kept: Path) -> str:
    """Returns the last error in a log, on one line, and the name of a copy of the log that stays after the run.

    Args:
        log_file: the broker's log.
        since: the byte where the log of its last start begins.
        kept: the name of the copy.
    """
    with contextlib.suppress(OSError):
        shutil.copyfile(log_file, kept)
    with log_file.open("rb") as log:
        log.seek(since)
        lines = log.read().decode(errors="replace").splitlines()
    marks = (" ERROR ", " FATAL ", "Exception: ", "Error: ", "Error occurred")
    errors = [line for line in lines if any(mark in line for mark in marks)]
    # Java prints the causes of an error below it. The last, innermost cause says most.
    causes = [line for line in lines if line.startswith("Caused by: ")]
    return f"{(causes or errors or ['its log has no error'])[-1].strip()} ({kept})"
