"""Whatever goes wrong and whenever: in the end every record is committed in one window, or set aside, exactly once."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.core.model import LatePolicy
from service.loop.errors import Abortable, KafkaProblem, Retriable
from tests.loop import FakeKafka, Loop, pay

PARTITIONS = (0, 1, 2)
BAD = b"not json"


@dataclass(frozen=True, slots=True)
class Put:
    """Records arrive."""

    partition: int
    values: list[bytes]


@dataclass(frozen=True, slots=True)
class Turn:
    """The clock moves on, and the loop turns."""

    after_ms: int


@dataclass(frozen=True, slots=True)
class Fail:
    """The next call of this kind does not work."""

    call: Literal["send", "commit", "restore"]


@dataclass(frozen=True, slots=True)
class Take:
    """A partition goes, and may come back at once."""

    partition: int
    lost: bool
    back: bool


@dataclass(frozen=True, slots=True)
class Crash:
    """The process is gone with all it had not committed; another one takes over."""


Step = Put | Turn | Fail | Take | Crash

CENTS = st.integers(-10_000, 1_000_000)
AMOUNTS = CENTS.map(lambda cents: cents / 100)
VALUES = st.builds(pay, st.integers(0, 20_000), AMOUNTS, st.sampled_from(["a", "b", "\u00fc"])) | st.just(BAD)
PARTITION = st.sampled_from(PARTITIONS)
OTHER_STEPS: st.SearchStrategy[Step] = (
    st.builds(Put, PARTITION, st.lists(VALUES, min_size=1, max_size=5))
    | st.builds(Fail, st.sampled_from(["send", "commit", "restore"]))
    | st.builds(Take, PARTITION, st.booleans(), st.booleans())
    | st.builds(Crash)
)
FORWARD = [0, 1, 3_000, 9_999, 10_000, 25_000]
BACK = [-1, -5, -3_000, -10_000, -60_000]
ONE = [pay(0)]
STEPS = st.lists(OTHER_STEPS | st.builds(Turn, st.sampled_from(FORWARD)), max_size=25)
STEPS_WITH_A_BAD_CLOCK = st.lists(OTHER_STEPS | st.builds(Turn, st.sampled_from(FORWARD + BACK)), max_size=25)

PROBLEMS: dict[str, KafkaProblem] = {
    "send": Abortable("send: x"),
    "commit": Abortable("commit: x"),
    "restore": Retriable("restore: x"),
}


class Run:
    """A service, its successors after crashes, and the Kafka that outlives them."""

    def __init__(self, policy: LatePolicy) -> None:
        self.policy = policy
        self.now = self.latest = 0
        self.kafka = FakeKafka()
        self.loop = self._start()

    def _start(self) -> Loop:
        late = "late" if self.policy is LatePolicy.DIVERT else ""
        return Loop(
            self.kafka, now=self.now, partitions=PARTITIONS, late=late, late_policy=self.policy, max_future_ms=0
        )

    def do(self, step: Step) -> None:
        """One thing happens."""
        match step:
            case Put(partition, values):
                self.kafka.put(partition, *values)
            case Turn(after_ms):
                self.now += after_ms
                self.latest = max(self.latest, self.now)
                self.loop.turn(self.now)
            case Fail(call):
                problems = self.loop.input.problems if call == "restore" else self.loop.output.problems
                problems[call].append(PROBLEMS[call])
            case Take(partition, lost, back):
                self.loop.input.take(partition, lost=lost)
                if back:
                    self.loop.input.give(partition)
            case Crash():
                self.loop = self._start()

    def to_the_end(self, steps: list[Step]) -> Loop:
        """Everything happens; then nothing more goes wrong until all windows are closed."""
        for step in steps:
            self.do(step)
        self.do(Crash())
        for after_ms in (self.latest - self.now, 1, 10_000, 10_000):
            self.do(Turn(after_ms))
        return self.loop


def judged(values: list[bytes | None], policy: LatePolicy) -> tuple[list[int], list[int], list[int]]:
    """Offsets that are bad, late, and in a window, by a scan of one partition from its first record."""
    bad, late, held = [], [], []
    newest_ms = 0
    for offset, value in enumerate(values):
        if value == BAD:
            bad.append(offset)
            continue
        event_ms = json.loads(value or b"")["timestamp"]
        is_late = event_ms < newest_ms - 1_000
        newest_ms = max(newest_ms, event_ms)
        if is_late:
            late.append(offset)
        if not is_late or policy is LatePolicy.INCLUDE:
            held.append(offset)
    return bad, late, held


@settings(max_examples=100)
@given(STEPS, st.sampled_from(LatePolicy))
@example([Put(0, [BAD]), Put(1, [pay(0)]), Turn(1), Take(0, lost=False, back=True), Turn(10_000)], LatePolicy.INCLUDE)
@example([Put(0, [pay(0), BAD]), Turn(1), Fail("commit"), Turn(10_000), Crash()], LatePolicy.INCLUDE)
@example([Put(0, [pay(9_000)]), Turn(10_000), Turn(10_000), Crash(), Put(0, [pay(0)])], LatePolicy.DIVERT)
def test_every_record_is_committed_exactly_once(steps: list[Step], policy: LatePolicy) -> None:
    check_every_record(steps, policy)


@settings(max_examples=60)
@given(STEPS_WITH_A_BAD_CLOCK, st.sampled_from(LatePolicy))
@example([Put(0, ONE), Turn(1), Turn(9_999), Put(0, ONE), Turn(-10), Turn(10), Crash()], LatePolicy.INCLUDE)
@example([Put(0, ONE), Turn(10_001), Put(1, ONE), Turn(-2), Put(1, ONE), Turn(3)], LatePolicy.INCLUDE)
def test_every_record_is_committed_exactly_once_also_by_a_clock_that_is_set_back(
    steps: list[Step], policy: LatePolicy
) -> None:
    check_every_record(steps, policy)


def check_every_record(steps: list[Step], policy: LatePolicy) -> None:
    """What is committed in the end is what a scan of the input finds."""
    loop = Run(policy).to_the_end(steps)
    counts: Counter[tuple[int, str]] = Counter()
    sums: dict[tuple[int, str], Fraction] = {}
    dead: list[tuple[int, int]] = []
    diverted: list[tuple[int, int]] = []
    lates = 0
    for partition in PARTITIONS:
        values = [message.value() for message in loop.kafka.records[partition]]
        bad, late, held = judged(values, policy)
        lates += len(late)
        dead += [(partition, offset) for offset in bad]
        diverted += [(partition, offset) for offset in late if policy is LatePolicy.DIVERT]
        for offset in held:
            transaction = json.loads(values[offset] or b"", parse_float=Fraction)
            key = (partition, transaction["transaction_id"])
            counts[key] += 1
            sums[key] = sums.get(key, Fraction(0)) + transaction["amount"]
        assert len(values) == loop.kafka.committed.get(partition, (0, None))[0]

    committed_counts: Counter[tuple[int, str]] = Counter()
    committed_sums: dict[tuple[int, str], Fraction] = {}
    for record in loop.records("aggregates"):
        one = json.loads(record.value or b"", parse_float=Fraction)
        key = (one["source"]["partition"], one["transaction_id"])
        committed_counts[key] += one["count"]
        committed_sums[key] = committed_sums.get(key, Fraction(0)) + one["amount"]
    assert (counts, sums) == (committed_counts, committed_sums)
    assert dead == sorted(where(loop, "dead"))
    assert diverted == sorted(where(loop, "late"))
    if policy is LatePolicy.INCLUDE:
        assert lates == sum(one["late_count"] for one in loop.payloads("aggregates"))


def where(loop: Loop, topic: str) -> list[tuple[int, int]]:
    """Partition and offset of each record that was set aside."""
    found = []
    for record in loop.records(topic):
        headers = dict(record.headers or [])
        partition, offset = (headers[f"__connect.errors.{name}"] for name in ("partition", "offset"))
        assert isinstance(partition, bytes)
        assert isinstance(offset, bytes)
        found.append((int(partition), int(offset)))
    return found


@settings(max_examples=40)
@given(STEPS)
def test_there_is_one_alert_for_each_sum_above_the_limit(steps: list[Step]) -> None:
    loop = Run(LatePolicy.INCLUDE).to_the_end(steps)
    alerts = loop.payloads("alerts")
    shown = ("transaction_id", "timestamp", "amount", "watermark", "count", "window", "source")
    expected = [{name: one[name] for name in shown} for one in loop.payloads("aggregates") if one["amount"] > 8_000]
    assert expected == [{name: one[name] for name in shown} for one in alerts]
    assert len(alerts) == len({one["alert_id"] for one in alerts})


@settings(max_examples=40)
@given(STEPS)
def test_committed_watermarks_and_offsets_never_go_back(steps: list[Step]) -> None:
    run = Run(LatePolicy.DIVERT)
    before: dict[int, tuple[int, int]] = {}
    for step in steps:
        run.do(step)
        for partition, (offset, mark) in run.kafka.committed.items():
            assert before.get(partition, (0, -(2**63))) <= (offset, -(2**63) if mark is None else mark)
            before[partition] = (offset, -(2**63) if mark is None else mark)
