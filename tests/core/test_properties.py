"""For any story of a partition, the task does what the oracle works out, and accounts for every record once."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from histories.decoder_oracle import exactly
from service.core.detectors import ConfiguredDetector
from service.core.detectors.threshold import Threshold
from service.core.model import SetAside, Transaction
from tests.core.oracle import Closed, as_closed, closed_windows, read_all, watermark_after
from tests.driver import T0, Driver
from tests.strategies import BATCHES, RECORDS, STORIES, Batch, Story, Tick

LONG_AFTER = 10**9
QUICK = settings(max_examples=60)


class Played:
    """A story gone through by a real task, one batch at a time."""

    def __init__(self, story: Story) -> None:
        """Start where the story says."""
        self.driver = Driver(
            watermark=story.watermark,
            next_offset=story.next_offset,
            window_size_ms=story.window_size_ms,
            lateness_ms=story.lateness_ms,
            max_future_ms=story.max_future_ms,
            late_policy=story.late_policy,
            detectors=(ConfiguredDetector("threshold", Threshold(story.limit)),),
        )
        self.now = 0
        self.closed: list[Closed] = []
        self.set_aside: list[SetAside] = []
        self.late = 0
        self.watermarks: list[int | None] = [self.driver.watermark]

    def tick(self, after_ms: int) -> None:
        """Move the clock."""
        self.now += after_ms
        if (closed := self.driver.tick(self.now)) is not None:
            self.closed.append(as_closed(closed))

    def read(self, records: list[Transaction]) -> None:
        """Read a batch."""
        accepted = self.driver.read(*records)
        self.late += accepted.late
        self.set_aside += accepted.set_aside
        self.watermarks.append(self.driver.watermark)

    def to_the_end(self, story: Story) -> Played:
        """Go through all of it, and on until every window has closed."""
        for step in story.steps:
            self.tick(step.after_ms)
            if isinstance(step, Batch):
                self.read(step.records)
        self.tick(LONG_AFTER)
        return self


def play(story: Story) -> Played:
    """Go through a story."""
    return Played(story).to_the_end(story)


def one_by_one(story: Story) -> Story:
    """The same story with every record in a batch of its own, at the same time."""
    steps: list[Batch | Tick] = []
    for step in story.steps:
        if not isinstance(step, Batch):
            steps.append(step)
            continue
        steps.append(Batch(step.after_ms, step.records[:1]))
        steps += [Batch(0, [record]) for record in step.records[1:]]
    return replace(story, steps=steps)


@settings(max_examples=200)
@given(STORIES)
def test_windows_are_those_of_the_oracle(story: Story) -> None:
    played = play(story)
    assert closed_windows(story, read_all(story), T0 + played.now) == played.closed


@QUICK
@given(STORIES)
def test_a_window_is_out_as_soon_as_it_is_over_and_not_before(story: Story) -> None:
    played = Played(story)
    for index, step in enumerate(story.steps):
        played.tick(step.after_ms)
        so_far = read_all(replace(story, steps=story.steps[:index]))
        assert closed_windows(story, so_far, T0 + played.now) == played.closed
        if isinstance(step, Batch):
            played.read(step.records)


@QUICK
@given(STORIES)
def test_what_is_set_aside_and_what_is_late_is_as_the_oracle_says(story: Story) -> None:
    played, reads = play(story), read_all(story)
    expected = [(read.offset, read.verdict) for read in reads if read.verdict is not None]
    assert expected == [(one.offset, one.reason) for one in played.set_aside]
    assert sum(read.late for read in reads) == played.late


@QUICK
@given(STORIES)
def test_every_record_and_all_its_money_is_in_one_window_or_set_aside(story: Story) -> None:
    played, reads = play(story), read_all(story)
    aside = {one.offset for one in played.set_aside}
    assert len(aside) == len(played.set_aside)
    assert len(reads) == len(aside) + sum(one.count for closed in played.closed for one in closed.sums.values())
    paid: dict[str, Fraction] = {}
    summed: dict[str, Fraction] = {}
    for read in reads:
        if read.offset not in aside:
            key = read.transaction.transaction_id
            paid[key] = paid.get(key, Fraction(0)) + exactly(read.transaction.amount)
    for closed in played.closed:
        for key, one in closed.sums.items():
            summed[key] = summed.get(key, Fraction(0)) + one.amount
    assert paid == summed


@QUICK
@given(STORIES)
def test_the_watermark_never_goes_back_and_is_the_greatest_event_time_minus_the_lateness(story: Story) -> None:
    story = one_by_one(story)
    played, reads = play(story), read_all(story)
    seen = [mark for mark in played.watermarks if mark is not None]
    assert sorted(seen) == seen
    assert None not in played.watermarks[len(played.watermarks) - len(seen) :]
    after_all = watermark_after(story, reads)
    assert after_all == (None if played.driver.watermark is None else T0 + played.driver.watermark)


@QUICK
@given(STORIES)
def test_a_batch_split_anywhere_gives_the_same(story: Story) -> None:
    whole, split = play(story), play(one_by_one(story))
    assert whole.closed == split.closed
    assert whole.set_aside == split.set_aside
    assert (whole.late, whole.watermarks[-1]) == (split.late, split.watermarks[-1])


@QUICK
@given(BATCHES.flatmap(lambda batch: st.tuples(st.just(batch.records), st.permutations(batch.records))))
def test_sums_and_counts_do_not_depend_on_the_order(orders: tuple[list[Transaction], list[Transaction]]) -> None:
    def sums(records: list[Transaction]) -> dict[str, tuple[Fraction, int, int]]:
        driver = Driver(max_future_ms=0)
        driver.read(*records)
        closed = driver.tick(10_000)
        found = as_closed(closed).sums if closed is not None else {}
        return {key: (one.amount, one.count, one.max_timestamp) for key, one in found.items()}

    assert sums(orders[0]) == sums(orders[1])


@QUICK
@given(STORIES, st.lists(RECORDS, min_size=1, max_size=4))
def test_taking_over_when_no_window_is_open_is_as_if_nothing_had_happened(
    story: Story, later: list[Transaction]
) -> None:
    stayed = play(story)
    successor = Played(replace(story, watermark=stayed.driver.watermark, next_offset=stayed.driver.task.next_offset))
    successor.tick(stayed.now)
    found = []
    for played in (stayed, successor):
        played.closed, played.set_aside = [], []
        played.read(later)
        played.tick(LONG_AFTER)
        found.append((played.closed, played.set_aside, played.driver.watermark))
    assert found[0] == found[1]
