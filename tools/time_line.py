"""The demo's time line on a terminal: the window as it fills, and the watermark as it trails event time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rich.text import Text

NAMES: Final = 14
"""Columns of what is named at the left."""
WIDEST: Final = 84
EVENT_AT: Final = 0.85
"""Where the newest event time stands, as a part of the width."""


@dataclass(frozen=True, slots=True)
class TimeLine:
    """One moment; times in epoch milliseconds."""

    watermark_ms: float | None
    now_ms: float
    closes_ms: float
    window_ms: int
    lateness_ms: int
    is_open: bool
    """Whether the window has records."""
    local_time: Callable[[float], str]

    def drawn(self, columns: int) -> Text:
        """Four lines for a terminal that is this wide."""
        width = max(10, min(columns - 2, WIDEST) - NAMES)
        text = Text(no_wrap=True, overflow="crop")
        self._event_time(text, width)
        self._window(text, width)
        return text

    def _event_time(self, text: Text, width: int) -> None:
        text.append(f"\n{'  event time':<{NAMES}}", "dim")
        if self.watermark_ms is None:
            text.append("·" * width + "\n", "dim").append(" " * NAMES + "no record yet\n", "dim")
            return
        event_at = int(width * EVENT_AT)
        gap = min(event_at, max(1, round(self.lateness_ms * width / (2 * self.window_ms))))
        text.append("░" * (event_at - gap), "yellow").append("◆", "bold magenta").append("━" * (gap - 1), "magenta")
        text.append("●", "bold blue").append("·" * (width - event_at - 1) + "\n", "dim")
        text.append(" " * NAMES).append("◆ watermark ", "magenta").append(self.local_time(self.watermark_ms), "magenta")
        text.append("  ● event time ", "blue").append(self.local_time(self.watermark_ms + self.lateness_ms), "blue")
        text.append("  ░ late\n", "yellow")

    def _window(self, text: Text, width: int) -> None:
        left_ms = max(0.0, self.closes_ms - self.now_ms)
        filled = round(width * (1 - min(1.0, left_ms / self.window_ms)))
        text.append(f"{'  wall clock':<{NAMES}}", "dim")
        text.append("█" * filled, "cyan" if self.is_open else "dim").append("▁" * (width - filled) + "\n", "dim")
        what = "this window closes" if self.is_open else "the next window opens"
        text.append(f"{' ' * NAMES}{what} in {left_ms / 1000:.0f} s", "cyan")
