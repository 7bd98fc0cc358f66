"""The detectors in force, and what follows from them. The loop's thread replaces them; other threads read them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from structlog.typing import FilteringBoundLogger

from service.app.detectors import configured, detail_for, keeps_state, rules_hash
from service.app.from_settings import about, judging, task_rules
from service.core.detectors import ConfiguredDetector
from service.core.memory.alerts import Place
from service.core.memory.partition import Memory
from service.core.model import Partition
from service.loop.change import Change
from service.loop.output_topics import OutputTopics
from service.observe.live import Live
from service.observe.metrics import Metrics
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Detecting:
    """The detectors of some settings, constructed: a model is loaded."""

    settings: Settings
    detectors: tuple[ConfiguredDetector, ...]
    rules: str | None
    """Their hash; None for the default detector."""

    @classmethod
    def by(cls, settings: Settings) -> Detecting:
        """Construct them.

        Raises:
            SettingsError: a detector cannot be used; the text names it.
        """
        before, detectors = rules_hash(settings), configured(settings)
        while (rules := rules_hash(settings)) != before:  # a model was replaced while it was loaded
            before, detectors = rules, configured(settings)
        return cls(settings, detectors, rules)

    @property
    def shadows(self) -> dict[str, bool]:
        """Their names, each with whether it is a shadow detector."""
        return {one.name: one.shadow for one in self.detectors}

    def judge_like(self, settings: Settings) -> bool:
        """Whether the detectors of these settings would find the same. A model's file counts as it is now.

        Raises:
            SettingsError: a model's file cannot be read.
        """
        limits = self.settings.detect.limit, settings.detect.limit
        return self.rules == rules_hash(settings) and (self.rules is not None or limits[0] == limits[1])


class InForce:
    """What one run of the service judges by, and writes to."""

    detecting: Detecting
    topics: OutputTopics

    def __init__(self, detecting: Detecting) -> None:
        """Begin with these; write_to() says where they write."""
        self.detecting = detecting
        self._state = ""
        """The state topic once any detectors needed it: later ones must remove what is left there."""

    def write_to(self, topics: OutputTopics) -> None:
        """Begin to write to these topics."""
        self.topics, self._state = topics, topics.state

    def make_memory(self, partition: Partition, partitions: int | None = None) -> Memory:
        """An empty Memory of a partition; ``partitions`` is how many the input has."""
        now = self.detecting  # a look-up's thread calls this, too
        settings = now.settings
        return Memory(
            now.detectors,
            Place(settings.topics.transactions, partition),
            forget_after_ms=settings.detect.forget_after_ms,
            # Where only old states are left, the next commit says that there are none.
            partitions=partitions if keeps_state(now.detectors) else None,
            rules=now.rules,
        )

    def change(
        self, new: Detecting, topics: OutputTopics, metrics: Metrics, live: Live | None, log: FilteringBoundLogger
    ) -> Change:
        """The change to these detectors and topics, which shows them in the metrics and on the page as well."""
        topics = replace(topics, state=topics.state or self._state)
        self._state = topics.state
        rules = task_rules(new.settings, detail_for(new.detectors))
        return Change(rules, topics, partial(self._put, new, topics, metrics, live, log))

    def _put(
        self, new: Detecting, topics: OutputTopics, metrics: Metrics, live: Live | None, log: FilteringBoundLogger
    ) -> None:
        before, self.detecting, self.topics = self.detecting, new, topics
        metrics.add_detectors(new.shadows)
        if live is not None:
            live.about = about(new.settings, new.detectors, "")
        log.info("detectors_changed", **judging(new.settings, ""), rules=new.rules, rules_before=before.rules)
