"""One replay, from the first row to the last delivery report: it joins reading, schedule and delivery."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from producer.handover import SLICE_S, Handover
from producer.last_line import LastLine
from producer.plan import Plan
from producer.ports import Clock, ConfigError, Rereadable, Say, Sink
from producer.reading.errors import InputFileError
from producer.reading.rows import NOTHING
from producer.rejects import Rejects, RejectsFileError
from producer.replay import AsFast, Replay
from producer.report import Tally
from producer.topic import TopicMissingError

READ_AHEAD_ROWS: Final = 256
"""More rows are read when fewer than this wait for their time, so that reading does not make a row late."""


class Session:
    """Runs a plan, on the caller's thread. Other threads may read `tally` and the sink's counts meanwhile."""

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
        self._rejects = rejects
        self._say = say
        self._last_line = LastLine(source.grown)
        self._handover = Handover(
            plan,
            replay=replay,
            sink=sink,
            clock=clock,
            rejects=rejects,
            last_line=self._last_line,
            say=say,
            on_tick=on_tick,
        )
        self._keep_pending = 0 if isinstance(plan.pace, AsFast) else READ_AHEAD_ROWS
        self._read_next = plan.start_row
        self._passes = 0
        self.failure: Exception | None = None
        """The unforeseen error that ended the replay early; final once `run` has returned."""
        self.next_row = plan.start_row
        """The row to resume from so that no row is lost; final once `run` has returned."""

    @property
    def started(self) -> bool:
        """Whether the schedule has started, so that rows may have been sent."""
        return self._handover.started

    @property
    def tally(self) -> Tally:
        """What has happened so far."""
        return self._handover.tally

    @property
    def elapsed_ns(self) -> int:
        """Time since the first row was due."""
        return self._handover.elapsed_ns

    def waits(self) -> str:
        """Say what the replay waits for, in words; empty if it does not wait."""
        return self._handover.waits()

    def run(self) -> str | None:
        """Replay until the file's end, a stop, or a failure that would repeat; then wait for what is outstanding.

        1. Replay the passes.
        2. Wait for the delivery reports of the rows that were sent.
        3. Count the rejected and skipped rows before `next_row`.

        If a step fails, the next ones still run: rows in the queue must not be lost.
        Returns what is wrong with the input or the file of rejects, if that ended the replay early, else None.

        Raises:
            TopicMissingError: before anything was sent.
            ConfigError: likewise.
            InputFileError: likewise.
            RejectsFileError: likewise.
        """
        handover = self._handover
        problems = [self._problem_of(self._replay_passes)]
        if self.failure is not None or problems[0] is not None:
            handover.stop_ticks()
        # Twice: an error may end the first wait early.
        waiting = (handover.await_reports, handover.await_reports, handover.pass_on_notices)
        settling = (self._settle_rest, self._rejects.close, self._say_last_line, handover.last_tick)
        problems += map(self._problem_of, (*waiting, *settling))
        return next((problem for problem in problems if problem is not None), None)

    def _problem_of(self, step: Callable[[], None]) -> str | None:
        """Run a step; returns what is wrong with input or rejects, or None. Keep an unforeseen error as `failure`."""
        try:
            step()
        except (InputFileError, RejectsFileError, TopicMissingError, ConfigError) as error:
            if not self.started:
                raise
            return str(error)
        except Exception as error:  # noqa: BLE001  it becomes one line and exit code 1, and the next steps follow
            self.failure = self.failure or error
            self._handover.stop_ticks()
        return None

    def _replay_passes(self) -> None:
        while self._handover.going() and (self._passes < self._plan.repeat or not self._plan.repeat):
            self._passes += 1
            if not self._replay_pass(self._plan.start_row if self._passes == 1 else 1):
                break  # a file without rows would be read without end
        self._handover.run_down_to(0)

    def _replay_pass(self, start_row: int) -> bool:
        """Read the file once; returns whether it held rows to send."""
        rows = self._source.open_pass(start_row)
        found = False
        for chunk in rows:
            if chunk is not NOTHING:
                self._rejects.open()
            if chunk.rows and not self.started:
                self._handover.start(chunk.rows.timestamps_ms[0])
            found = found or bool(chunk.rows)
            self._last_line.note_row(rows.unfinished_row, self._passes)
            self._replay.add(chunk)
            self._read_next = max(rows.next_row, start_row)
            self._handover.run_down_to(self._keep_pending)
            if chunk is NOTHING and self._replay.pending:
                self._handover.turn()
            if rows.header_known or self.started:
                self._handover.tick()  # before that, a wrong file is the only thing to report
            if not self._handover.going():
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

    def _settle_rest(self) -> None:
        """Find the row to resume from, and count the rejected and skipped rows before it, but no others."""
        places = (*self._replay.unsent(), self._last_line.withheld, self.sink.first_failed())
        first = min((place for place in places if place is not None), default=None)
        self.next_row = self._read_next if first is None else first.number
        self._handover.settle(self._replay.unsettled(first))
