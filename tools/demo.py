"""The demo: a real broker, the service, a replay of a CSV file, and each alert as it comes.

Usage: `python -m tools.demo CALLER [OPTION…]`; the options are `tools.options`'.
"""

import contextlib
import json
import queue
import shlex
import sys
import time
import zoneinfo
from pathlib import Path
from typing import Final

from brokerkit.broker import Broker
from brokerkit.jars import KAFKA_VERSION, BrokerError
from tools.broker import run_broker
from tools.children import Child, DemoError, Service, how_it_ended
from tools.command import say
from tools.options import EXAMPLE, Options, parse
from tools.screen import Screen
from tools.setup import ROOT
from tools.signals import Stopped, stopped_by_signals
from tools.time_line import TimeLine
from tools.topic_rows import TopicRows, lateness_ms, next_boundary_ms, window_size_ms

WRONG_INPUT: Final = 2
SETTLE_S: Final = 0.5
PATIENCE_S: Final = 30.0


class Demo:
    """The demo's programs, and what it has read of them so far.

    Args:
        options: what was asked for.
        screen: where it is shown.
        broker: a running broker.
        service: a service that is ready.
        alerts: a running reader of the alerts topic.
    """

    def __init__(self, options: Options, screen: Screen, broker: Broker, service: Service, alerts: Child) -> None:
        self.options = options
        self.screen = screen
        self.broker = broker
        self.service = service
        self.alerts = alerts
        self.rows = TopicRows(broker.bootstrap_servers, options.timezone)
        self.printed = 0
        self._window_end_ms = 0
        self._next_look = 0.0

    def turn(self) -> None:
        """Shows what is new; takes about 50 ms.

        Raises:
            DemoError: something that must run has died.
        """
        if not self.broker.alive():
            raise DemoError(f"the broker died: {self.broker.last_error()}")
        self.service.check()
        self.alerts.check()
        with contextlib.suppress(queue.Empty):
            while True:
                self.screen.alert(self.alerts.lines.get_nowait())
                self.printed += 1
        rows = self.rows.read(0.05)
        self._close_window()  # it may have ended meanwhile, and these rows are in the next
        for row in rows:
            self._window_end_ms = self._window_end_ms or next_boundary_ms()
            self.screen.row(row)
        if self.screen.is_live and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + 0.25
            self.screen.show(
                TimeLine(
                    watermark_ms=self._watermark_ms(),
                    now_ms=time.time() * 1000,
                    closes_ms=next_boundary_ms(),
                    window_ms=window_size_ms(),
                    lateness_ms=lateness_ms(),
                    is_open=self._window_end_ms > 0,
                    local_time=self.rows.local_time,
                )
            )

    def _close_window(self) -> None:
        """Says that a window with records has closed."""
        if self._window_end_ms and time.time() * 1000 >= self._window_end_ms:
            self.screen.window_closes(self._window_end_ms)
            self._window_end_ms = 0

    def _watermark_ms(self) -> float | None:
        lines = self.service.metric("txwatch_watermark_timestamp_seconds")
        return max((float(line.rpartition(" ")[2]) * 1000 for line in lines), default=None)

    def replay(self) -> int:
        """Replays the file; returns how many rows were delivered.

        Raises:
            DemoError: the replay failed.
            WrongInputError: the file is not what the replay takes.
        """
        arguments = ["replay", str(self.options.csv), "--timezone", self.options.timezone, "--align", "--no-progress"]
        settings = {"KAFKA_BOOTSTRAP_SERVERS": self.broker.bootstrap_servers}
        with Child("replay", ["-m", "producer", *arguments], settings) as producer:
            while producer.exit_code is None:
                self.turn()
            code = producer.finish()
            if code == WRONG_INPUT:
                raise WrongInputError(producer.last_complaint())
            if code:
                raise DemoError(f"the replay {how_it_ended(code)}; its last line: {producer.last_complaint()}")
            for complaint in producer.complaints:
                self.screen.note(complaint)
            summary = json.loads(list(_drain(producer))[-1])
            return int(summary["delivered"])

    def settle(self, delivered: int) -> None:
        """Goes on until every record was read, every window is closed and every alert was printed.

        Raises:
            DemoError: that takes too long.
        """
        earliest_s = next_boundary_ms() / 1000 + SETTLE_S
        while time.time() < earliest_s or not self._is_settled(delivered):
            if time.time() > earliest_s + PATIENCE_S:
                raise DemoError(f"the service did not settle: {self.service.last_complaint()}")
            self.turn()

    def _is_settled(self, delivered: int) -> bool:
        return (
            self.service.total("txwatch_records_total") >= delivered
            and self.service.total("txwatch_consumer_lag_records") == 0
            and self.service.total("txwatch_open_windows") == 0
            and self.service.total("txwatch_anomalies_total") <= self.printed
        )


class WrongInputError(DemoError):
    """The user's file can't be replayed."""


def _drain(child: Child) -> list[str]:
    lines = []
    with contextlib.suppress(queue.Empty):
        while True:
            lines.append(child.lines.get_nowait())
    return lines


def run(options: Options) -> None:
    """Runs the demo.

    Raises:
        BrokerError: there is no broker.
        DemoError: something else went wrong.
        Stopped: a signal asked for an end.
    """
    screen = Screen()
    with contextlib.ExitStack() as stack:
        screen.title()
        broker = stack.enter_context(Broker(port=options.port))
        screen.fact("broker", f"Apache Kafka {KAFKA_VERSION} at {broker.bootstrap_servers}")
        settings = {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "KAFKA_INSTANCE_ID": "demo"}
        service = stack.enter_context(Service(settings))
        service.wait_until_ready()
        screen.fact("service", f"python -m service, its metrics at http://{service.address}/metrics")
        screen.fact("page", f"http://{service.address}/ shows it live, as long as it runs")
        reader = ["-m", "service", "alerts", "--follow", "--from-beginning", "--format", "text"]
        alerts = stack.enter_context(Child("reader of alerts", reader, settings))
        demo = Demo(options, screen, broker, service, alerts)
        stack.callback(demo.rows.close)
        screen.fact("replay", f"{_shown(options.csv)} ({options.timezone}), at the pace of its own timestamps")
        screen.explain(window_size_ms())
        stack.enter_context(screen.live())
        delivered = demo.replay()
        screen.replayed(delivered)
        demo.settle(delivered)
        screen.metrics(
            service.metric("txwatch_watermark_timestamp_seconds") + service.metric("txwatch_anomalies_total"),
            demo.rows.local_time,
        )
        if not options.keep:
            screen.next_steps()
            return
        screen.keep(
            broker.bootstrap_servers,
            service.address,
            f"{shlex.quote(_shown(options.csv))} --timezone {options.timezone}",
        )
        with contextlib.suppress(Stopped):
            while True:
                demo.turn()


def _shown(file: Path) -> str:
    return str(file.relative_to(ROOT)) if file == EXAMPLE else str(file)


def main(caller: str, arguments: list[str]) -> int:
    """Runs what was asked for; returns the exit code."""
    options = parse(arguments, Path(caller))
    if options.broker_only:
        return run_broker(options.port)
    try:
        zoneinfo.ZoneInfo(options.timezone)
    except (ValueError, zoneinfo.ZoneInfoNotFoundError):
        say(f"./demo: --timezone {options.timezone} is not an IANA name, as Asia/Shanghai is")
        return WRONG_INPUT
    try:
        with stopped_by_signals():
            run(options)
    except Stopped as stopped:
        say("stopped; nothing is left running")
        return stopped.exit_code
    except WrongInputError as error:
        say(f"./demo: {error}")
        return WRONG_INPUT
    except (BrokerError, DemoError) as error:
        say(f"./demo: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
