"""Histories of the command `rekey`, and their oracle: what is in the other topic follows from the input alone.

The load is keyed by shops, so the records of an id are in several partitions. It has headers and timestamps of its own.
"""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from confluent_kafka import Message

from brokerkit.client import HasBootstrapServers, committed, create_topics, read_all
from brokerkit.service_process import wait_until
from histories.kinds import KINDS
from histories.load import BAD, Load
from histories.oracle import Account, Place, headers_of
from histories.world import World
from service.core.partitioner import partition_of

SHOPS: Final = 17
HOUR_S: Final = 3_600
"""How old the records are by their timestamps, so that a time of writing is a fault that shows."""
COORDINATES: Final = ("txwatch.source.topic", "txwatch.source.partition", "txwatch.source.offset")
REKEY_KINDS: Final = tuple(kind for kind in KINDS if kind not in {"expired", "partitions_added"})
"""The two others look at the group or the aggregates of the service."""


class ShopLoad(Load):
    """The same records, keyed otherwise. Headers may have no value, and the same name twice."""

    def _send(self, key: str, value: str | bytes) -> None:
        dice = self._dice
        headers: list[tuple[str, bytes | None]] = [("id", key.encode()), ("empty", None), ("id", b"\xff")]
        self._produce(
            value,
            f"shop{dice.randrange(SHOPS)}",
            headers=headers[: dice.randrange(4)],
            timestamp=int((time.time() - HOUR_S) * 1000),
        )


class RekeyWorld(World):
    """A world whose processes are `rekey`."""

    load_class: ClassVar[type[Load]] = ShopLoad
    plays: ClassVar[str] = "rekey"
    again: ClassVar[str] = " --rekey"

    def __post_init__(self) -> None:
        """Create the topics; nothing runs yet."""
        self.detectors = ()
        super().__post_init__()
        create_topics(self.broker, self.target, partitions=self.partitions)

    @property
    def target(self) -> str:
        """The topic that is written to."""
        return f"{self.names.transactions}.by-id"

    def arguments(self) -> Sequence[str]:
        """Of the command."""
        return ("rekey", "--to", self.target)

    def topics(self) -> list[str]:
        """What is saved of the broker."""
        return [self.names.transactions, self.target, self.names.dead_letter]

    def _account(self) -> Account:
        group, source = f"{self.names.group}-rekey", self.names.transactions
        ends = self.load.next_offsets()

        def all_committed() -> bool:
            done = {p.partition: p.offset for p in committed(self.broker, group, source)}
            return all(done.get(partition, 0) >= end for partition, end in ends.items())

        wait_until(all_committed, 90, every_s=0.3, name="everything committed")
        account = audit_rekeyed(self.broker, source, self.target, self.names.dead_letter)
        if account.records != len(self.load.inputs):
            account.faults.append(f"{account.records} records in the input where {len(self.load.inputs)} were written")
        return account

    def _wrong_starts(self) -> list[str]:
        """There is no watermark that could be wrong."""
        return []


def audit_rekeyed(broker: HasBootstrapServers, source: str, target: str, dead_letter: str) -> Account:
    """Check what must hold once all input has been read and committed.

    1. Each good record is exactly once in the target, each bad one exactly once in the dead-letter topic.
    2. There its key is the id, by which it has its partition; value, headers and timestamp are the input's. The last
       three headers say where it was.
    3. Between any two partitions, the records are in the order of the input.
    """
    inputs = {_place(message): message for message in read_all(broker, source)}
    account = Account(records=len(inputs))
    seen: Counter[Place] = Counter()
    written = read_all(broker, target)
    partitions = 1 + max((message.partition() or 0 for message in written), default=0)
    last: dict[tuple[int, int | None], int] = defaultdict(lambda: -1)
    for message in written:
        headers: list[tuple[str, bytes]] = list(message.headers() or [])  # type: ignore[arg-type]
        added = dict(headers[-3:])
        if [name for name, _ in headers[-3:]] != list(COORDINATES) or added[COORDINATES[0]].decode() != source:
            account.faults.append(f"headers {headers}")
            continue
        place = int(added[COORDINATES[1]]), int(added[COORDINATES[2]])
        seen[place] += 1
        if place not in inputs or inputs[place].value() in BAD:
            account.faults.append(f"{place} is no good record of the input")
            continue
        account.faults += _differences(inputs[place], message, headers[:-3], partitions)
        way = place[0], message.partition()
        if place[1] <= last[way]:
            account.faults.append(f"partition {way[1]}: {place} comes after offset {last[way]}")
        last[way] = place[1]
        account.aggregates.append({"place": place})  # so that the history shows something
    dead = Counter(_set_aside_from(message) for message in read_all(broker, dead_letter))
    good = {place for place, message in inputs.items() if message.value() not in BAD}
    for what, found, expected in (("good", seen, good), ("bad", dead, inputs.keys() - good)):
        if missing := expected - found.keys():
            account.faults.append(f"{len(missing)} {what} records are missing: {sorted(missing)[:5]}")
        if more := {place: count for place, count in found.items() if count > 1}:
            account.faults.append(f"{len(more)} {what} records are there more than once: {list(more.items())[:5]}")
    if strange := dead.keys() - (inputs.keys() - good):
        account.faults.append(f"{len(strange)} dead letters are no bad records: {sorted(strange)[:5]}")
    return account


def _differences(before: Message, after: Message, headers: list[Any], partitions: int) -> list[str]:
    key = json.loads(before.value() or b"")["transaction_id"].encode()
    pairs = {
        "key": (key, after.key()),
        "partition": (partition_of(key, partitions), after.partition()),
        "value": (before.value(), after.value()),
        "headers": (before.headers() or [], headers),
        "timestamp": (before.timestamp(), after.timestamp()),
    }
    return [f"{_place(before)}: {what} {found!r}, not {due!r}" for what, (due, found) in pairs.items() if due != found]


def _place(message: Message) -> Place:
    return message.partition() or 0, message.offset() or 0


def _set_aside_from(message: Message) -> Place:
    headers = headers_of(message)
    return int(headers["__connect.errors.partition"]), int(headers["__connect.errors.offset"])
