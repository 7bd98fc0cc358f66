"""Partitions that wait for the schema registry: they are paused, and what was fetched of them is kept."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from structlog.typing import FilteringBoundLogger

from service.core.model import Partition
from service.loop.events import PartitionEnd, Records
from service.loop.health import Health
from service.loop.ports import InputConsumer
from service.wire.decoder import SchemasPending


class HeldPartitions:
    """Keeps the events of a partition in their order from the first record that cannot be decoded yet.

    A paused partition is given no more records, so at most what one poll returned is kept.
    """

    def __init__(self, consumer: InputConsumer, health: Health, log: FilteringBoundLogger) -> None:
        """Nothing is held."""
        self._consumer: Final = consumer
        self._health: Final = health
        self._log = log
        self._events: dict[Partition, list[Records | PartitionEnd]] = {}
        self._paused: set[Partition] = set()

    def hold(self, event: Records, pending: SchemasPending) -> None:
        """Keep records that cannot be decoded yet."""
        self._events[event.partition] = [event]
        if pending.why is not None:
            if self._health.schemas is None:
                self._log.warning("schema_registry_awaited", partition=event.partition, error=pending.why)
            self._health.schemas = pending.why

    def behind(self, event: Records | PartitionEnd) -> bool:
        """Keep the event, too, where earlier ones of its partition are held; returns whether they are."""
        if not self._events or (held := self._events.get(event.partition)) is None:
            return False
        held.append(event)
        return True

    def take(self) -> list[Records | PartitionEnd]:
        """Give back every event that is held, to be handled again."""
        events = [event for held in self._events.values() for event in held]
        self._events = {}
        return events

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget what is held of these: they are revoked, or read again from the committed offsets."""
        for partition in partitions:
            self._events.pop(partition, None)

    def settle(self) -> None:
        """Pause the partitions that are held, and let the others go on."""
        if not self._events and not self._paused:
            return
        held = set(self._events)
        if new := held - self._paused:
            self._consumer.pause(new)
        if freed := self._paused - held:
            self._consumer.resume(freed)
        self._paused = held
        if not held and self._health.schemas is not None:
            self._health.schemas = None
            self._log.info("schema_registry_well_again")
