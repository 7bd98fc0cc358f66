"""The loop driven by hand, between a Kafka of plain lists and a clock that moves only when the test moves it.

FakeKafka keeps what a broker keeps: the input's records, committed offsets with their watermarks, and committed
output. A commit moves all of it at once and an abort nothing, which is all that the loop relies on; whether the
real one does so is for the tests on a real broker.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from service.core.detectors import DAY_MS, ConfiguredDetector
from service.core.memory.alerts import Place
from service.core.memory.partition import Memory, keeps_state
from service.core.model import EventTimeMs, Offset, Partition, Progress, WallTimeMs
from service.loop.change import Change
from service.loop.errors import KafkaProblem, Replaced, Retriable
from service.loop.events import Assigned, DeadOwnersFenced, Event, PartitionEnd, Records, Revoked
from service.loop.intake import Intake
from service.loop.memories import Memories
from service.loop.output_topics import OutputTopics
from service.loop.ports import Ends, InputConsumer, InputStatus, Probe, RestoredMemory, StartPoint
from service.loop.rekey import RekeyIntake
from service.loop.worker import Worker
from service.observe.live import Live
from service.observe.metrics import Metrics
from service.observe.status import PartitionStatus, StatusBoard
from service.wire.decoder import Decoder
from service.wire.progress import decode_progress, encode_progress
from service.wire.records import Headers, OutRecord
from service.wire.states import owner_of
from service.wire.transactions import JsonDecoder
from tests.driver import LIMIT, PLACE, T0, rules

TOPIC: Final = "transactions"


def pay(at_ms: int, amount: float | str = 1.0, key: str = "tx1") -> bytes:
    """A transaction's bytes; its event time is ``at_ms`` after T0."""
    return json.dumps({"transaction_id": key, "timestamp": T0 + at_ms, "amount": amount}).encode()


@dataclass(frozen=True, slots=True)
class Message:
    """What the service asks of the client's messages."""

    at: int
    held: bytes | None
    name: bytes | None = None
    more: Headers | None = None
    created_ms: int = -1
    appended_ms: int = -1

    def offset(self) -> Offset:
        return Offset(self.at)

    def value(self) -> bytes | None:
        return self.held

    def key(self) -> bytes | None:
        return self.name

    def headers(self) -> Headers | None:
        return self.more

    def timestamp(self) -> tuple[int, int]:
        if self.appended_ms >= 0:
            return 2, self.appended_ms
        return (0 if self.created_ms < 0 else 1), self.created_ms


@dataclass(slots=True)
class FakeKafka:
    """What outlives the service."""

    records: dict[int, list[Message]] = field(default_factory=lambda: defaultdict(list))
    ends: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    committed: dict[int, tuple[int, EventTimeMs | None]] = field(default_factory=dict)
    metadata: dict[int, str] = field(default_factory=dict)
    commits: list[dict[int, int]] = field(default_factory=list)
    out: list[OutRecord] = field(default_factory=list)
    initialised: int = 0
    open_txns: dict[int, int] = field(default_factory=dict)
    """By partition, the offset of the first record of another producer's open txn."""

    def stable(self, partition: int) -> int:
        """The last stable offset."""
        return self.open_txns.get(partition, self.ends[partition])

    def put(self, partition: int, *values: bytes | None, **more: Any) -> None:  # noqa: ANN401
        """Append records."""
        for value in values:
            self.records[partition].append(Message(self.ends[partition], value, **more))
            self.ends[partition] += 1

    def put_marker(self, partition: int) -> None:
        """Append what takes up an offset and is no record."""
        self.ends[partition] += 1


class FakeInputConsumer:
    """One member's consumer: records appear when they are polled for, each partition in its order."""

    topic = TOPIC
    partition_count: int | None = None

    def __init__(self, kafka: FakeKafka, clock: Clock) -> None:
        self.kafka = kafka
        self._clock = clock
        self.joined = False
        self.known_to_the_group = False
        self.news: list[Event] = []
        self.paused: set[Partition] = set()
        self.stale: list[Event] = []
        """Handed out after the news, as what was fetched before a rewind may be."""
        self.waits: list[float] = []
        self.problems: dict[str, deque[KafkaProblem]] = defaultdict(deque)
        self.skipped = 0
        self.throttled = False
        self.restore_takes_ms = 0
        self.asked_for_dead_owners: list[tuple[Partition, ...]] = []
        self.dead: list[str] = []
        """Instances that died and left a txn open: until that is ended, nothing starts."""
        self.batch = 500
        """How many records a partition brings at most in one poll."""
        self.slow: set[int] = set()
        """Partitions whose records are on their way and do not arrive."""
        self.read_back: list[Partition] = []
        """The partitions whose states were read back, in turn."""
        self.make_memory: Callable[[Partition], Memory] = lambda _: Memory(LIMIT, PLACE)
        self._positions: dict[int, int] = {}
        self._told_end: set[int] = set()
        self._due: set[Partition] = set()

    def give(self, *partitions: int) -> None:
        """The group hands over partitions."""
        given = tuple(map(Partition, partitions))
        self.joined = True
        self._due.update(given)
        self.news.append(Assigned(given))

    def take(self, *partitions: int, lost: bool = False) -> None:
        """The group takes partitions away."""
        taken = tuple(map(Partition, partitions))
        self._due.difference_update(taken)
        for partition in taken:
            self._positions.pop(partition, None)
        self.news.append(Revoked(taken, lost))

    def lose_track(self, partition: int) -> None:
        """The position of a partition has become useless: it waits for restore()."""
        self._due.add(Partition(partition))

    @property
    def restoring(self) -> frozenset[Partition]:
        return frozenset(self._due)

    def poll(self, max_records: int, timeout_s: float) -> list[Event]:
        self.waits.append(timeout_s)
        _raise(self.problems["poll"])
        events, self.news, self.stale = [*self.news, *self.stale], [], []
        for partition, position in self._positions.items():
            if partition in self.slow or partition in self.paused:
                continue
            end = self.kafka.stable(partition)
            there = [one for one in self.kafka.records[partition] if position <= one.offset() < end][
                : min(max_records, self.batch)
            ]
            if there:
                events.append(Records(Partition(partition), there))
                self._positions[partition] = there[-1].offset() + 1
                self._told_end.discard(partition)
            elif partition not in self._told_end or position < end:
                self._told_end.add(partition)
                self._positions[partition] = end
                events.append(PartitionEnd(Partition(partition), Offset(end)))
        return events

    def pause(self, partitions: Iterable[Partition]) -> None:
        self.paused |= set(partitions)

    def resume(self, partitions: Iterable[Partition]) -> None:
        self.paused -= set(partitions)

    def rewind(self, partitions: Iterable[Partition]) -> None:
        self._due.update(partitions)

    def restore(self, without_memory: Collection[Partition]) -> list[StartPoint]:
        if not self.problems["end_txns"]:
            self.asked_for_dead_owners.append(tuple(self._due))
            if self.dead:
                self.news.append(DeadOwnersFenced(tuple(self.dead)))
            self.dead = []
        else:
            self.problems["end_txns"].popleft()
        self._clock.now_ms = WallTimeMs(self._clock.now_ms + self.restore_takes_ms)
        _raise(self.problems["restore"])
        if self.dead:
            raise Retriable("no answer")
        starts = []
        for partition in sorted(self._due):
            offset, _ = self.kafka.committed.get(partition, (0, None))
            progress = decode_progress(Offset(offset), self.kafka.metadata.get(partition))
            restored = self._read_back(partition) if partition in without_memory else None
            progress = replace(progress, offset=Offset(offset + self.skipped))
            starts.append(StartPoint(partition, progress, self.skipped, restored=restored))
            self._positions[partition] = offset + self.skipped
            self._told_end.discard(partition)
            self.paused.discard(partition)
        self._due.clear()
        return starts

    def _read_back(self, partition: Partition) -> RestoredMemory:
        """Read the committed states of a partition back, as service.kafka.state_reader does."""
        self.read_back.append(partition)
        states: dict[str, dict[str, bytes]] = defaultdict(dict)
        records = [one for one in self.kafka.out if one.topic == "state" and one.partition == partition]
        for record in records:
            detector, key = owner_of(record.key or b"")
            if record.value is None:
                states[detector].pop(key, None)
            else:
                states[detector][key] = record.value
        memory = self.make_memory(partition)
        return RestoredMemory(memory, len(records), 0.0, memory.restore(states))

    def ask_membership(self) -> None:
        self.joined = self.joined or self.known_to_the_group

    def end_offset(self, partition: Partition) -> Offset | None:
        return Offset(self.kafka.ends[partition]) if partition in self._positions else None

    def checkpoint(self, progress: Iterable[tuple[Partition, Progress]]) -> tuple[list[Any], Any]:
        return list(progress), "the group as it is"


@dataclass(slots=True)
class FakeQuestion:
    """Asked off the loop. It is answered at once, unless ``held``."""

    ask_kafka: Callable[[Any], Any]
    problems: deque[KafkaProblem]
    held: bool = False
    asked: list[Any] = field(default_factory=list)
    _waiting: list[Any] = field(default_factory=list)

    @property
    def pending(self) -> bool:
        return bool(self._waiting)

    def ask(self, about: Any) -> None:  # noqa: ANN401
        if not self._waiting:
            self.asked.append(about)
            self._waiting.append(self.ask_kafka(about))

    def answer(self) -> Any:  # noqa: ANN401
        if self.held or not self._waiting:
            return None
        answer = self._waiting.pop()
        _raise(self.problems)
        return answer


class FakeOutputProducer:
    """One instance's transactional producer."""

    def __init__(self, kafka: FakeKafka, clock: Clock) -> None:
        self.kafka = kafka
        self.open = False
        self.ready = True
        self.commit_takes_ms = 0
        self.problems: dict[str, deque[KafkaProblem]] = defaultdict(deque)
        self.sent: list[OutRecord] = []
        """In the open txn."""
        self._clock = clock

    def initialise(self) -> None:
        self._raise(self.problems["initialise"])
        self.ready = True
        self.kafka.initialised += 1

    def send(self, records: Iterable[OutRecord]) -> None:
        self.open = True
        self._raise(self.problems["send"])
        self.sent += records

    def commit(self, offsets: list[Any], group_metadata: Any) -> None:  # noqa: ANN401
        assert group_metadata == "the group as it is"
        assert self.ready, "initialise() before commit()"
        self.open = True
        self._clock.now_ms = WallTimeMs(self._clock.now_ms + self.commit_takes_ms)
        self._raise(self.problems["commit"])
        self.kafka.out += self.sent
        self.kafka.committed.update({partition: (one.offset, one.watermark_ms) for partition, one in offsets})
        self.kafka.metadata.update({partition: encode_progress(one) for partition, one in offsets})
        assert all(len(text) <= 4_096 for text in self.kafka.metadata.values()), "a broker would refuse it"
        self.kafka.commits.append({partition: one.offset for partition, one in offsets})
        self.open, self.sent = False, []

    def abort(self) -> None:
        if self.open:
            self._raise(self.problems["abort"])
        self.open, self.sent = False, []

    def poll(self) -> None:
        self._raise(self.problems["poll"])

    def _raise(self, problems: deque[KafkaProblem]) -> None:
        if not problems:
            return
        problem = problems.popleft()
        if isinstance(problem, Replaced):  # a new producer exists, and has not fenced the old one yet
            self.open, self.ready, self.sent = False, False, []
        raise problem


def _raise(problems: deque[KafkaProblem]) -> None:
    if problems:
        raise problems.popleft()


class Clock:
    """The wall clock."""

    def __init__(self, now: int) -> None:
        self.now_ms = WallTimeMs(T0 + now)

    def __call__(self) -> WallTimeMs:
        return self.now_ms


class Loop:
    """A service's loop, with everything around it to be looked at. All times are milliseconds after T0."""

    def __init__(
        self,
        kafka: FakeKafka | None = None,
        *,
        now: int = 0,
        partitions: tuple[int, ...] = (0,),
        consumer: InputConsumer | None = None,
        status: InputStatus | None = None,
        late: str = "",
        aggregates: str = "aggregates",
        dead_letter_max_bytes: int = 2_097_152,
        detectors: tuple[ConfiguredDetector, ...] = LIMIT,
        forget_after_ms: int = 30 * DAY_MS,
        shadow: str = "shadow",
        decoder: Decoder | None = None,
        rekey_to: str = "",
        retention_ms: int = -1,
        line_every_ms: int = 0,
        live: Live | None = None,
        rules_hash: str | None = None,
        **changed: Any,  # noqa: ANN401
    ) -> None:
        """Start it, with these partitions running; ``changed`` are rules other than the default ones.

        With another ``consumer`` and its ``status`` nothing comes from the fake Kafka. With ``rekey_to`` it is the loop
        of `rekey`, whose target has this retention.
        """
        self.kafka = kafka or FakeKafka()
        self.clock = Clock(now)
        self.input = FakeInputConsumer(self.kafka, self.clock)
        self.output = FakeOutputProducer(self.kafka, self.clock)
        problems, ends, stable = self.input.problems, self.kafka.ends, self.kafka.stable
        self.end_offsets = FakeQuestion(lambda asked: {p: Offset(ends[p]) for p in asked}, problems["ends"])
        self.ends = FakeQuestion(
            lambda asked: {p: Ends(Offset(stable(p)), Offset(ends[p])) for p in asked}, problems["stable_ends"]
        )
        self.topic_ends = FakeQuestion(lambda asked: {p: Offset(ends[p]) for p in asked}, problems["topic_ends"])
        self.reach = FakeQuestion(lambda _: True, problems["reach"])
        self.registry = CollectorRegistry()
        self.board = StatusBoard(lambda: self.clock.now_ms / 1000)
        logs = structlog.testing.LogCapture()
        self.logged = logs.entries
        log: FilteringBoundLogger = structlog.wrap_logger(
            None, processors=[logs], wrapper_class=structlog.make_filtering_bound_logger("debug")
        )
        state = "state" if any(keeps_state(one) for one in detectors) else ""
        names = {one.name: one.shadow for one in detectors}
        self.detectors, self.rules_hash = detectors, rules_hash
        self.changes = deque[Change]()
        self._changed = changed

        def make_memory(partition: Partition) -> Memory:
            count = len(partitions) if any(keeps_state(one) for one in self.detectors) else None
            return Memory(
                self.detectors,
                Place(TOPIC, partition),
                forget_after_ms=forget_after_ms,
                partitions=count,
                rules=self.rules_hash,
            )

        self.input.make_memory = make_memory
        metrics = Metrics(self.registry, self.board, "1.2.3", "2.16", detectors=names)
        decoder = decoder or JsonDecoder()
        topics = OutputTopics(
            "alerts",
            aggregates,
            late,
            "dead",
            1_048_588,
            2_097_152,
            dead_letter_max_bytes,
            state,
            shadow,
            rekeyed=rekey_to,
        )
        intake = (
            RekeyIntake(TOPIC, topics, metrics, decoder, retention_ms=retention_ms, log=log)
            if rekey_to
            else Intake(TOPIC, topics, metrics, decoder)
        )
        self.worker = Worker(
            consumer or self.input,
            self.output,
            Probe(status or self.input, self.end_offsets, self.ends, self.topic_ends, self.reach),
            topics=topics,
            rules=rules(**changed),
            memories=Memories(make_memory, kept_in_topic=bool(state)),
            clock=self.clock,
            metrics=metrics,
            board=self.board,
            log=log,
            intake=intake,
            line_every_ms=line_every_ms,
            live=live,
            changes=self.changes,
        )
        self._topics = topics
        if partitions:
            self.input.give(*partitions)
            self.worker.turn()

    def change(self, rules_hash: str, *detectors: ConfiguredDetector, **changed: Any) -> None:  # noqa: ANN401
        """Let other detectors wait for a boundary; ``changed`` are rules that differ because of them."""
        state = "state" if any(keeps_state(one) for one in detectors) else self._topics.state
        self._topics = replace(self._topics, state=state)

        def put_in_force() -> None:
            self.detectors, self.rules_hash = detectors, rules_hash

        self.changes.append(Change(rules(**{**self._changed, **changed}), self._topics, put_in_force))

    def put(self, *values: bytes | None, partition: int = 0, **more: Any) -> None:  # noqa: ANN401
        """Append records to the input."""
        self.kafka.put(partition, *values, **more)

    def turn(self, *times: int) -> None:
        """Turn once at each of these times."""
        for now in times:
            self.clock.now_ms = WallTimeMs(T0 + now)
            self.worker.turn()

    def records(self, topic: str) -> list[OutRecord]:
        """What was committed to a topic."""
        return [record for record in self.kafka.out if record.topic == topic]

    def payloads(self, topic: str) -> list[dict[str, Any]]:
        """What was committed to a topic, read as JSON."""
        return [json.loads(record.value or b"") for record in self.records(topic)]

    def sums(self) -> list[tuple[int, str, float, int]]:
        """The committed aggregates: window's start after T0, key, sum, count."""
        return [
            (one["window"]["start"] - T0, one["transaction_id"], one["amount"], one["count"])
            for one in self.payloads("aggregates")
        ]

    def metric(self, name: str, **labels: str) -> float | None:
        """A sample's value, or None where there is none."""
        return self.registry.get_sample_value(f"txwatch_{name}", labels)

    def of_partition(self, name: str, partition: int = 0) -> float | None:
        """A sample of one partition."""
        return self.metric(name, topic=TOPIC, partition=str(partition))

    def events(self, name: str) -> list[dict[str, Any]]:
        """The logged lines of this name."""
        return [dict(entry) for entry in self.logged if entry["event"] == name]

    def why_not_ready(self) -> str | None:
        """The reason that was posted last."""
        return self.board.status.not_ready

    def partitions(self) -> tuple[PartitionStatus, ...]:
        """The partitions as they were posted last."""
        return self.board.status.partitions

    def txn_open(self) -> bool:
        """Whether a txn is open."""
        return self.output.open
