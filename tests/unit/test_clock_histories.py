"""By append time and by event time: the same windows and alerts to the last bit, whatever goes wrong and whenever."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

from hypothesis import example, given, settings
from hypothesis import strategies as st

from histories.clock_oracle import Rec, Rules, expect
from service.core.model import ClockName, LatePolicy, Offset
from service.loop.errors import Abortable, KafkaProblem, Retriable
from service.wire.input.decoder import InputMapping, MappedJsonDecoder
from service.wire.progress import decode_progress
from tests.driver import T0
from tests.loop import TOPIC, FakeKafka, Loop, pay

PARTITIONS = (0, 1)
BAD = b"not json"
LONG_MS = 10**7


@dataclass(frozen=True, slots=True)
class Put:
    """Records are appended, by a broker whose clock is behind by so much."""

    partition: int
    values: list[tuple[int, int, str] | int | None]
    """None: a bad record; only a number: a record of that event time which the mapping leaves out."""
    behind_ms: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """The clock moves on, and the loop turns."""

    after_ms: int


@dataclass(frozen=True, slots=True)
class Fail:
    """The next call of this kind does not work."""

    call: Literal["send", "commit", "restore", "ends"]


@dataclass(frozen=True, slots=True)
class Take:
    """A partition goes, and may come back at once."""

    partition: int
    lost: bool
    back: bool


@dataclass(frozen=True, slots=True)
class Slow:
    """What a partition has is on its way and does not arrive, or arrives again."""

    partition: int


@dataclass(frozen=True, slots=True)
class Crash:
    """The process is gone with all it had not committed; another one takes over."""


Step = Put | Turn | Fail | Take | Slow | Crash
VALUES = st.none() | st.tuples(st.integers(-2_500, 2_500), st.integers(-10_000, 1_000_000), st.sampled_from("abc"))
PARTITION = st.sampled_from(PARTITIONS)


def steps_with(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Step]]:
    """Histories in which such values arrive."""
    return st.lists(
        st.one_of(
            st.builds(Put, PARTITION, st.lists(values, min_size=1, max_size=10), st.sampled_from([0, 0, 300, 999])),
            st.builds(Turn, st.sampled_from([0, 1, 700, 3_000, 5_000, 11_000])),
            st.builds(Turn, st.sampled_from([0, 1, 700, 3_000, 5_000, 11_000])),
            st.builds(Fail, st.sampled_from(["send", "commit", "restore", "ends"])),
            st.builds(Take, PARTITION, st.booleans(), st.booleans()),
            st.builds(Slow, PARTITION),
            st.builds(Crash),
        ),
        max_size=30,
    )


STEPS = steps_with(VALUES)
STEPS_WITH_FILTERED = steps_with(VALUES | st.integers(-2_500, 2_500))
FILTERING = MappedJsonDecoder(InputMapping(where="op=c"))
INGESTION = st.builds(
    Rules,
    st.just("ingestion"),
    st.sampled_from([1, 7, 1_000, 5_000]),
    st.sampled_from([0, 1_000, 3_000]),
    st.sampled_from(["include", "divert", "drop"]),
    st.sampled_from([0, 500]),
)
EVENT = st.builds(
    Rules,
    st.just("event"),
    st.sampled_from([1, 7, 1_000, 5_000]),
    st.sampled_from([0, 1_000, 3_000]),
    st.sampled_from(["divert", "drop"]),
)
PROBLEMS: dict[str, KafkaProblem] = {
    "send": Abortable("send: x"),
    "commit": Abortable("commit: x"),
    "restore": Retriable("restore: x"),
    "ends": Retriable("ends: x"),
}


class History:
    """A service, its successors after crashes, and the Kafka that outlives them."""

    def __init__(self, rules: Rules, batch: int = 500, **more: Any) -> None:  # noqa: ANN401 - as in Loop
        self.rules, self.batch = rules, batch
        self._more = more
        self.now = 0
        self.kafka = FakeKafka()
        self.loop = self._start()

    def _start(self) -> Loop:
        rules = self.rules
        loop = Loop(
            self.kafka,
            now=self.now,
            partitions=PARTITIONS,
            late="late" if rules.policy == "divert" else "",
            clock=ClockName(rules.clock),
            window_size_ms=rules.size_ms,
            lateness_ms=rules.lateness_ms,
            late_policy=LatePolicy(rules.policy),
            max_future_ms=rules.max_future_ms,
            **self._more,
        )
        loop.input.batch = self.batch
        return loop

    def do(self, step: Step) -> None:
        """One thing happens."""
        match step:
            case Put(partition, values, behind_ms):
                appended_ms = T0 + self.now - behind_ms
                for one in values:
                    value = BAD if one is None else self._value(one)
                    self.kafka.put(partition, value, appended_ms=appended_ms)
            case Turn(after_ms):
                self.now += after_ms
                self.loop.turn(self.now)
            case Fail(call):
                place = self.loop.output if call in {"send", "commit"} else self.loop.input
                place.problems[call].append(PROBLEMS[call])
            case Take(partition, lost, back):
                self.loop.input.take(partition, lost=lost)
                if back:
                    self.loop.input.give(partition)
            case Slow(partition):
                self.loop.input.slow ^= {partition}
            case Crash():
                self.loop = self._start()

    def _value(self, one: tuple[int, int, str] | int) -> bytes:
        if isinstance(one, int):
            return pay(self.now + one, "no number")[:-1] + b',"op":"d"}'
        return pay(self.now + one[0], one[1] / 100, one[2])[:-1] + b',"op":"c"}'

    def to_the_end(self, steps: Iterable[Step]) -> History:
        """Everything happens; then nothing more goes wrong until all is read and the wall clock is far ahead."""
        for step in steps:
            self.do(step)
        self.do(Crash())
        records = max(map(len, self.kafka.records.values()), default=0)
        for after_ms in (*[0] * (3 + records // self.batch), LONG_MS, 1_000, 10_000, 10_000):
            self.do(Turn(after_ms))
        return self

    def partition(self, partition: int) -> list[Rec]:
        """The input."""
        return [Rec(one.at, one.held or b"", one.appended_ms) for one in self.kafka.records[partition]]

    def aggregates(self) -> list[dict[str, Any]]:
        """Committed aggregates with exact amounts."""
        found = [json.loads(one.value or b"", parse_float=Fraction) for one in self.loop.records("aggregates")]
        return sorted(found, key=_place)

    def alerts(self) -> list[dict[str, Any]]:
        """Committed alerts without the one field that may differ."""
        found = [{k: v for k, v in one.items() if k != "detected_at"} for one in self.loop.payloads("alerts")]
        return sorted(found, key=_place)

    def set_aside(self, topic: str) -> list[tuple[int, int]]:
        """Partition and offset of what is in the dead-letter or the late topic."""
        headers = [dict(record.headers or []) for record in self.loop.records(topic)]
        names = ("__connect.errors.partition", "__connect.errors.offset")
        return sorted((int(one[names[0]] or b""), int(one[names[1]] or b"")) for one in headers)


def _place(payload: dict[str, Any]) -> tuple[Any, ...]:
    return (payload["source"]["partition"], payload["window"]["start"], payload["source"]["first_offset"])


def undisturbed(steps: Iterable[Step]) -> list[Step]:
    """The same arrivals by the same clock, and nothing going wrong."""
    return [step for step in steps if isinstance(step, Put | Turn)]


def check(steps: list[Step], rules: Rules, batch: int, **more: Any) -> None:  # noqa: ANN401 - as in Loop
    """What is committed is what the oracle finds in the input, and what an undisturbed service commits."""
    history = History(rules, batch, **more).to_the_end(steps)
    due: list[dict[str, Any]] = []
    bad, late = [], []
    for partition in PARTITIONS:
        expected = expect(history.partition(partition), rules)
        due += expected.aggregates(rules, TOPIC, partition)
        bad += [(partition, offset) for offset in sorted(expected.bad)]
        late += [(partition, offset) for offset in expected.late]
    assert sorted(due, key=_place) == history.aggregates()
    assert bad == history.set_aside("dead")
    assert (late if rules.policy == "divert" else []) == history.set_aside("late")
    calm = History(rules, **more).to_the_end(undisturbed(steps))
    assert (calm.aggregates(), calm.alerts()) == (history.aggregates(), history.alerts())


A, B = (0, 100, "a"), (0, 200, "b")


def at(ms: int) -> tuple[int, int, str]:
    """A record of that event time."""
    return ms, 100, "a"


FIVE_S = Rules("ingestion", 5_000, 1_000, "divert")
ON_ITS_WAY: list[Step] = [Put(0, [A]), Turn(1), Turn(1), Slow(0), Put(0, [B]), Turn(11_000), Slow(0), Turn(1)]
LATE_AGAIN: list[Step] = [Put(0, [at(2_500)]), Turn(1), Turn(5_000), Put(0, [at(-4_000)]), Turn(1), Crash(), Turn(1)]
"""Late by a record of a window that has been committed, in one that is read again."""
BEHIND: list[Step] = [Put(0, [A]), Turn(1), Turn(1), Turn(5_000), Put(0, [B], 999), Turn(1)]


@settings(max_examples=150)
@given(STEPS, INGESTION, st.sampled_from([1, 3, 500]))
@example(ON_ITS_WAY, FIVE_S, 500)
@example(BEHIND, FIVE_S, 500)
@example(LATE_AGAIN, FIVE_S, 500)
@example(LATE_AGAIN, replace(FIVE_S, policy="include"), 500)
def test_windows_by_append_time_are_those_of_the_input(steps: list[Step], rules: Rules, batch: int) -> None:
    check(steps, rules, batch)


EMITTED: list[Step] = [Put(0, [at(3_000), at(2_500)]), Turn(1), Put(0, [at(4_200)]), Turn(1), Crash(), Turn(1)]
LATE: list[Step] = [Put(0, [at(1_000), at(3_000), at(2_000)]), Turn(1), Turn(11_000), Crash(), Put(0, [at(0)])]
CROSSED: list[Step] = [Put(0, [at(5_500), at(4_800)]), Turn(1), Turn(11_000), Crash(), Put(0, [at(9_000)])]


@settings(max_examples=150)
@given(STEPS, EVENT, st.sampled_from([1, 3, 500]))
@example(EMITTED, Rules("event", 1_000, 1_000, "divert"), 500)
@example(LATE, Rules("event", 5_000, 0, "divert"), 500)
@example(CROSSED, Rules("event", 5_000, 1_000, "divert"), 500)
def test_windows_by_event_time_are_those_of_the_input(steps: list[Step], rules: Rules, batch: int) -> None:
    check(steps, rules, batch)


PASSED_BY: list[Step] = [Put(0, [A]), Turn(1), Turn(5_000), Put(0, [2_000]), Turn(1), Crash(), Turn(1)]
"""A filtered record of a later window, read again together with the records before it."""
MARKED: list[Step] = [Put(0, [A, 2_000, at(500), at(1_500)]), Turn(1), Crash(), Put(0, [at(-2_000)]), Turn(1)]
"""A filtered record makes the next one late."""


@settings(max_examples=150)
@given(STEPS_WITH_FILTERED, INGESTION | EVENT, st.sampled_from([1, 3, 500]))
@example(PASSED_BY, FIVE_S, 500)
@example(MARKED, FIVE_S, 500)
@example(MARKED, Rules("event", 1_000, 1_000, "divert"), 500)
@example(MARKED, Rules("event", 1_000, 1_000, "divert"), 1)
def test_filtered_records_only_move_the_watermark_and_are_replayed_as_they_were(
    steps: list[Step], rules: Rules, batch: int
) -> None:
    check(steps, rules, batch, decoder=FILTERING)


@settings(max_examples=60)
@given(STEPS_WITH_FILTERED, INGESTION | EVENT, st.sampled_from([1, 500]))
def test_what_is_shown_and_what_is_committed_never_go_back(steps: list[Step], rules: Rules, batch: int) -> None:
    history = History(replace(rules, max_future_ms=0), batch, decoder=FILTERING)
    committed: dict[int, tuple[int, int]] = {}
    for step in steps:
        history.do(step)
        for partition, (offset, mark) in history.kafka.committed.items():
            now = (offset, -1 if mark is None else mark)
            assert committed.get(partition, (0, -1)) <= now
            committed[partition] = now
        if isinstance(step, Crash):
            for one in history.loop.partitions():
                ahead = decode_progress(Offset(0), history.kafka.metadata.get(one.partition)).ahead
                assert ahead is None or (ahead.read, ahead.watermark_ms) == (one.position, one.watermark)
