"""Turns the messages of one consume() into the loop's events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import cast

from confluent_kafka import KafkaError, Message

from service.core.model import Partition
from service.loop.events import Event, Records
from service.wire.records import InRecord

_partition_of = Message.partition
_error_of = Message.error


def events_of(messages: list[Message], error_event: Callable[[Message, KafkaError], Event]) -> Iterator[Event]:
    """Records by partition, in their order; ``error_event`` makes the event of a message that is an error."""
    if any(map(_error_of, messages)):
        yield from _with_errors(messages, error_event)
    else:
        yield from _records(messages)


def _records(messages: list[Message]) -> Iterator[Records]:
    # Nearly every batch is of one partition. To collect partitions in a set is cheaper than to group by them.
    partitions = set(map(_partition_of, messages))
    if len(partitions) == 1:
        yield Records(Partition(partitions.pop() or 0), cast("list[InRecord]", messages))
        return
    for partition, run in groupby(messages, _partition_of):
        yield Records(Partition(partition or 0), cast("list[InRecord]", list(run)))


def _with_errors(messages: list[Message], error_event: Callable[[Message, KafkaError], Event]) -> Iterator[Event]:
    good: list[Message] = []
    for message in messages:
        error = message.error()
        if error is None:
            good.append(message)
            continue
        if good:
            yield from _records(good)
            good = []
        yield error_event(message, error)
    if good:
        yield from _records(good)
