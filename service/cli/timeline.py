"""The timeline command: read what is needed, and draw it."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, KafkaError

from service.app.clients import construct, reader_config
from service.history.records import StoredRecord
from service.history.timeline.collect import Span, collect
from service.kafka.classify import settings_refused
from service.kafka.history import HistoryReader
from service.loop.errors import KafkaProblem, Retriable
from service.process.stop import Stop
from service.settings import Settings, SettingsError

REACH_S: Final = 15.0
"""How long to wait for a broker."""
SAY_EVERY_S: Final = 1.0


def timeline(settings: Settings, stop: Stop, *, from_ms: int, to_ms: int, most: int, output: Path) -> int:
    """Draw the records of a span with their windows; returns the exit code.

    Raises:
        SettingsError: matplotlib is not installed, it can't draw such a file, or the properties do not fit the broker.
    """
    try:
        from service.history.timeline.draw import FORMATS, draw  # noqa: PLC0415 - an extra
    except ImportError:
        raise SettingsError("timeline needs matplotlib: pip install 'txwatch[timeline]'") from None
    if output.suffix not in FORMATS:
        raise SettingsError(f"--output {output}: its name must end with one of {', '.join(FORMATS)}")
    logging.getLogger("librdkafka").setLevel(logging.CRITICAL)
    history = _History(settings, stop)
    try:
        picture = collect(
            history.read,
            Span(from_ms, to_ms, most),
            transactions=settings.topics.transactions,
            results={topic: anomalous for topic, anomalous in _results(settings) if topic},
            lateness_ms=settings.watermark.lateness_ms,
        )
        if stop.asked():
            return 0
        if not picture.points:
            raise Retriable(f"topic {settings.topics.transactions} has no transactions in that span")
        draw(picture, output)
        print(f"{output}: {len(picture.points)} transactions, {len(picture.bars)} windows", flush=True)  # noqa: T201
    except (KafkaProblem, OSError) as problem:
        print(f"txwatch: {problem}", file=sys.stderr)  # noqa: T201
        return 1
    finally:
        history.close()
    return 0


def _results(settings: Settings) -> list[tuple[str, bool]]:
    """Alerts last: where a window is in both, its alert is shown."""
    return [(settings.topics.aggregates, False), (settings.topics.alerts, True)]


class _History:
    """Reads topics, waiting for a broker for a while, and says on a terminal how far it is."""

    def __init__(self, settings: Settings, stop: Stop) -> None:
        self._errors: deque[KafkaError] = deque(maxlen=100)
        config = reader_config(settings, "timeline", self._errors.append)
        self._reader = HistoryReader(construct(Consumer, config))
        self._stop = stop
        self._said_s = time.monotonic()

    def read(self, topic: str, from_ms: int) -> Iterator[StoredRecord]:
        began_s = time.monotonic()
        number = 0
        while True:
            try:
                for number, record in enumerate(self._reader.read(topic, from_ms, self._going), 1):
                    self._say(topic, number)
                    yield record
            except Retriable as problem:
                for error in self._errors:
                    if settings_refused(error):
                        raise SettingsError(f"KAFKA_PROPERTIES: {error.str()}") from None
                if number or time.monotonic() - began_s > REACH_S or "UNKNOWN_TOPIC" in str(problem):
                    raise
                self._stop.event.wait(0.25)
            else:
                return

    def _going(self) -> bool:
        return not self._stop.asked()

    def _say(self, topic: str, number: int) -> None:
        if sys.stderr.isatty() and time.monotonic() - self._said_s >= SAY_EVERY_S:
            self._said_s = time.monotonic()
            print(f"{topic}: {number} records read", file=sys.stderr)  # noqa: T201

    def close(self) -> None:
        self._reader.close()
