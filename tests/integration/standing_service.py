"""The service with a consumer that hangs on request: `python -m tests.integration.standing_service`.

A line on standard input makes the next consume() wait as librdkafka waits after the wall clock was set back by two
hours: in C, for an absolute time of that clock, so that the main thread runs no signal handler. Ticks come ten times as
fast as they are meant to.
"""

import ctypes
import sys
import threading
import time
from typing import Any, Final, NoReturn, cast

from confluent_kafka import Consumer

from service.app.bootstrap import Service
from service.observe import log
from service.process import stderr
from service.process.stop import end_at_once_by_signals, end_process, stopped_by_signals
from service.settings import load

TICK_S: Final = 0.1
BACK_S: Final = 7_200
ROOM: Final = 256
"""More bytes than a mutex or a condition has; all zeros, they are initialised."""


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class StandingConsumer:
    """A consumer whose consume() does not come back."""

    def __init__(self, consumer: Consumer, stand: threading.Event) -> None:
        """Wrap the real one."""
        self._consumer = consumer
        self._stand = stand

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._consumer, name)

    def consume(self, count: int, timeout_s: float) -> Any:  # noqa: ANN401
        """As the real one does, until the test asks it to hang."""
        if self._stand.is_set():
            wait_for_the_clock(time.time() + BACK_S)
        return self._consumer.consume(count, timeout_s)


def wait_for_the_clock(until_s: float) -> None:
    """What librdkafka does: pthread_cond_timedwait() on the real-time clock; no signal ends it."""
    libc = ctypes.CDLL(None)
    condition, mutex = (ctypes.create_string_buffer(ROOM) for _ in range(2))
    libc.pthread_mutex_lock(mutex)
    libc.pthread_cond_timedwait(condition, mutex, ctypes.byref(_Time(int(until_s), 0)))


def main() -> NoReturn:
    """Run the service as its own command does."""
    end_at_once_by_signals()
    stderr.install()
    stand = threading.Event()

    def wait_for_a_line() -> None:
        if sys.stdin.readline():
            stand.set()

    threading.Thread(target=wait_for_a_line, daemon=True).start()
    settings = load(None).settings
    log.configure(settings.log.level, "json")

    def consumer(config: dict[str, Any]) -> Consumer:
        return cast("Consumer", StandingConsumer(Consumer(config), stand))

    with stopped_by_signals(TICK_S) as stop:
        code = Service(settings, stop, consumer=consumer).run()
    end_process(code)


if __name__ == "__main__":
    main()
