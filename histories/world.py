"""One history: a broker, services that come and go, a load that keeps running, and the oracle at its end."""

import json
import random
import shutil
import signal
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, Final

from confluent_kafka import Message

from brokerkit.broker import Broker
from brokerkit.client import HasBootstrapServers, committed, create_topics, read_all
from brokerkit.cluster import Cluster
from brokerkit.jars import KAFKA_VERSION, group_protocol
from brokerkit.proxy import Proxy
from brokerkit.service_process import ROOT, Names, ServiceProcess, payloads, running, wait_until
from histories.clock_oracle import Rules
from histories.detector_audit import FORGET_AFTER_MS, SEVERAL, Move, audit_detectors, states_of
from histories.detector_oracle import Rule
from histories.load import RATE, Load
from histories.oracle import Account, Marks, Place, audit, audit_clock, headers_of, read_so_far

SAVED: Final = ROOT / ".histories"
SESSION_S: Final = 2.0
LIMIT: Final = Decimal(8000)
"""The service's own, where no detectors are configured."""


def sessions(session_s: float) -> Mapping[str, str | int]:
    """Server properties of a broker that finds a dead member after ``session_s``, by the protocol of KIP-848."""
    return {
        "group.consumer.session.timeout.ms": int(session_s * 1000),
        "group.consumer.heartbeat.interval.ms": int(session_s * 150),
    }


def group_settings(kafka: str, session_s: float) -> dict[str, str]:
    """Settings of a service for a version of Kafka: by the classic protocol it is the client that sets the session."""
    if (protocol := group_protocol(kafka)) == "consumer":
        return {}
    properties = {
        "group.protocol": protocol,
        "session.timeout.ms": int(session_s * 1000),
        "heartbeat.interval.ms": int(session_s * 150),
    }
    return {"KAFKA_PROPERTIES": json.dumps(properties)}


QUICK: Final[Mapping[str, str | int]] = sessions(SESSION_S)
"""Short sessions, so that many faults fit into a minute."""


class HistoryError(AssertionError):
    """A history with faults; the text says where it was saved."""


@dataclass
class World:
    """What a history acts on. All that is random in it comes from `dice`.

    Args:
        broker: a broker or cluster of this history's own.
        kind: the history's name.
        seed: of everything random.
        cycles: how many faults.
        settings: the services' settings besides a test's usual ones.
        proxy: what lies between the services and the broker.
        partitions: of the input topic at first.
        transactional: the input is written in txns, and some of them are aborted.
        rules: of the window clocks that are to give the same windows whatever happens; None is ``processing``.
        kafka: the brokers' version.
        rate: of the load, in records per second.
        detectors: the configured ones; with none there is the one of DETECT_LIMIT.
    """

    broker: Broker | Cluster
    kind: str
    seed: int
    cycles: int
    settings: dict[str, str] = field(default_factory=dict)
    proxy: Proxy | None = None
    partitions: int = 4
    transactional: bool = False
    rules: Rules | None = None
    kafka: str = KAFKA_VERSION
    rate: int = RATE
    detectors: Sequence[Rule] = SEVERAL
    load_class: ClassVar[type[Load]] = Load
    plays: ClassVar[str] = "service"
    """What runs; a part of the topics' names, since histories of the same kind may share a broker."""
    again: ClassVar[str] = ""
    """An option of bench.histories that plays this kind of world."""

    def __post_init__(self) -> None:
        """Create the topics; nothing runs yet."""
        self.dice = random.Random(f"{self.kind} {self.seed}")  # noqa: S311 - no secret
        clock = self.rules.name if self.rules else "processing"
        what = "detectors" if self.detectors else "default"
        self.names = Names(lambda name: f"{self.plays}.{self.kind}.{clock}.{what}.{self.seed}.{name}")
        self.instances: dict[str, ServiceProcess] = {}
        self.ended: list[tuple[str, ServiceProcess]] = []
        self.timeline: list[str] = []
        self.recoveries: list[float] = []
        self.slowest_start_s = 0.0
        """From a process's start until it listens for HTTP: it waits for nothing but the machine."""
        self._started: list[tuple[ServiceProcess, float]] = []
        self.gone: set[Place] = set()
        self._began_s = time.time()
        self.settings = {
            "WINDOW_SIZE_MS": "500",
            "LATE_POLICY": self.dice.choice(("include", "divert")),
            **(self.rules.settings() if self.rules else {}),
            **(_settings_of(self.detectors) if self.detectors else {}),
        } | self.settings
        config = self.rules.topic_config() if self.rules else {}
        create_topics(self.broker, self.names.transactions, partitions=self.partitions, config=config)
        self.load = self.load_class(
            self.broker,
            self.names.transactions,
            f"{self.kind} {self.seed} load",
            rate=self.rate,
            transactional=self.transactional,
        )

    def arguments(self) -> Sequence[str]:
        """Of the command that is started; none for the service."""
        return ()

    def note(self, what: str) -> None:
        """Write down what happens, with the second at which it does."""
        self.timeline.append(f"{time.time() - self._began_s:8.3f} {what}")

    def pause(self, at_most_s: float) -> None:
        """Let a random while pass."""
        time.sleep(self.dice.random() * at_most_s)

    # ---- services -------------------------------------------------------------------------------------------

    def start(self, name: str = "one", module: str = "service", **settings: str) -> ServiceProcess:
        """Start an instance of this name; an earlier one of the same name is remembered with its log."""
        self._bury(name)
        own = {**self.settings, "KAFKA_INSTANCE_ID": name, "COVERAGE_PROCESS_CONFIG": "", **settings}
        servers = f"127.0.0.1:{self.proxy.port}" if self.proxy else self.broker
        service = ServiceProcess(servers, self.names, own, module=module, arguments=self.arguments())
        self.instances[name] = service
        self._started.append((service, time.time()))
        self.note(f"start {name} (pid {service.process.pid})")
        return service

    def kill(self, name: str = "one") -> None:
        """SIGKILL."""
        self.note(f"SIGKILL {name}")
        self.instances[name].kill()

    def stop(self, name: str = "one") -> None:
        """SIGTERM. It must end with 0, or by the signal itself while the interpreter starts.

        Where another process of the same name runs, that one may have fenced it first.
        """
        self.note(f"SIGTERM {name}")
        service = self.instances[name]
        rivals = [one for other, one in self.ended if other == name and one.process.poll() is None]
        code = service.stop()
        if code != 0 and (code != -signal.SIGTERM or service.log) and not (rivals and fenced(service)):
            raise AssertionError(f"{name} ended with {code} at SIGTERM: {service.log[-3:]}")

    def everyone(self) -> list[tuple[str, ServiceProcess]]:
        """Every process of this history, the earlier ones first."""
        return [*self.ended, *self.instances.items()]

    def _bury(self, name: str) -> None:
        if name in self.instances:
            self.ended.append((name, self.instances.pop(name)))

    def alive(self) -> list[ServiceProcess]:
        """The processes that run."""
        return [service for service in self.instances.values() if service.process.poll() is None]

    def recovered(self, since_s: float, what: str, *, counts: bool = True, timeout_s: float = 90.0) -> None:
        """Wait for the first commit after `since_s` (epoch seconds) by anyone; where it `counts`, as a recovery."""

        def committed_at() -> float | None:
            for service in self.instances.values():
                at_s = [_epoch_s(entry) for entry in service.events("checkpoint")]
                later = [s for s in at_s if s >= since_s]
                if later:
                    return min(later)
            return None

        took_s: float = wait_until(committed_at, timeout_s, name=f"a commit after {what}") - since_s
        if counts:
            self.recoveries.append(took_s)
        self.note(f"first commit {took_s:.3f} s after {what}")

    # ---- the end --------------------------------------------------------------------------------------------

    def settle(self) -> Account:
        """Write no more, wait until a service has committed everything, and let the oracle judge it.

        Raises:
            HistoryError: the history has faults; the text says where it was saved and how to play it again.
        """
        self.load.stop()
        self.slowest_start_s = max(
            _epoch_s(one) - at_s for service, at_s in self._started for one in service.events("http_listening")
        )
        self._complete_books()
        if not self.alive():
            self.start("last")
        try:
            account = self._account()
        except TimeoutError as error:
            raise HistoryError(self.save([str(error)])) from None
        faults = account.faults + self._wrong_starts() + self._wrong_ends()
        if not account.aggregates:
            faults.append("nothing was counted: the history shows nothing")
        if faults:
            raise HistoryError(self.save(faults))
        return account

    def _complete_books(self) -> None:
        """Enter the records whose offset the load's client does not know. Each of them counts.

        Seen when a leader died. The client sent a batch again that the broker had, and the answer was without an
        offset; or the client began new sequence numbers, and the topic had the batch twice.
        """
        unplaced = Counter(self.load.unplaced)
        for message in read_all(self.broker, self.names.transactions):
            partition, offset = message.partition(), message.offset()
            if partition is not None and offset is not None and (partition, offset) not in self.load.inputs:
                self.load.inputs[partition, offset] = record = message.key(), message.value()
                unplaced[record] -= 1
        if missing := +unplaced:
            raise AssertionError(f"the load itself lost records: {missing.total()} are said to be there, and are not")

    def _account(self) -> Account:
        if self.rules is not None:
            return self._account_by_clock(self.rules)
        self._wait_for_commit(self.names, 90)
        limit = None if self.detectors else LIMIT
        account = audit(self.broker, self.names, limit, inputs=self.load.inputs, gone=self.gone)
        self._audit_detectors(account)
        rejected = sum(account.reasons.values()) - account.late
        if rejected != len(self.load.bad_places() - self.gone):
            account.faults.append(f"{rejected} records rejected where {len(self.load.bad_places())} were bad")
        return account

    def _account_by_clock(self, rules: Rules) -> Account:
        """The oracle's, and a comparison with an undisturbed service on the same input: both to the last bit."""
        self._wait_for_commit(self.names, 90)
        account = audit_clock(self.broker, self.names, rules, None if self.detectors else LIMIT)
        self._audit_detectors(account)
        if account.records != len(self.load.inputs):
            account.faults.append(f"{account.records} records in the input where {len(self.load.inputs)} were written")
        self._compare_with_a_calm_service(account)
        return account

    def _compare_with_a_calm_service(self, account: Account) -> None:
        calm = Names(lambda name: f"{self.names.group}.calm.{name}")
        calm.transactions = self.names.transactions
        with running(self.broker, calm, self.settings):
            self._wait_for_commit(calm, 90)
        for topic in ("aggregates", "alerts", *(["shadow"] if self.detectors else [])):
            mine, undisturbed = (_lasting(self.broker, getattr(each, topic)) for each in (self.names, calm))
            if mine != undisturbed:
                account.faults.append(f"{topic} are not those of an undisturbed service")
        if self.detectors and states_of(self.broker, self.names.state) != states_of(self.broker, calm.state):
            account.faults.append("states are not those of an undisturbed service, bit for bit")

    def _audit_detectors(self, account: Account) -> None:
        if self.detectors:
            wait_until(self._removals_are_committed, 60, name="the removed states are gone from the topic")
            account.faults += self._detector_faults(account)

    def _detector_faults(self, account: Account) -> list[str]:
        return audit_detectors(self.broker, self.names, account.windows, self.detectors, self._moves())

    def _removals_are_committed(self) -> bool:
        """Whether each service has committed after it last dropped states: the next txn removes them from the topic."""
        for service in self.alive():
            events = [one["event"] for one in service.log if one["event"] in {"states_removed", "checkpoint"}]
            if events[-1:] == ["states_removed"]:
                return False
        return True

    def _moves(self) -> list[Move]:
        """When services dropped the states of keys that go to other partitions now, by their logs.

        What a service read back counts from its next commit on: without one, the states are read back once more.
        """
        moves, before, pending = [], dict[int, int](), dict[int, tuple[float, int]]()
        for _, service in self.everyone():
            pending.clear()
            for entry in service.log:
                if entry["event"] == "states_restored":
                    pending[entry["partition"]] = _epoch_s(entry), entry["input_partitions"]
                elif entry["event"] == "checkpoint":
                    for partition, (at_s, count) in pending.items():
                        if before.setdefault(partition, count) != count:
                            moves.append(Move(partition, at_s * 1000, before[partition], count))
                        before[partition] = count
                    pending.clear()
        return moves

    def _wait_for_commit(self, names: Names, timeout_s: float) -> None:
        """Wait until all that was written is accounted for; by event time, the last windows stay open."""
        ends = self.load.next_offsets()

        def all_committed() -> bool:
            if self.rules is not None and self.rules.clock == "event":
                done = read_so_far(self.broker, names)
            else:
                done = {p.partition: p.offset for p in committed(self.broker, names.group, names.transactions)}
            return all(done.get(partition, 0) >= end for partition, end in ends.items())

        wait_until(all_committed, timeout_s, every_s=0.3, name="everything committed")

    def unread(self) -> set[Place]:
        """Records that have expired and are in no output, although the committed offset is beyond them."""
        inputs = self.load.inputs.copy()  # first of all: the load goes on, and what it adds from now on is not gone
        seen = {_source_of(m) for t in (self.names.dead_letter, self.names.late) for m in read_all(self.broker, t)}
        ranges: dict[tuple[int, str], list[tuple[int, int]]] = defaultdict(list)
        for one in payloads(self.broker, self.names.aggregates):
            source = one["source"]
            key = (source["partition"], one["transaction_id"])
            ranges[key].append((source["first_offset"], source["last_offset"]))
        left = {(m.partition(), m.offset()) for m in read_all(self.broker, self.names.transactions)}
        gone = inputs.keys() - left - seen
        return {
            (partition, offset)
            for partition, offset in gone
            if not any(low <= offset <= high for low, high in ranges[partition, _key_of(inputs[partition, offset][0])])
        }

    def _wrong_starts(self) -> list[str]:
        """Each partition must have started with the watermark of the offset where it started."""
        marks = Marks(self.load.inputs, self.load.bad_places() | self.gone, 1_000)
        wrong = []
        for name, service in self.everyone():
            for entry in service.events("partition_started"):
                partition, offset, found = entry["partition"], entry["read"], entry["watermark"]
                due = marks.before(partition, offset)
                if found != due:
                    wrong.append(f"{name} began {partition} at {offset} with watermark {found}, expected {due}")
        return wrong

    def _wrong_ends(self) -> list[str]:
        """A process may end by a signal, because it was fenced, or by the client's known abort, and in no other way."""
        wrong = []
        for name, service in self.everyone():
            code = service.process.poll()
            if code not in {None, 0, -signal.SIGKILL, -signal.SIGTERM} and not (fenced(service) or aborted(service)):
                wrong.append(f"{name} (pid {service.process.pid}) ended with {code}: {service.log[-3:]}")
        return wrong

    def save(self, faults: list[str]) -> str:
        """Keep everything about this history in a folder; returns what to say of it."""
        folder = SAVED / self.names.group.rpartition(".")[0]
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        again = f"python -m bench.histories --kind {self.kind} --seed {self.seed} --cycles {self.cycles}"
        again += f" --clock {self.rules.name}" if self.rules else ""
        again += "" if self.detectors else " --without-detectors"
        again += self.again
        again += f" --kafka {self.kafka}" if self.kafka != KAFKA_VERSION else ""
        about = {"faults": faults, "again": again, "settings": self.settings, "timeline": self.timeline}
        (folder / "history.json").write_text(json.dumps(about, indent=1))
        for number, (name, service) in enumerate(self.everyone()):
            lines = "".join(json.dumps(entry) + "\n" for entry in service.log)
            (folder / f"{number:03d}-{name}.log").write_text(lines)
        for topic in self.topics():
            _dump(self.broker, topic, folder)
        return f"{len(faults)} faults, the first: {faults[0]}; all of it is in {folder}; again with: {again}"

    def topics(self) -> list[str]:
        """What is saved of the broker."""
        names = self.names
        topics = [names.transactions, names.aggregates, names.alerts, names.late, names.dead_letter]
        return topics + ([names.state, names.shadow] if self.detectors else [])

    def close(self) -> None:
        """End every process."""
        for _, service in self.everyone():
            if service.process.poll() is None:
                service.kill()
            service.close_log()


def _settings_of(detectors: Sequence[Rule]) -> dict[str, str]:
    return {"DETECTORS": json.dumps(detectors), "DETECT_FORGET_AFTER_MS": str(FORGET_AFTER_MS)}


def _dump(broker: HasBootstrapServers, topic: str, folder: Path) -> None:
    with (folder / f"{topic.rpartition('.')[2]}.jsonl").open("w") as file:
        for message in read_all(broker, topic):
            value, key = message.value(), message.key()
            line: dict[str, Any] = {
                "partition": message.partition(),
                "offset": message.offset(),
                "key": key.decode(errors="replace") if isinstance(key, bytes) else key,
                "value": value.decode(errors="backslashreplace") if isinstance(value, bytes) else value,
            }
            file.write(json.dumps(line) + "\n")


def _lasting(broker: HasBootstrapServers, topic: str) -> list[str]:
    """What a topic holds, in an order of its own, without the one field that may differ."""
    found = [{k: v for k, v in one.items() if k != "detected_at"} for one in payloads(broker, topic)]
    return sorted(json.dumps(one, sort_keys=True, default=str) for one in found)


def _source_of(message: Message) -> Place:
    headers = headers_of(message)
    return int(headers["__connect.errors.partition"]), int(headers["__connect.errors.offset"])


def _key_of(key: bytes | None) -> str:
    return (key or b"").decode()


def _epoch_s(entry: dict[str, Any]) -> float:
    return datetime.fromisoformat(entry["timestamp"]).timestamp()


def fenced(service: ServiceProcess) -> bool:
    """Whether an ended service says that another of its name has fenced it."""
    said = service.events("fatal")
    return service.process.returncode == 1 and bool(said) and "fenced" in said[0]["error"].lower()


def aborted(service: ServiceProcess) -> bool:
    """Whether librdkafka has aborted an ended service by the one fault that we cannot avoid: it counts as a kill.

    docs/decisions/client.md, "A short-lived admin client asks the group's coordinator".
    """
    lines = [entry["line"] for entry in service.events("raw")]
    return service.process.returncode == -signal.SIGABRT and any("eonce->refcnt > 0" in line for line in lines)


@contextmanager
def history(world: World) -> Iterator[World]:
    """The load runs within the block, and every process is gone after it.

    An error inside is a fault of the history, which is saved.
    """
    world.load.start()
    try:
        yield world
        world.settle()
    except HistoryError:
        raise
    except Exception as error:  # any error of the driver: save the history that led to it, then fail
        raise HistoryError(world.save([f"{type(error).__name__}: {error}"])) from error
    finally:
        if not world.load.stopped:
            world.load.stop(10)
        world.close()


def spread(seconds: list[float]) -> str:
    """Median and greatest, for people."""
    if not seconds:
        return "-"
    return f"median {statistics.median(seconds):.2f} s, max {max(seconds):.2f} s of {len(seconds)}"
