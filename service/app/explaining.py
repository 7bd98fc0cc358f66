"""Explains an alert: finds it, and reads the records behind it again."""

from __future__ import annotations

import json
import logging
from collections import deque
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError

from service.app.bootstrap import now_ms
from service.app.clients import construct, span_config
from service.app.detectors import configured, detail_for, rules_hash
from service.app.from_settings import task_rules
from service.app.input import make_decoder
from service.app.reading import WaitingDecoder
from service.app.waiting import wait_for_broker
from service.core.model import ClockName, Offset, Partition
from service.history.backtest.side import Side
from service.history.backtest.span import TopicRun
from service.history.explain import Explanation
from service.history.today import Today
from service.kafka.span_reader import SpanReader
from service.loop.errors import Fatal, Retriable
from service.process.stop import Stop
from service.settings import Settings
from service.wire.alerts import AlertPayload
from service.wire.feeding import append_times

REACH_S: Final = 15.0
"""How long to wait for a broker or a schema registry."""


class Explainer:
    """Reads topics without a group; close() when done."""

    def __init__(self, settings: Settings, stop: Stop) -> None:
        """Construct the client, which connects in the background.

        Raises:
            SettingsError: KAFKA_PROPERTIES has something that the client does not know, or the input's settings do
                not fit together.
        """
        self._decoder = WaitingDecoder(make_decoder(settings), stop, REACH_S)
        logging.getLogger("librdkafka").setLevel(logging.CRITICAL)  # the callback gets the same errors
        self._settings = settings
        self._stop = stop
        self._errors: deque[KafkaError] = deque(maxlen=100)
        self._reader = SpanReader(construct(Consumer, span_config(settings, "explain", self._errors.append)))

    def find(self, alert_id: str) -> AlertPayload | None:
        """The alert of this id, in the topic of alerts or of shadow alerts; None where there is none.

        Raises:
            KafkaProblem: the broker does not answer, or refuses.
        """
        wanted = alert_id.encode()
        topics = self._settings.topics
        for topic in (topics.alerts, topics.shadow):
            with suppress(_Missing):
                self._start(topic, partial(self._reader.start, topic, 0))
                for records in self._reader.read(lambda: not self._stop.asked()):
                    for record in records.messages:
                        value = record.value()
                        if value is None or wanted not in value:
                            continue
                        with suppress(ValueError):  # another program's record
                            found = AlertPayload.from_json(value)
                            if found.alert_id == alert_id:
                                return found
        return None

    def explain(self, alert: AlertPayload) -> Explanation:
        """Read the records behind an alert.

        Raises:
            KafkaProblem: the broker does not answer, or refuses.
            DetectorError: the detector raised an exception.
        """
        settings = self._settings
        named = [one for one in configured(settings) if one.name == alert.detector]
        found = Explanation(
            alert,
            self._decoder,
            settings.watermark.lateness_ms,
            settings.watermark.max_future_ms,
            settings.late.policy,
            Today(named[0] if named else None, rules_hash(settings)),
        )
        topic, partition, began_ms = alert.source.topic, Partition(alert.source.partition), now_ms()
        self._start(topic, partial(self._reader.start_partition, topic, partition, found.begin))
        for records in self._reader.read(lambda: not self._stop.asked()):
            if records.messages:
                found.take(records.messages, began_ms)
                if found.finished(records.messages[-1].offset()):
                    break
        if found.whole_topic and found.broken_by is None:
            self._read_others(found, partition)
        found.judge_alone()
        if not found.expired and not found.silence and found.finding is None and _depends_on_earlier(found):
            self._judge_again(found, partition)
        return found

    def _read_others(self, found: Explanation, own: Partition) -> None:
        """Read the other partitions from the silence's begin on."""
        topic, began_ms = found.alert.source.topic, now_ms()
        self._start(topic, partial(self._reader.start, topic, found.alert.window.start))
        self._reader.finish(own)
        for records in self._reader.read(lambda: not self._stop.asked()):
            if records.messages:
                found.take_of_others(records.partition, records.messages, began_ms)

    def _judge_again(self, found: Explanation, partition: Partition) -> None:
        """Let the detector judge all windows up to the alert's, from the partition's first record on."""
        settings, alert = self._settings, found.alert
        detectors = [one for one in (found.today.configured,) if one is not None]
        found.not_judged = self._cannot_judge(alert, there=bool(detectors))
        if found.not_judged is not None:
            return
        again: list[dict[str, Any]] = []

        def keep(line: bytes) -> None:
            if alert.alert_id.encode() in line:
                again.append(json.loads(line, parse_float=Decimal))

        side = Side(
            detectors,
            alert.source.topic,
            rules=found.today.rules,
            forget_after_ms=settings.detect.forget_after_ms,
            write=keep,
        )
        rules = replace(task_rules(settings, detail_for(detectors)), future_by_append_time=True)
        run = TopicRun(side, rules, self._decoder, warm_up=False)
        topic, began_ms = alert.source.topic, now_ms()
        self._start(topic, partial(self._reader.start_partition, topic, partition, Offset(0)))
        first = self._reader.starts[partition]
        for records in self._reader.read(lambda: not self._stop.asked()):
            if records.messages:
                times = append_times(records.messages, began_ms)
                run.feed(partition, records.messages, times, report=True)
            if again:
                break
        else:
            run.end_all(self._reader.ends, now_ms(), None)
        if again:
            found.judged_again = again[0]
        elif first > 0:
            found.not_judged = f"The baseline cannot be computed again: records before offset {first} have expired."
        else:
            found.not_judged, found.refuted = (
                "From the partition's first record on, the detector does not find it again.",
                True,
            )

    def _cannot_judge(self, alert: AlertPayload, *, there: bool) -> str | None:
        """Why the detector cannot judge again; None where it can."""
        window = self._settings.window
        if not there:
            return f"There is no detector {alert.detector} in the settings, so it cannot judge again."
        if window.clock is ClockName.PROCESSING or alert.window.clock != window.clock.value:
            return "The baseline cannot be computed again: earlier windows of processing time are not known."
        if alert.window.end - alert.window.start != window.size_ms:
            return "WINDOW_SIZE_MS is another one now, so the detector cannot judge the same windows again."
        return None

    def _start(self, topic: str, attempt: Any) -> None:  # noqa: ANN401 - a call without arguments
        line = ""

        def waiting(why: str) -> None:
            nonlocal line
            line = f"waiting for {topic} on {self._settings.kafka.bootstrap_servers}: {why}"

        try:
            wait_for_broker(attempt, self._stop, self._errors, waiting=waiting, limit_s=REACH_S)
        except Retriable as problem:
            raise Retriable(line) from problem
        except Fatal as problem:
            if "there is no topic" in str(problem):
                raise _Missing(str(problem)) from problem
            raise

    def close(self) -> None:
        """Disconnect."""
        self._reader.close()


def _depends_on_earlier(found: Explanation) -> bool:
    """Whether the alert depends on earlier windows of its id."""
    alert = found.alert
    return bool(
        alert.baseline or alert.status == "resolved" or (alert.features and not found.today.judges_alone(alert))
    )


class _Missing(Fatal):
    """There is no such topic."""
