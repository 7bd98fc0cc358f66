"""A change of the detectors while the service runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from service.core.rules import TaskRules
from service.loop.output_topics import OutputTopics


@dataclass(frozen=True, slots=True)
class Change:
    """Other detectors, constructed and checked, with their topics prepared.

    A missing ACL alone can still end the service, when it first writes to a new topic: Kafka checks WRITE only then.
    """

    rules: TaskRules
    """Those of each task: they differ from the present ones only in what aggregates hold."""
    topics: OutputTopics
    put_in_force: Callable[[], None]
    """Lets every Memory that is made from now on have these detectors. The loop calls it, once."""
