"""How the demo looks: plain lines on a pipe; on a terminal the same with colour, and a live time line at the bottom."""

import contextlib
import datetime as dt
import time
from collections.abc import Callable, Iterator
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tools.time_line import TimeLine
from tools.topic_rows import Row

SHOWN_ROWS: Final = 50
NEXT_STEPS: Final = (
    ("./demo --keep", "and open its page in a browser, then replay once more"),
    ("./demo --csv FILE --timezone Europe/Berlin", "payments of your own"),
    ("KAFKA_BOOTSTRAP_SERVERS=… .venv/bin/txwatch try-input", "what your own topic's records become"),
)


class Screen:
    """Standard output."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self._rows = 0

    @property
    def is_live(self) -> bool:
        """Whether there is something that may change."""
        return self._live is not None

    @contextlib.contextmanager
    def live(self) -> Iterator[None]:
        """Keeps the time line at the bottom within the block, on a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, transient=True, refresh_per_second=8) as self._live:
            yield
        self._live = None

    def _line(self, text: str = "", style: str = "") -> None:
        self._console.print(Text(text, style))

    def title(self) -> None:
        """What this is."""
        self._line("txwatch finds anomalous transactions in a Kafka stream.", "bold")
        self._line()

    def fact(self, name: str, value: str) -> None:
        """A part of the demo that runs now."""
        self._console.print(Text(f"  {name:<9}", "dim").append(value, "default not dim"))

    def explain(self, window_ms: int) -> None:
        """What the reader will see next."""
        self._line()
        for line in (
            "Each row goes to Kafka when its time has come. The service adds up each id's",
            f"amounts in windows of {window_ms / 1000:g} s of the wall clock. When a window closes, a sum above",
            "the limit is an anomaly and goes to the alerts topic, with the watermark: how",
            "far event time has come, which is the newest timestamp less 1 s for latecomers.",
            "The replay starts with the next window.",
        ):
            self._line(line)
        self._line()

    def row(self, row: Row) -> None:
        """One transaction that is on the topic now; of a long file only the first ones."""
        self._rows += 1
        if self._rows <= SHOWN_ROWS:
            text = Text(f"  {_clock()}  ", "dim")
            text.append(f"{row.transaction_id:<10} {row.amount:>10}", "default not dim").append(
                f"   at {row.event_time}"
            )
            self._console.print(text)
        elif self._rows == SHOWN_ROWS + 1:
            self._line("  … the rows that follow are not shown", "dim")

    def window_closes(self, end_ms: int) -> None:
        """The end of a window in which there were rows."""
        self._line(f"  {_clock(end_ms / 1000)}  window closes", "dim")

    def alert(self, line: str) -> None:
        """An alert, as the service prints it."""
        self._line(line, "bold red")

    def note(self, text: str) -> None:
        """A line of the replay's."""
        self._line(f"  {text}", "yellow")

    def replayed(self, rows: int) -> None:
        """The file's end."""
        self._line(f"  {_clock()}  the file ends: {rows} row{'' if rows == 1 else 's'} replayed", "dim")

    def show(self, line: TimeLine) -> None:
        """The live time line."""
        if self._live:
            self._live.update(line.drawn(self._console.width))

    def metrics(self, lines: list[str], local_time: Callable[[float], str]) -> None:
        """What Prometheus would scrape."""
        self._line()
        self._line("What Prometheus sees at /metrics:")
        for line in lines:
            text = Text(f"  {line}")
            if line.startswith("txwatch_watermark"):
                text.append(f"   ({local_time(float(line.rpartition(' ')[2]) * 1000)})", "dim")
            self._console.print(text)

    def next_steps(self) -> None:
        """Three things to try."""
        self._line()
        self._line("Three things to try next:", "bold")
        width = max(len(command) for command, _ in NEXT_STEPS)
        for command, what in NEXT_STEPS:
            self._console.print(Text(f"  {command:<{width}}   ").append(what, "dim"))

    def keep(self, bootstrap_servers: str, address: str, replay: str) -> None:
        """How to go on."""
        self._line()
        self._line("Broker and service stay until Ctrl-C, and alerts still show here. From another terminal:", "bold")
        self._line(f"  export KAFKA_BOOTSTRAP_SERVERS={bootstrap_servers}")
        self._line(f"  .venv/bin/txwatch-replay replay {replay} --align")
        self._line(f"  curl http://{address}/metrics")
        self._line(f"Or open http://{address}/ in a browser.")


def _clock(at: float | None = None) -> str:
    moment = dt.datetime.fromtimestamp(time.time() if at is None else at, dt.UTC).astimezone()
    return f"{moment:%H:%M:%S}.{moment.microsecond // 100_000}"
