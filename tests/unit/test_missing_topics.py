"""When a long wait looks for the topics, and what it concludes from the answers."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from service.kafka.guards.missing_topics import EVERY_S, LIMIT, MissingTopicWatch
from service.loop.output_topics import OutputTopics


class Waiting:
    """A watch whose clock the test moves."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.lost: str | None = None
        self.asked = 0
        self.search = MissingTopicWatch(self._missing_topic, lambda: self.now_s)

    def _missing_topic(self) -> str | None:
        self.asked += 1
        self.now_s += 0.5  # the answer takes its time
        return self.lost

    def look_after(self, seconds: float) -> str | None:
        """Wait, and look."""
        self.now_s += seconds
        return self.search.look()


def test_it_asks_only_now_and_then_and_never_at_once() -> None:
    waiting = Waiting()
    assert [None] * 3 == [waiting.look_after(EVERY_S / 3 - 0.01) for _ in range(3)]
    assert 0 == waiting.asked
    waiting.look_after(0.1)
    waiting.look_after(EVERY_S - 0.1)
    assert 1 == waiting.asked
    waiting.look_after(0.1)
    assert 2 == waiting.asked


def test_a_topic_is_gone_when_so_many_answers_in_a_row_say_so() -> None:
    waiting = Waiting()
    waiting.lost = "alerts"
    assert [None] * (LIMIT - 1) == [waiting.look_after(EVERY_S) for _ in range(LIMIT - 1)]
    waiting.lost = None
    assert waiting.look_after(EVERY_S) is None
    waiting.lost = "alerts"
    assert [None] * (LIMIT - 1) + ["alerts"] == [waiting.look_after(EVERY_S) for _ in range(LIMIT)]


def test_all_topics_that_something_goes_to_are_looked_for() -> None:
    assert ["a", "b", "c", "d"] == OutputTopics("a", "b", "c", "d", 1, 1, 1).names
    assert ["a", "d"] == OutputTopics("a", "", "", "d", 1, 1, 1).names
    assert ["a", "d", "h", "s"] == OutputTopics("a", "", "", "d", 1, 1, 1, state="s", shadow="h").names
