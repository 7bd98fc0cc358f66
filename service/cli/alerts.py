"""The alerts command: read the alerts topic and print."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

from confluent_kafka import Consumer, KafkaError

from service.app.clients import construct, reader_config
from service.kafka.alerts import AlertsReader
from service.kafka.classify import settings_refused
from service.loop.errors import KafkaProblem, Retriable
from service.process.stop import Stop
from service.settings import Settings, SettingsError
from service.wire.alerts import AlertPayload

WAIT_S: Final = 0.25
SAY_EVERY_S: Final = 5.0
REACH_S: Final = 15.0
"""Without --follow there is no point in waiting for ever for a broker."""


def print_alerts(
    settings: Settings,
    stop: Stop,
    *,
    follow: bool,
    from_beginning: bool,
    maximum: int | None,
    form: str,
    say: Callable[[str], None],
) -> int:
    """Say each alert, one a line; returns the exit code."""
    errors: deque[KafkaError] = deque(maxlen=100)
    logging.getLogger("librdkafka").setLevel(logging.CRITICAL)
    config = reader_config(settings, "alerts", errors.append)
    reader = AlertsReader(construct(Consumer, config), settings.topics.alerts)
    try:
        _start_reading(reader, settings, stop, errors, follow=follow, from_beginning=from_beginning)
        values = reader.read(follow=follow, keep_going=lambda: not stop.asked())
        for line in islice(_lines(values, settings.topics.alerts, form), maximum):
            say(line)
    except KafkaProblem as problem:
        print(f"txwatch: {problem}", file=sys.stderr)  # noqa: T201
        return 1
    finally:
        reader.close()
    return 0


def _lines(values: Iterable[bytes], topic: str, form: str) -> Iterator[str]:
    """Each alert in its form. What somebody else has written there is told and passed over."""
    for value in values:
        try:
            alert = AlertPayload.from_json(value)
        except (ValueError, RecursionError):
            print(f"txwatch: passed over a record of {topic} that is no alert", file=sys.stderr)  # noqa: T201
        else:
            yield value.decode() if form == "json" else alert.text()


def _start_reading(
    reader: AlertsReader,
    settings: Settings,
    stop: Stop,
    errors: deque[KafkaError],
    *,
    follow: bool,
    from_beginning: bool,
) -> None:
    began_s = said_s = time.monotonic()
    while not stop.asked():
        try:
            reader.start(from_beginning=from_beginning)
        except Retriable as problem:
            for error in errors:
                if settings_refused(error):
                    raise SettingsError(f"KAFKA_PROPERTIES: {error.str()}") from None
            why = errors[-1].str() if errors else str(problem)
            line = f"waiting for {settings.topics.alerts} on {settings.kafka.bootstrap_servers}: {why}"
            if not follow and time.monotonic() - began_s > REACH_S:
                raise Retriable(line) from problem
            if time.monotonic() - said_s >= SAY_EVERY_S:
                said_s = time.monotonic()
                print(f"txwatch: {line}", file=sys.stderr)  # noqa: T201
            # A topic that does not exist yet will hold only what comes from now on.
            from_beginning = from_beginning or not errors
            stop.event.wait(WAIT_S)
        else:
            return
