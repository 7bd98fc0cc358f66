"""Kafka's errors as the loop sees them, sorted by what the caller must do.

KafkaProblem
├── Retriable    the same call again
├── Abortable    abort the txn, rewind to the committed offsets, go on
│   └── Replaced     the same, with a new producer: the old one hangs, or is out of step with the broker
└── Fatal        leave the group and exit; the supervisor starts a new process
    ├── Fenced           a newer instance has taken over this one's name
    └── Misconfigured    the settings and the cluster do not fit together
"""

from __future__ import annotations


class KafkaProblem(Exception):  # noqa: N818 - its children say what to do
    """Any of them; the text is one line."""


class Retriable(KafkaProblem):
    """Nothing was changed, or the same call finds out what was."""


class Abortable(KafkaProblem):
    """This txn can only be aborted."""


class Replaced(Abortable):
    """The producer is of no more use; a new one stands in its place and aborts the txn first of all."""


class Fatal(KafkaProblem):
    """This client is of no more use."""

    def __init__(self, line: str, code: int | None = None) -> None:
        """Say what is wrong; ``code`` is Kafka's or librdkafka's number of it."""
        super().__init__(line)
        self.code = code


class Fenced(Fatal):
    """Another producer with the same transactional id has been initialised since."""


class Misconfigured(Fatal):
    """The settings and the cluster do not fit together; the text names the setting."""
