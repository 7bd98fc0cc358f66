"""A replay driven by hand: the clock moves only during a wait, and the sink notes which row came when."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from producer.disorder import FileOrder, Order
from producer.ports import Rereadable, TopicState
from producer.reading.csv_rows import CsvRows
from producer.reading.layout import Layout
from producer.reading.rows import Chunk, Reject, Row, Rows
from producer.reading.times import TimestampParser
from producer.replay import NS_PER_MS, NS_PER_S, ByEventTime, Pace, Replay, RowId
from producer.session import Plan, Session

WALL_MS = 1_800_000_000_000


def rows_at(*times_ms: int, first: int = 1) -> Chunk:
    """A chunk of rows tx1, tx2, ... with these event times."""
    numbers = range(first, first + len(times_ms))
    return Chunk(Rows(numbers, [f"tx{n}" for n in numbers], times_ms, ["1"] * len(times_ms)))


def csv_at(*times_ms: int) -> str:
    """A file of such rows."""
    lines = [f"tx{number},{time_ms},1" for number, time_ms in enumerate(times_ms, 1)]
    return "\n".join(["transaction_id,timestamp,amount", *lines, ""])


@dataclass
class HandClock:
    """A clock that moves only during a wait, and asks for a stop at a given time."""

    now_ns: int = 5 * NS_PER_S
    stop_at_ns: int | None = None
    hurried: bool = False
    longest_wait_s: float = 0.0

    def monotonic_ns(self) -> int:
        return self.now_ns

    def wall_ms(self) -> int:
        return WALL_MS + self.now_ns // NS_PER_MS

    def wait(self, seconds: float) -> None:
        assert seconds > 0, "waiting for nothing is a busy loop"
        self.longest_wait_s = max(self.longest_wait_s, seconds)
        self.now_ns += round(seconds * NS_PER_S)

    def going(self) -> bool:
        return self.stop_at_ns is None or self.now_ns < self.stop_at_ns

    def hurry(self) -> bool:
        return self.hurried


@dataclass
class Notebook:
    """A sink that writes down each row with the clock's time in ms, and does what the fields say."""

    clock: HandClock
    send_ms: float = 0
    """How long each hand-over takes."""
    room: int = 10**9
    """Rows taken until the queue is full for good."""
    topic: Callable[[int], TopicState] = lambda _now_ns: TopicState.THERE
    outstanding: int = 0
    reported_in_ms: int | None = None
    """The last flush takes so long: then everything is reported, and a notice says so."""
    failed_first: RowId | None = None
    broken: bool = False
    sent: int = 0
    delivered: int = 0
    failed: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    seen: list[tuple[int, Row]] = field(default_factory=list)
    shifts: list[int] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def topic_state(self, wait_s: float) -> TopicState:
        state = self.topic(self.clock.now_ns)
        if state is TopicState.NO_ANSWER:
            self.clock.now_ns += round(wait_s * NS_PER_S)
        return state

    def send(self, batch: object, keep_on: Callable[[], bool]) -> int:
        rows: Rows = batch.rows  # type: ignore[attr-defined]
        taken = 0
        for row in rows:
            while self.sent >= self.room:
                if not keep_on():
                    return taken
                self.clock.now_ns += 10 * NS_PER_MS
            self.seen.append((self.clock.now_ns // NS_PER_MS, row))
            self.shifts.append(batch.shift_ms)  # type: ignore[attr-defined]
            self.sent += 1
            taken += 1
        self.clock.now_ns += round(self.send_ms * NS_PER_MS)
        return taken

    def poll(self) -> None:
        pass

    def flush(self, wait_s: float) -> None:
        if self.reported_in_ms is None:
            self.clock.now_ns += round(wait_s * NS_PER_S)
        else:
            self.clock.now_ns += self.reported_in_ms * NS_PER_MS
            self.outstanding = 0
            self.notices.append("all reported")

    def give_up(self) -> None:
        self.failed, self.outstanding = self.outstanding, 0

    def first_failed(self) -> RowId | None:
        return self.failed_first

    def take_notices(self) -> list[str]:
        notices, self.notices = self.notices, []
        return notices


@dataclass
class Kept:
    """Rejects, kept in a list."""

    rejects: list[Reject] = field(default_factory=list)

    def open(self) -> None:
        pass

    def add(self, rejects: Iterable[Reject]) -> None:
        self.rejects += rejects

    def close(self) -> None:
        pass


class Text:
    """A file of epoch_ms timestamps, in memory."""

    def __init__(self, text: str, block: int = 10**6, grows: Callable[[], bool] = lambda: False) -> None:
        self._data = text.encode()
        self._block = block
        self.grown = grows
        self.patience_s = 0.0

    def open_pass(self, start_row: int) -> CsvRows:
        blocks = [self._data[at : at + self._block] for at in range(0, len(self._data), self._block)]
        parser = TimestampParser("epoch_ms", ZoneInfo("UTC"))
        return CsvRows(blocks, "rows.csv", Layout(parser), start_row=start_row, grown=self.grown)


class Driven:
    """A session with all its parts in reach; ``run()`` it."""

    def __init__(
        self,
        text: str,
        pace: Pace | None = None,
        *,
        order: Order | None = None,
        clock: HandClock | None = None,
        repeat: int = 1,
        start_row: int = 1,
        align_ms: int | None = None,
        rebase: bool = False,
        continues: bool = False,
        broker_wait_ns: int = 30 * NS_PER_S,
        block: int = 10**6,
        grows_at_ns: int | None = None,
        source: Rereadable | None = None,
        on_tick: Callable[[], None] = lambda: None,
        at_once: bool = False,
        **sink: object,
    ) -> None:
        pace = pace or ByEventTime()
        self.clock = clock or HandClock()
        self.start_ms = self.clock.now_ns // NS_PER_MS
        self.sink = Notebook(self.clock, **sink)  # type: ignore[arg-type]
        self.rejects = Kept()
        self.said: list[str] = []
        self.schedule = Replay(pace, order or FileOrder(), continues=continues, at_once=at_once)
        self.session = Session(
            Plan(pace, repeat, start_row, align_ms, rebase, broker_wait_ns),
            source=source or Text(text, block, lambda: grows_at_ns is not None and self.clock.now_ns >= grows_at_ns),
            replay=self.schedule,
            sink=self.sink,
            clock=self.clock,
            rejects=self.rejects,
            say=self.said.append,
            on_tick=on_tick,
        )

    def run(self) -> Driven:
        assert self.session.run() is None
        return self

    @property
    def times(self) -> list[tuple[int, int]]:
        """(row number, ms after the start) in the order sent."""
        return [(row.number, at_ms - self.start_ms) for at_ms, row in self.sink.seen]

    @property
    def numbers(self) -> list[int]:
        return [row.number for _, row in self.sink.seen]

    @property
    def event_times(self) -> list[int]:
        """As sent."""
        shifted = zip(self.sink.seen, self.sink.shifts, strict=True)
        return [row.timestamp_ms + shift_ms for (_, row), shift_ms in shifted]
