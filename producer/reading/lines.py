"""Cuts blocks of UTF-8 into lines. Pure.

Of a line over `LINE_BYTES_MAX`, only the beginning is kept, as an `Overlong`. So it needs no memory, and the lines
below it are read.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

LINE_BYTES_MAX: Final = 1024 * 1024
"""A longer record does not fit into a Kafka message of the default size."""
OVERLONG: Final = "line of more than 1 MiB"

_KEPT_BYTES: Final = 1000
_BOM: Final = b"\xef\xbb\xbf"
_SURROGATE: Final = re.compile("[\udc80-\udcff]")
_LINE: Final = re.compile(rb"[^\r\n]*(?:\r\n|\n|\r)")
_LINE_END: Final = re.compile(rb"\r\n|\n|\r(?=.)", re.DOTALL)


class Overlong(str):
    """An overlong line. Its text is blank, so that no quote in it can include the lines below."""

    __slots__ = ("beginning",)

    beginning: str

    @classmethod
    def of(cls, beginning: bytes) -> Overlong:
        """Keep the first bytes of a line."""
        line = cls("\n")
        line.beginning = beginning[:_KEPT_BYTES].decode(errors="ignore")
        return line


@dataclass(frozen=True, slots=True)
class Lines:
    """Complete lines with their ends (LF, CRLF or CR). Bytes that are not UTF-8 become lone surrogates."""

    texts: list[str]
    final: bool = False
    """Whether these are the last lines."""
    damaged: bool = False
    """Whether a line holds NUL, or bytes that are not UTF-8."""
    overlong: bool = False
    """Whether a line is `Overlong`."""
    unfinished: bool = False
    """Whether the last line has no end."""


def split_lines(blocks: Iterable[bytes]) -> Iterator[Lines]:
    """Cut a file's blocks into lines; yields one item for each block, and a final one for the rest."""
    rest = b""
    at_start = True
    dropping = False  # whether this is the rest of an overlong line, whose beginning was yielded
    for block in blocks:
        data = rest + block
        if at_start and (len(data) >= len(_BOM) or not _BOM.startswith(data)):
            data, at_start = data.removeprefix(_BOM), False
        if dropping:
            found = _LINE_END.search(data)
            if found is None:
                rest = _half_end(data)
                yield Lines([])
                continue
            data, dropping = data[found.end() :], False
        # A CR at the very end may be half of a CRLF.
        end = max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1)) + 1
        yield _decoded(data[:end])
        rest = data[end:]
        if len(rest) - len(_half_end(rest)) > LINE_BYTES_MAX:
            yield Lines([Overlong.of(rest)], overlong=True)
            dropping, rest = True, _half_end(rest)
    if dropping:
        yield Lines([], final=True, unfinished=not rest)
    else:
        yield _decoded(rest.removeprefix(_BOM) if at_start else rest, final=True)


def _half_end(data: bytes) -> bytes:
    return b"\r" if data.endswith(b"\r") else b""


def damage(text: str) -> str | None:
    """Return what is wrong with the characters of a text, or None."""
    if "\0" in text:
        return "NUL byte"
    return "not of the encoding" if _SURROGATE.search(text) else None


def _decoded(data: bytes, *, final: bool = False) -> Lines:
    unfinished = final and bool(data) and not data.endswith((b"\n", b"\r"))
    if len(data) > LINE_BYTES_MAX:
        return _measured(data, final=final, unfinished=unfinished)
    texts, damaged = _texts(data)
    return Lines(texts, final, damaged, unfinished=unfinished)


def _texts(data: bytes) -> tuple[list[str], bool]:
    damaged = b"\0" in data
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode(errors="surrogateescape")
        damaged = True
    return io.StringIO(text, newline="").readlines(), damaged


def _measured(data: bytes, *, final: bool, unfinished: bool) -> Lines:
    """Read lines one by one, because one may be overlong. It is slow, and only for a block with a long line."""
    texts: list[str] = []
    damaged = overlong = False
    lines = [*_LINE.findall(data)]
    if tail := data[sum(map(len, lines)) :]:
        lines.append(tail)
    for line in lines:
        if len(line.rstrip(b"\r\n")) > LINE_BYTES_MAX:
            overlong = True
            texts.append(Overlong.of(line))
        else:
            found, hurt = _texts(line)
            texts += found
            damaged = damaged or hurt
    return Lines(texts, final, damaged, overlong, unfinished)
