"""Asks how far a group is, again and again, for a test that cuts its connections: `python -m tests.exactly_once.asker`.

A process of its own, since what it is about is a client that may abort the process.
"""

import contextlib
import os
import sys
import time
from typing import Final

from confluent_kafka import Consumer

from service.app.clients import offsets_config
from service.core.model import Partition
from service.kafka.guards.dead_owners import LastCommits
from service.loop.errors import Retriable
from service.settings import load

FOR_S: Final = 8.0


def main() -> int:
    """Returns 0 if there was an answer at least once."""
    settings = load(None, {"KAFKA_BOOTSTRAP_SERVERS": os.environ["KAFKA_BOOTSTRAP_SERVERS"]}).settings
    last_commits = LastCommits(Consumer(offsets_config(settings, "read_uncommitted")))
    answers = 0
    until_s = time.monotonic() + FOR_S
    while time.monotonic() < until_s:
        with contextlib.suppress(Retriable):
            answers += last_commits.metadata("transactions", [Partition(0)]) == [""]
        time.sleep(0.05)
    return 0 if answers else 1


if __name__ == "__main__":
    sys.exit(main())
