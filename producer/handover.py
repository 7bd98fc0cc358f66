"""Hands rows to the sink when they are due. It starts once the topic exists, and waits between rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from producer.last_line import LastLine
from producer.plan import Plan
from producer.ports import Clock, Say, Sink
from producer.reading.rows import Chunk
from producer.rejects import Rejects
from producer.replay import NS_PER_MS, NS_PER_S, Batch, Replay, aligned_wait_ms
from producer.report import Tally
from producer.topic import await_topic

SLICE_S: Final = 0.1
"""The longest wait between two checks of delivery reports, progress and a pipe."""
STOP_FLUSH_NS: Final = 5 * NS_PER_S
"""How long a stopped replay waits for the delivery reports of the rows that it has sent."""
LONG_WAIT_NS: Final = 60 * NS_PER_S
"""A longer wait for the next row gets a line of its own."""
SHOWN_WAIT_NS: Final = NS_PER_S
"""The progress shows a wait of this length or more."""


class Handover:
    """Hands rows to the sink and counts them. Other threads may read `tally` and `elapsed_ns` meanwhile."""

    def __init__(
        self,
        plan: Plan,
        *,
        replay: Replay,
        sink: Sink,
        clock: Clock,
        rejects: Rejects,
        last_line: LastLine,
        say: Say,
        on_tick: Callable[[], None],
    ) -> None:
        """Take the parts; ``on_tick`` is called about every `SLICE_S`."""
        self._plan = plan
        self._replay = replay
        self._sink = sink
        self._clock = clock
        self._rejects = rejects
        self._last_line = last_line
        self._say = say
        self._on_tick = on_tick
        self._start_ns: int | None = None
        self._awaits_topic = False
        self._next_tick_ns = 0
        self._announced_due_ns = 0
        self.tally = Tally()
        self.elapsed_ns = 0
        """Time since the first row was due."""

    @property
    def started(self) -> bool:
        """Whether the schedule has started, so that rows may have been sent."""
        return self._start_ns is not None

    def going(self) -> bool:
        """Whether rows are still to be sent: no stop was requested, and the sink is not broken."""
        return self._clock.going() and not self._sink.broken

    def waits(self) -> str:
        """Say what the replay waits for, in words; empty if it does not wait."""
        if self._start_ns is None:
            return "waits for the topic" if self._awaits_topic else "waits for rows"
        now_ns = self._now_ns()
        due_ns = 0 if now_ns < 0 else self._replay.next_due_ns()
        if due_ns is None or due_ns - now_ns < SHOWN_WAIT_NS:
            return ""
        return f"next row in {(due_ns - now_ns) // NS_PER_S:,} s"

    def start(self, first_ms: int) -> None:
        """Wait for the topic, then fix the start of the schedule and of rebased event times, and wait for it.

        Raises:
            TopicMissingError: the brokers do not know the topic.
            ConfigError: they and the properties do not fit together.
        """
        self._awaits_topic = True
        self._on_tick()  # shows at once what the replay waits for; notices wait for the first question's answer
        await_topic(self._sink, self._clock, self._plan.broker_wait_ns, self._say, self.tick)
        start_ms, self._start_ns = self._clock.wall_ms(), self._clock.monotonic_ns()
        if self._plan.align_ms is not None:
            wait_ms = aligned_wait_ms(start_ms, self._plan.align_ms)
            start_ms, self._start_ns = start_ms + wait_ms, self._start_ns + wait_ms * NS_PER_MS
        if self._plan.rebase:
            self._replay.rebase(first_ms, start_ms)
        while self.going() and (left_ns := -self._now_ns()) > 0:
            self._sink.poll()
            self._clock.wait(min(left_ns / NS_PER_S, SLICE_S))
            self.tick()

    def run_down_to(self, pending: int) -> None:
        """Send rows when they are due, until at most ``pending`` rows wait."""
        while self.going() and (self._replay.pending > pending or self._replay.next_due_ns() == 0):
            self.turn()

    def turn(self) -> None:
        """Send the rows that are due. If none is, wait for the next one, but no longer than `SLICE_S`."""
        batch = self._replay.due(self._now_ns())
        if batch is None:
            self._wait()
            return
        batch = self._last_line.up_to_it(batch)
        if batch is None:
            self.settle(self._replay.advance(1))
        elif batch.rows:
            sent = self._sink.sent
            try:
                taken = self._sink.send(batch, self._keep_on)
            except Exception:  # raised again, once the rows that were taken are counted
                self._pass_over(batch, self._sink.sent - sent)
                raise
            self._pass_over(batch, taken)
            self._sink.poll()
        else:
            self.settle(self._replay.advance(0))
        self.tick()

    def _pass_over(self, batch: Batch, taken: int) -> None:
        """Count the rows of a batch that were taken."""
        lag_ns = 0 if batch.due_ns is None else self._now_ns() - batch.due_ns
        self.tally.note_sent(batch, taken, lag_ns)
        self.settle(self._replay.advance(taken))

    def _wait(self) -> None:
        due_ns = self._replay.next_due_ns()
        if due_ns is None:
            return
        left_ns = due_ns - self._now_ns()
        if left_ns > LONG_WAIT_NS and due_ns != self._announced_due_ns:
            self._announced_due_ns = due_ns
            self._say(f"the next row is due in {left_ns // NS_PER_S} s, as its timestamp says")
        self._sink.poll()
        self._clock.wait(min(left_ns / NS_PER_S, SLICE_S))
        self.tick()

    def await_reports(self) -> None:
        """Wait until each row is delivered or failed; after a stop, no longer than `STOP_FLUSH_NS`."""
        give_up_ns: int | None = None
        while self._sink.outstanding:
            self._sink.flush(SLICE_S)
            self.tick()
            if self._clock.going():
                continue
            now_ns = self._clock.monotonic_ns()
            give_up_ns = give_up_ns or now_ns + STOP_FLUSH_NS
            if now_ns >= give_up_ns or self._clock.hurry():
                self._sink.give_up()
                break
        self._note_elapsed()

    def settle(self, others: Chunk) -> None:
        """Count rejected and skipped rows, and keep the rejected ones."""
        if others.rejects or others.skipped:
            self.tally.settle(others)
            self._rejects.add(others.rejects)

    def tick(self) -> None:
        """Serve delivery reports, pass on notices and call ``on_tick``, if a slice has passed since the last time."""
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._next_tick_ns:
            self._next_tick_ns = now_ns + int(SLICE_S * NS_PER_S)
            self._note_elapsed()
            self._sink.poll()
            self.pass_on_notices()
            self._on_tick()

    def last_tick(self) -> None:
        """Call ``on_tick`` a last time, with the final counts."""
        self._on_tick()

    def stop_ticks(self) -> None:
        """Call ``on_tick`` no more: it may be what failed."""
        self._on_tick = lambda: None

    def pass_on_notices(self) -> None:
        """Print what the sink reports about its connections."""
        for notice in self._sink.take_notices():
            self._say(notice)

    def _note_elapsed(self) -> None:
        self.elapsed_ns = max(self._now_ns(), 0) if self.started else 0

    def _now_ns(self) -> int:
        return self._clock.monotonic_ns() - (self._start_ns or 0)

    def _keep_on(self) -> bool:
        self.tick()
        return self.going()
