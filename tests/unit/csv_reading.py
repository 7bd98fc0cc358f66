"""Reads a file that a test has in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from zoneinfo import ZoneInfo

from producer.reading.csv_rows import CsvRows, never
from producer.reading.layout import Layout
from producer.reading.rows import Reject, Row
from producer.reading.times import DEFAULT_FORMAT, TimestampParser

HEADER = "transaction_id,timestamp,amount\n"
AT = "2024-05-11 10:00:00"
AT_MS = 1_715_421_600_000


class Found:
    """All rows of a file."""

    def __init__(
        self, blocks: Iterable[bytes], *, start_row: int = 1, grown: Callable[[], bool] = never, **options: object
    ) -> None:
        times = {"timestamps": TimestampParser(DEFAULT_FORMAT, ZoneInfo("UTC"))}
        layout = Layout(**{**times, **options})  # type: ignore[arg-type]
        reader = CsvRows(blocks, "rows.csv", layout, start_row=start_row, grown=grown)
        self.rows: list[Row] = []
        self.rejects: list[Reject] = []
        self.skipped: list[int] = []
        for chunk in reader:
            self.rows += chunk.rows
            self.rejects += chunk.rejects
            self.skipped += chunk.skipped
        self.next_row = reader.next_row
        self.unfinished = reader.unfinished_line, reader.unfinished_row, reader.withheld

    @property
    def ids(self) -> list[str]:
        return [row.transaction_id for row in self.rows]

    @property
    def amounts(self) -> list[str]:
        return [row.amount for row in self.rows]

    @property
    def reasons(self) -> list[str]:
        return [reject.reason for reject in self.rejects]

    @property
    def lines(self) -> list[int]:
        return [reject.line for reject in self.rejects]


def read(text: str, **options: object) -> Found:
    return Found([text.encode()], **options)  # type: ignore[arg-type]


def blocks_of(data: bytes, sizes: list[int]) -> list[bytes]:
    blocks, at = [], 0
    for size in sizes:
        blocks.append(data[at : at + size])
        at += size
    return [*blocks, data[at:]]
