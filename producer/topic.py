"""The wait for the topic: the schedule must not start while nothing can be delivered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from producer.ports import Clock, Say, Sink, TopicState
from producer.replay import NS_PER_S

ASK_S: Final = 1.0
ASK_AGAIN_S: Final = 0.1
TOPIC_WAIT_NS: Final = 10 * NS_PER_S
"""How long to wait for a topic that another program may be about to create."""


class TopicMissingError(Exception):
    """The brokers do not know the topic; nothing was sent."""


def await_topic(sink: Sink, clock: Clock, broker_wait_ns: int, say: Say, tick: Callable[[], None]) -> None:
    """Return when the topic exists, when no broker has answered for ``broker_wait_ns``, or at a stop.

    Raises:
        TopicMissingError: brokers answer, and have not known the topic for `TOPIC_WAIT_NS`.
        ConfigError: brokers and properties do not fit together.
    """
    began_ns = clock.monotonic_ns()
    missing_since_ns: int | None = None
    while clock.going() and not sink.broken:
        state = sink.topic_state(ASK_S)
        now_ns = clock.monotonic_ns()
        if state is TopicState.EXISTS:
            return
        if state is TopicState.NO_ANSWER and now_ns - began_ns >= broker_wait_ns:
            say("no broker has answered so far: rows are queued until one answers or the rows expire")
            return
        if state is TopicState.MISSING:
            missing_since_ns = now_ns if missing_since_ns is None else missing_since_ns
            if now_ns - missing_since_ns >= TOPIC_WAIT_NS:
                raise TopicMissingError(f"the brokers do not know this topic, after {TOPIC_WAIT_NS // NS_PER_S} s")
        tick()
        clock.wait(ASK_AGAIN_S)
