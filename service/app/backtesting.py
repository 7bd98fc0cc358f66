"""Backtests: the service's own decoder, rules and detectors over a CSV, or over a span of the input topic."""

from __future__ import annotations

import gc
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from confluent_kafka import Consumer, KafkaError

from service.app.bootstrap import GC_THRESHOLD, now_ms
from service.app.clients import construct, span_config
from service.app.csv_file import CsvFile
from service.app.detectors import configured, detail_for, rules_hash
from service.app.from_settings import task_rules
from service.app.input import make_decoder
from service.app.waiting import StoppedWaiting, wait_for_broker
from service.core.detectors import ConfiguredDetector
from service.core.detectors.inactivity import Inactivity
from service.core.memory.alerts import Alert
from service.core.model import ClockName, LatePolicy, Partition, WallTimeMs
from service.core.rules import TaskRules
from service.history.backtest.difference import Difference
from service.history.backtest.report import Report
from service.history.backtest.side import Side
from service.history.backtest.span import Span, TopicRun
from service.history.csv_windows import CsvWindows
from service.history.training.examples import bad_rows
from service.kafka.span_reader import SpanReader
from service.loop.errors import Retriable
from service.process.stop import Stop
from service.settings import Settings
from service.wire.feeding import LOG_APPEND_TIME, append_time

REACH_S: Final = 15.0
"""How long to wait for a broker."""
APPEND_SLACK_MS: Final = 60_000
"""So much later than the span's end, append times do not come back to it, even after a change of the leader."""
ONLY: Final = Partition(0)
"""A CSV is one partition."""
Show = Callable[[int, int | None, int], None]
"""Shows the progress: how much is done, of how much, and the number of records."""


def _nothing(_alert: Alert) -> None:
    pass


class Backtest:
    """One or two configurations, and the report that grows while they judge."""

    def __init__(
        self,
        settings: Settings,
        against: Settings | None,
        *,
        labelled: bool,
        budget: float | None,
        write: Callable[[bytes], None] | None,
    ) -> None:
        """``write`` gets the payload of each alert of ``settings``.

        Raises:
            SettingsError: a detector, or the input's mapping, cannot be used.
        """
        self._settings = [settings] if against is None else [settings, against]
        self._notes: list[str] = []
        difference = None if against is None else Difference()
        self._detectors = [self._can_be_judged(one) for one in self._settings]
        sides = [
            Side(
                self._detectors[number],
                one.topics.transactions,
                rules=rules_hash(one),
                forget_after_ms=one.detect.forget_after_ms,
                labelled=labelled,
                scored=budget is not None and not number,
                write=None if number else write,
                on_alert=_nothing if difference is None else (difference.old if number else difference.new),
            )
            for number, one in enumerate(self._settings)
        ]
        self._sides = sides
        self._labelled = labelled
        self.report: Final = Report(
            "",
            sides[0],
            settings.window.size_ms,
            against=sides[1] if len(sides) > 1 else None,
            difference=difference,
            budget=budget,
            notes=self._notes,
        )

    def _can_be_judged(self, settings: Settings) -> list[ConfiguredDetector]:
        """The detectors but those that judge by the wall clock."""
        found = []
        for one in configured(settings):
            if isinstance(one.detector, Inactivity) and one.detector.clock == "wall":
                self._note(f"Detector {one.name} judges by the wall clock, which cannot be replayed: it is left out.")
            else:
                found.append(one)
        return found

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)

    def note(self, text: str) -> None:
        """Add a note to the report."""
        self._note(text)

    # ---- a CSV ----------------------------------------------------------------------------------------------

    def over_csv(self, csv: CsvFile, label: str | None, show: Show, stop: Stop) -> None:
        """Judge the windows of a CSV.

        Raises:
            SettingsError: the file cannot be read.
            DetectorError: a detector raised an exception.
        """
        report = self.report
        report.source = csv.name
        runs = [
            (CsvWindows(self._csv_rules(number), side.memory(ONLY), side.quality.bad_record), side)
            for number, side in enumerate(self._sides)
        ]
        window_ms = report.window_ms
        for windows, side in runs:
            side.rejected = windows.tally.rejected
        with _quiet_collector():
            for chunk in csv.chunks():
                self._unusable("malformed", len(chunk.rejects))
                self._unusable("with an empty cell", len(chunk.skipped))
                rows = chunk.rows
                if rows:
                    bad, odd = bad_rows(rows.extra[0]) if self._labelled else (set(), 0)
                    self._unusable(f"whose {label} is neither 1, true, 0, false nor empty", odd)
                    last_ms = WallTimeMs(max(rows.timestamps_ms))
                    first_ms = min(rows.timestamps_ms)
                    report.saw(first_ms - first_ms % window_ms, last_ms - last_ms % window_ms + window_ms)
                    report.records += len(rows)
                    for windows, side in runs:
                        closed = windows.read(rows.transaction_ids, rows.timestamps_ms, rows.amounts, bad)
                        side.judge(ONLY, windows.task, closed, last_ms)
                        side.late = windows.tally.late
                show(*csv.progress, report.records)
            if stop.asked():
                return
            for windows, side in runs:
                side.judge(ONLY, windows.task, windows.end(), WallTimeMs(report.last_ms or 0))

    def _unusable(self, what: str, count: int) -> None:
        if count:
            self.report.unusable[what] = self.report.unusable.get(what, 0) + count

    def _csv_rules(self, number: int) -> TaskRules:
        settings = self._settings[number]
        if settings.window.clock is not ClockName.EVENT:
            self._note(
                f"Windows are of event time instead of WINDOW_CLOCK={settings.window.clock.value}: a file does not say"
                " when its rows came."
            )
            if settings.late.policy is LatePolicy.INCLUDE:
                self._note("A late row whose window has closed is left out, as by LATE_POLICY=divert.")
        return task_rules(settings, detail_for(self._detectors[number]))

    # ---- a span of the topic --------------------------------------------------------------------------------

    def over_topic(self, span: Span, show: Show, stop: Stop) -> None:
        """Judge the windows of a span of the input topic.

        Raises:
            SettingsError: the broker and KAFKA_PROPERTIES do not fit together.
            Retriable: the broker does not answer.
            Fatal: the broker refuses, or there is no such topic.
            DetectorError: a detector raised an exception.
        """
        settings, report = self._settings[0], self.report
        topic = settings.topics.transactions
        report.source = f"topic {topic}"
        logging.getLogger("librdkafka").setLevel(logging.CRITICAL)  # the callback gets the same errors
        errors: deque[KafkaError] = deque(maxlen=100)
        reader = SpanReader(construct(Consumer, span_config(settings, "backtest", errors.append)))
        try:
            self._reach(reader, span, stop, errors)
            runs = [
                TopicRun(side, self._topic_rules(number), make_decoder(one), warm_up=span.begin_ms < span.from_ms)
                for number, (side, one) in enumerate(zip(self._sides, self._settings, strict=True))
            ]
            with _quiet_collector():
                self._read(reader, span, runs, show, stop)
        except StoppedWaiting:
            return
        finally:
            reader.close()

    def _reach(self, reader: SpanReader, span: Span, stop: Stop, errors: deque[KafkaError]) -> None:
        kafka, topic = self._settings[0].kafka, self._settings[0].topics.transactions
        line = ""

        def waiting(why: str) -> None:
            nonlocal line
            line = f"waiting for {topic} on {kafka.bootstrap_servers}: {why}"

        try:
            wait_for_broker(partial(reader.start, topic, span.begin_ms), stop, errors, waiting=waiting, limit_s=REACH_S)
        except Retriable as problem:
            raise Retriable(line) from problem

    def _read(self, reader: SpanReader, span: Span, runs: list[TopicRun], show: Show, stop: Stop) -> None:
        report, began_ms = self.report, now_ms()
        done = dict(reader.starts)
        by_append_time = True
        seen: list[int] = []
        for partition, records in ((one.partition, one.messages) for one in reader.read(lambda: not stop.asked())):
            if records:
                times = [append_time(record, began_ms) for record in records]
                by_append_time = by_append_time and records[0].timestamp()[0] == LOG_APPEND_TIME
                for part, its_times, reported in span.runs(records, times):
                    for run in runs:
                        run.feed(partition, part, its_times, report=reported)
                    if reported:
                        report.records += len(part)
                        seen = [min(*seen, *its_times), max(*seen, *its_times)]
                done[partition] = records[-1].offset()
                if span.to_ms is not None and by_append_time and times[-1] >= span.to_ms + APPEND_SLACK_MS:
                    reader.finish(partition)
            show(sum(done.values()) - sum(reader.starts.values()), reader.total, report.records)
        self._set_span(span, seen, older=reader.has_older, now=began_ms)
        if not by_append_time and any(one.window.clock is not ClockName.EVENT for one in self._settings):
            self._note("The topic has no LogAppendTime: windows are by the records' own Kafka timestamps.")
        if not stop.asked():
            for run in runs:
                run.end_all(reader.ends, now_ms(), span.to_ms)

    def _set_span(self, span: Span, seen: list[int], *, older: bool, now: int) -> None:
        """The span is as it was asked for, as far as the topic reaches."""
        if not seen:
            return
        window_ms = self.report.window_ms
        first_ms, last_ms = seen[0] - seen[0] % window_ms, seen[1] - seen[1] % window_ms + window_ms
        if older or span.begin_ms < span.from_ms:
            first_ms = span.from_ms
        if span.to_ms is not None:
            last_ms = min(span.to_ms, now)
        self.report.saw(first_ms, last_ms)

    def _topic_rules(self, number: int) -> TaskRules:
        settings = self._settings[number]
        rules = task_rules(settings, detail_for(self._detectors[number]))
        if rules.clock is ClockName.PROCESSING:
            self._note(
                "Windows are by append time instead of WINDOW_CLOCK=processing: the time when the service read a record"
                " is not known any more."
            )
            rules = replace(rules, clock=ClockName.INGESTION)
        if rules.clock is ClockName.EVENT and rules.flush_after_ms:
            self._note("WINDOW_EVENT_FLUSH_AFTER_MS counts from the Kafka timestamps of the records.")
        return replace(rules, future_by_append_time=True)


class _quiet_collector:  # noqa: N801 - used as a function
    """Lets the garbage collector look seldom: records make no cycles."""

    def __enter__(self) -> None:
        self._before = gc.get_threshold()
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)

    def __exit__(self, *_: object) -> None:
        gc.set_threshold(*self._before)
        gc.unfreeze()
