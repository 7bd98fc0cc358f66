"""Turns blocks of a CSV file into rows. Every row counts once: as good, skipped, or rejected with its line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial

from producer.reading.encodings import UTF_8, checked, transcoded
from producer.reading.judge import Judge, Record
from producer.reading.layout import Header, Layout
from producer.reading.lines import Lines, split_lines
from producer.reading.records import CHUNK_LINES, Records, split_records
from producer.reading.rows import NOTHING, Chunk
from producer.reading.spool import Part, Spool


def never() -> bool:
    """Return False: an input that cannot grow has not grown."""
    return False


class CsvRows:
    """Reads one pass over a file: takes blocks of bytes, and yields chunks of rows.

    An empty block means that a pipe has no data yet; it becomes an empty chunk.
    """

    def __init__(
        self,
        blocks: Iterable[bytes],
        name: str,
        layout: Layout,
        *,
        start_row: int = 1,
        grown: Callable[[], bool] = never,
    ) -> None:
        """Take the file, which messages call ``name``. Rows before ``start_row`` are neither returned nor counted.

        ``grown`` returns, at the file's end, whether it has grown since the pass began.
        """
        utf_8 = layout.encoding == UTF_8
        self._blocks = checked(blocks, name) if utf_8 else transcoded(blocks, layout.encoding, name)
        self._layout = layout
        self._start_row = start_row
        self._grown = grown
        self._header = Header(layout, name)
        self._judge: Judge | None = None
        self.unfinished_line: int | None = None
        """The last line's number, from 1, if the line has no end."""
        self.withheld = False
        """Whether that line was not read, because the file has grown: another program is still writing it."""
        self.unfinished_row: int | None = None
        """The number of its row, if it was read."""

    @property
    def next_row(self) -> int:
        """The number of the row that is read next."""
        return 1 if self._judge is None else self._judge.next_row

    @property
    def header_known(self) -> bool:
        """Whether the columns are known, so that the input is a CSV of transactions."""
        return self._judge is not None

    def __iter__(self) -> Iterator[Chunk]:
        """Yield the rows in file order, or from the file's end.

        Raises:
            InputFileError: the file is empty or not of the encoding, a needed column is missing or exists twice, the
                gzip data is damaged, or there is no room for the temporary file that reading from the end needs.
        """
        return self._backward() if self._layout.reverse else self._forward()

    def _forward(self) -> Iterator[Chunk]:
        return self._taken(self._judge_lines)

    def _backward(self) -> Iterator[Chunk]:
        with closing(Spool()) as spool:
            yield from self._taken(partial(self._put_down, spool))
            if self._judge is None:
                return
            if self.unfinished_line is not None and not self.withheld:
                self.unfinished_row = 1
            for part in spool.reversed():
                yield self._judge_backward(self._judge, part)

    def _taken(self, take: Callable[[Judge, Part, int, bool], tuple[Chunk, int]]) -> Iterator[Chunk]:
        """Cut the blocks into lines, and pass about `CHUNK_LINES` at a time to ``take``.

        ``take`` gets all lines that are available, and the index of the first new one. It returns a chunk and the index
        of the next line.
        """
        lines: list[str] = []
        lines_before = 0
        damaged = overlong = False
        for fresh in split_lines(self._blocks):
            damaged = fresh.damaged or (damaged and bool(lines))
            overlong = fresh.overlong or (overlong and bool(lines))
            lines += fresh.texts
            final = fresh.final and not (fresh.unfinished and self._withhold(lines, fresh, lines_before))
            part = Part(lines, lines_before, damaged, overlong, None)
            at = 0 if self._judge else self._read_header(lines, final=final)
            taken = False
            while at < len(lines) and self._judge is not None:
                chunk, end = take(self._judge, part, at, final)
                if end == at:
                    break  # the record continues in the next block
                if final and fresh.unfinished and end == len(lines):
                    self.unfinished_row = self._judge.next_row - 1
                yield chunk
                taken = True
                at = end
            if not taken:
                yield NOTHING
            del lines[:at]
            lines_before += at

    def _withhold(self, lines: list[str], fresh: Lines, lines_before: int) -> bool:
        """Note a last line without an end. If the file has grown, drop the line; returns whether it has."""
        self.unfinished_line = lines_before + len(lines)
        self.withheld = self._grown()
        if self.withheld and fresh.texts:
            lines.pop()
        return self.withheld

    def _read_header(self, lines: list[str], *, final: bool) -> int:
        at = self._header.read(lines, final=final)
        if self._header.picker is not None:
            self._judge = Judge(
                self._layout, self._header.picker, self._header.width, self._header.delimiter, self._start_row
            )
        return at

    def _judge_lines(self, judge: Judge, part: Part, at: int, final: bool) -> tuple[Chunk, int]:  # noqa: FBT001  see _taken
        end = min(at + CHUNK_LINES, len(part.lines))
        chunk = None if part.overlong else judge.all_good(part.lines[at:end], damaged=part.damaged)
        if chunk is not None:
            return chunk, end
        records = split_records(part.lines, at, self._header.delimiter, final=final)
        if records.end == at:
            return NOTHING, at
        return judge.each(_single(records, part), careful=part.damaged or part.overlong), records.end

    def _put_down(self, spool: Spool, _judge: Judge, part: Part, at: int, final: bool) -> tuple[Chunk, int]:  # noqa: FBT001  see _taken
        """Write whole records to the temporary file, to be judged later."""
        lines = part.lines[at : at + CHUNK_LINES]
        records, end = None, at + len(lines)
        if '"' in "".join(lines):
            found = split_records(part.lines, at, self._header.delimiter, final=final)
            lines, end = part.lines[at : found.end], found.end
            records = Records(found.cells, [start - at for start in found.starts], found.faults, end - at)
        if end > at:
            spool.add(Part(lines, part.lines_before + at, part.damaged, part.overlong, records))
        return NOTHING, end

    def _judge_backward(self, judge: Judge, part: Part) -> Chunk:
        if part.records is None and not part.overlong:
            chunk = judge.all_good(part.lines[::-1], damaged=part.damaged)
            if chunk is not None:
                return chunk
        records = part.records or split_records(part.lines, 0, self._header.delimiter, final=True)
        return judge.each(reversed([*_single(records, part)]), careful=part.damaged or part.overlong)


def _single(records: Records, part: Part) -> Iterator[Record]:
    ends = [*records.starts[1:], records.end]
    for index, (cells, start, end) in enumerate(zip(records.cells, records.starts, ends, strict=True)):
        yield Record(cells, part.lines_before + start + 1, part.lines[start:end], records.faults.get(index))
