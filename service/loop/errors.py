"""Kafka's errors as the loop sees them, sorted by what the caller must do.

KafkaProblem
├── Retriable    the same call again
├── Abortable    abort the txn, rewind to the committed offsets, go on
│   └── Replaced     the same with a new producer: the old one hangs, or is out of step with the broker
└── Fatal        leave the group and exit; the supervisor starts a new process
    ├── Fenced           a newer instance has taken over this one's name
    └── Misconfigured    the settings and the cluster do not fit together
"""

from __future__ import annotations


class KafkaProblem(Exception):  # noqa: N818 - its children say what to do
    """Any of these errors; the text is one line."""


class Retriable(KafkaProblem):
    """The call changed nothing, or the same call again finds out what it changed."""


class Abortable(KafkaProblem):
    """The txn can only be aborted."""


class Replaced(Abortable):
    """A new producer has taken over; its initialise() aborts the txn, and must be the next call."""


class Fatal(KafkaProblem):
    """The client cannot be used any more."""

    def __init__(self, line: str, code: int | None = None) -> None:
        """``line`` says what is wrong; ``code`` is the error's number in Kafka or librdkafka."""
        super().__init__(line)
        self.code = code


class Fenced(Fatal):
    """A newer producer with the same transactional id has been initialised."""


class Misconfigured(Fatal):
    """The settings and the cluster do not fit together; the text names the setting."""
