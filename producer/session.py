"""One replay, from the first row to the last delivery report: the loop that joins reading, schedule and delivery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from producer.last_line import LastLine
from producer.ports import Clock, ConfigError, Rereadable, Sink
from producer.reading.errors import InputFileError
from producer.reading.rows import NOTHING, Chunk
from producer.replay import NS_PER_MS, NS_PER_S, AsFast, Batch, Pace, Replay, aligned_wait_ms
from producer.report import Rejects, RejectsFileError, Say, Tally
from producer.topic import TopicMissingError, await_topic

READ_AHEAD_ROWS: Final = 256
"""Rows that wait for their time when more are read: reading must not come between a row and its time."""
SLICE_S: Final = 0.1
"""Longest wait between two looks at delivery reports, progress and a pipe."""
STOP_FLUSH_NS: Final = 5 * NS_PER_S
"""How long a replay that was told to stop waits for the reports of what it has sent."""
LONG_WAIT_NS: Final = 60 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Plan:
    """What to replay, in plain values."""

    pace: Pace
    repeat: int
    """Passes over the file; 0 is for ever."""
    start_row: int
    """Where the first pass starts."""
    align_ms: int | None
    """Start at the next multiple of it."""
    rebase: bool
    """The first row's event time becomes the time when it is due."""
    broker_wait_ns: int
    """How long the schedule waits for a first answer of a broker; after that, rows queue up."""


class Session:
    """Runs a plan, on the caller's thread; others may read `tally` and the sink's account meanwhile."""

    def __init__(
        self,
        plan: Plan,
        *,
        source: Rereadable,
        replay: Replay,
        sink: Sink,
        clock: Clock,
        rejects: Rejects,
        say: Say,
        on_tick: Callable[[], None],
    ) -> None:
        """Take the parts; ``on_tick`` is called about every `SLICE_S`."""
        self._plan = plan
        self._source = source
        self._replay = replay
        self.sink = sink
        """Where the rows go."""
        self._clock = clock
        self._rejects = rejects
        self._say = say
        self._on_tick = on_tick
        self._keep_pending = 0 if isinstance(plan.pace, AsFast) else READ_AHEAD_ROWS
        self._start_ns: int | None = None
        self._next_tick_ns = 0
        self._announced_due_ns = 0
        self._read_next = plan.start_row
        self._last_line = LastLine(source.grown)
        self._passes = 0
        self.tally = Tally()
        self.failure: Exception | None = None
        """What nobody had foreseen and ended the replay early; right once `run` has returned."""
        self.elapsed_ns = 0
        """Since the first row was due."""
        self.next_row = plan.start_row
        """The row to start from so that nothing is lost; right once `run` has returned."""

    @property
    def started(self) -> bool:
        """Whether rows were sent, or would have been if there were any."""
        return self._start_ns is not None

    def run(self) -> str | None:
        """Replay until the file's end, a stop, or a failure that will repeat; then wait for what is outstanding.

        1. Replay the passes. 2. Wait for the reports of what was sent. 3. Settle what stands before `next_row`.
        Whatever ends one of them early, the next ones come all the same: rows in the queue are not to be lost.
        Returns what is wrong with the input or the file of rejects, where that ended it early.

        Raises:
            TopicMissingError: before anything was sent.
            ConfigError: likewise.
            InputFileError: likewise.
            RejectsFileError: likewise.
        """
        problems = [self._problem_of(self._replay_passes)]
        if self.failure is not None or problems[0] is not None:
            self._on_tick = lambda: None  # it may be what failed
        # Twice: where it is ended early itself, the second time has nothing in its way.
        waiting = (self._await_reports, self._await_reports, self._pass_on_notices)
        problems += map(self._problem_of, (*waiting, self._settle_rest, self._rejects.close, self._say_last_line))
        return next((problem for problem in problems if problem is not None), None)

    def _problem_of(self, step: Callable[[], None]) -> str | None:
        """Take a step; returns what is wrong with input or rejects, and keeps what nobody had foreseen as `failure`."""
        try:
            step()
        except (InputFileError, RejectsFileError, TopicMissingError, ConfigError) as error:
            if not self.started:
                raise
            return str(error)
        except Exception as error:  # noqa: BLE001  it is said, and the exit code is 1
            self.failure = self.failure or error
            self._on_tick = lambda: None
        return None

    def _replay_passes(self) -> None:
        while self._going() and (self._passes < self._plan.repeat or not self._plan.repeat):
            self._passes += 1
            if not self._replay_pass(self._plan.start_row if self._passes == 1 else 1):
                break  # a file without rows would be read for ever
        self._run_down_to(0)

    def _replay_pass(self, start_row: int) -> bool:
        """Read the file once; returns whether it held rows to send."""
        rows = self._source.open_pass(start_row)
        found = False
        for chunk in rows:
            if chunk is not NOTHING:
                self._rejects.open()
            if chunk.rows and not self.started:
                self._start(chunk.rows.timestamps_ms[0])
            found = found or bool(chunk.rows)
            self._last_line.note_row(rows.unfinished_row, self._passes)
            self._replay.add(chunk)
            self._read_next = max(rows.next_row, start_row)
            self._run_down_to(self._keep_pending)
            if chunk is NOTHING and self._replay.pending:
                self._turn()
            if chunk is not NOTHING or self.started:
                self._tick()  # before the header is known, a wrong file is the one thing to say
            if not self._going():
                return found
            self._source.patience_s = 0 if self._replay.pending else SLICE_S
        self._rejects.open()
        self._last_line.note_end(rows, self._passes)
        self.tally.last_line_unfinished = self._last_line.number is not None
        self._replay.end_pass()
        return found

    def _say_last_line(self) -> None:
        line = self._last_line.said()
        if line is not None:
            self._say(line)

    def _run_down_to(self, pending: int) -> None:
        """Send rows as they fall due until no more than ``pending`` wait."""
        while self._going() and (self._replay.pending > pending or self._replay.next_due_ns() == 0):
            self._turn()

    def _turn(self) -> None:
        """Send what is due, or wait for it, but no longer than a slice."""
        batch = self._replay.due(self._now_ns())
        if batch is None:
            self._wait()
            return
        batch = self._last_line.up_to_it(batch)
        if batch is None:
            self._settle(self._replay.advance(1))
        elif batch.rows:
            sent = self.sink.sent
            try:
                taken = self.sink.send(batch, self._keep_on)
            except Exception:
                self._pass_over(batch, self.sink.sent - sent)
                raise
            self._pass_over(batch, taken)
            self.sink.poll()
        else:
            self._settle(self._replay.advance(0))
        self._tick()

    def _pass_over(self, batch: Batch, taken: int) -> None:
        """Account for the rows of a batch that were taken."""
        lag_ns = 0 if batch.due_ns is None else self._now_ns() - batch.due_ns
        self.tally.note_sent(batch, taken, lag_ns)
        self._settle(self._replay.advance(taken))

    def _wait(self) -> None:
        due_ns = self._replay.next_due_ns()
        if due_ns is None:
            return
        left_ns = due_ns - self._now_ns()
        if left_ns > LONG_WAIT_NS and due_ns != self._announced_due_ns:
            self._announced_due_ns = due_ns
            self._say(f"the next row is due in {left_ns // NS_PER_S} s, as its timestamp says")
        self.sink.poll()
        self._clock.wait(min(left_ns / NS_PER_S, SLICE_S))
        self._tick()

    def _start(self, first_ms: int) -> None:
        """Fix the start, on which schedule and rebased event times hang, once rows can be delivered; wait for it."""
        await_topic(self.sink, self._clock, self._plan.broker_wait_ns, self._say, self._tick)
        start_ms, self._start_ns = self._clock.wall_ms(), self._clock.monotonic_ns()
        if self._plan.align_ms is not None:
            wait_ms = aligned_wait_ms(start_ms, self._plan.align_ms)
            start_ms, self._start_ns = start_ms + wait_ms, self._start_ns + wait_ms * NS_PER_MS
        if self._plan.rebase:
            self._replay.rebase(first_ms, start_ms)
        while self._going() and (left_ns := -self._now_ns()) > 0:
            self.sink.poll()
            self._clock.wait(min(left_ns / NS_PER_S, SLICE_S))
            self._tick()

    def _await_reports(self) -> None:
        """Wait until every row's fate is known; when told to stop, not for ever."""
        give_up_ns: int | None = None
        while self.sink.outstanding:
            self.sink.flush(SLICE_S)
            self._tick()
            if self._clock.going():
                continue
            now_ns = self._clock.monotonic_ns()
            give_up_ns = give_up_ns or now_ns + STOP_FLUSH_NS
            if now_ns >= give_up_ns or self._clock.hurry():
                self.sink.give_up()
                break
        self.elapsed_ns = max(self._now_ns(), 0) if self.started else 0

    def _settle_rest(self) -> None:
        """Find the row to resume from, and settle the rejected and skipped rows before it and no others."""
        places = (*self._replay.unsent(), self._last_line.withheld, self.sink.first_failed())
        first = min((place for place in places if place is not None), default=None)
        self.next_row = self._read_next if first is None else first.number
        self._settle(self._replay.unsettled(first))

    def _settle(self, others: Chunk) -> None:
        if others.rejects or others.skipped:
            self.tally.settle(others)
            self._rejects.add(others.rejects)

    def _now_ns(self) -> int:
        return self._clock.monotonic_ns() - (self._start_ns or 0)

    def _going(self) -> bool:
        return self._clock.going() and not self.sink.broken

    def _keep_on(self) -> bool:
        self._tick()
        return self._going()

    def _tick(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._next_tick_ns:
            self._next_tick_ns = now_ns + int(SLICE_S * NS_PER_S)
            self.elapsed_ns = max(self._now_ns(), 0) if self.started else 0
            self.sink.poll()
            self._pass_on_notices()
            self._on_tick()

    def _pass_on_notices(self) -> None:
        for notice in self.sink.take_notices():
            self._say(notice)
