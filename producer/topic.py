"""Waiting for the topic before anything is sent: the schedule must not begin while nothing can be delivered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from producer.ports import Clock, Sink, TopicState
from producer.replay import NS_PER_S
from producer.report import Say

ASK_S: Final = 1.0
ASK_AGAIN_S: Final = 0.1
TOPIC_WAIT_NS: Final = 10 * NS_PER_S
"""How long to wait for a topic that somebody may be about to create."""


class TopicMissingError(Exception):
    """The brokers don't know the topic; nothing was sent."""


def await_topic(sink: Sink, clock: Clock, broker_wait_ns: int, say: Say, tick: Callable[[], None]) -> None:
    """Return when the topic is there or no broker has answered for ``broker_wait_ns``, or when it is of no use to wait.

    Raises:
        TopicMissingError: brokers answer and don't know it for `TOPIC_WAIT_NS`.
    """
    began_ns = clock.monotonic_ns()
    missing_since_ns: int | None = None
    while clock.going() and not sink.broken:
        state = sink.topic_state(ASK_S)
        now_ns = clock.monotonic_ns()
        if state is TopicState.THERE:
            return
        if state is TopicState.NO_ANSWER and now_ns - began_ns >= broker_wait_ns:
            say("no broker has answered so far: rows are queued until one does, or their time is up")
            return
        if state is TopicState.MISSING:
            missing_since_ns = now_ns if missing_since_ns is None else missing_since_ns
            if now_ns - missing_since_ns >= TOPIC_WAIT_NS:
                raise TopicMissingError(f"the brokers know no such topic, after {TOPIC_WAIT_NS // NS_PER_S} s")
        tick()
        clock.wait(ASK_AGAIN_S)
