"""Turns a file's bytes into UTF-8. It unpacks gzip, decodes, and gives advice about a file of another kind. Pure."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from producer.reading.errors import BadFormatError, InputFileError

UTF_8: Final = "utf-8"
STRAY: Final = "\udcff"
"""Replaces a byte that is not of the encoding. It is encoded as 0xFF, a byte that UTF-8 never contains."""

_ERRORS: Final = "txwatch.stray"
_PIECE_BYTES: Final = 256 * 1024
_GZIP: Final = b"\x1f\x8b"
_GZIP_WBITS: Final = 31
_SAMPLE: Final = "transaction_id,1\n"
_NOT_FOR_FILES: Final = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape"})
_BEGINNING_BYTES: Final = 4
_BEGINNINGS: Final = (
    (_GZIP, "it is gzip: name it .gz, or pipe it through gzip -dc"),
    (b"PK\x03\x04", "it is a zip archive or a spreadsheet (.xlsx): save it as CSV"),
    (codecs.BOM_UTF32_LE, "it starts like UTF-32: --encoding utf-32"),
    (codecs.BOM_UTF32_BE, "it starts like UTF-32: --encoding utf-32"),
    (codecs.BOM_UTF16_LE, "it starts like UTF-16: --encoding utf-16"),
    (codecs.BOM_UTF16_BE, "it starts like UTF-16: --encoding utf-16"),
)


def check_encoding(name: str) -> str:
    """Return Python's name of a text encoding; raises `BadFormatError` for an unknown one."""
    try:
        usable = _SAMPLE.encode(name).decode(name) == _SAMPLE
        known = codecs.lookup(name).name
    except (LookupError, ValueError) as error:
        raise BadFormatError(f"no encoding {name!r}; names are like cp1252, latin-1, utf-16") from error
    if not usable or known in _NOT_FOR_FILES:
        raise BadFormatError(f"{name!r} is no encoding of text files; names are like cp1252, latin-1, utf-16")
    return known


def checked(blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Pass on blocks of UTF-8; raises InputFileError, with advice, if they begin like something else."""
    beginning = b""
    for block in blocks:
        if len(beginning) < _BEGINNING_BYTES:
            beginning += block[:_BEGINNING_BYTES]
            for mark, advice in _BEGINNINGS if len(beginning) >= _BEGINNING_BYTES else ():
                if beginning.startswith(mark):
                    raise InputFileError(f"{name} is not UTF-8: {advice}")
        yield block


def not_text(data: bytes, name: str, encoding: str) -> str:
    """Return a message that text is not of the encoding, and which encoding it may have."""
    if encoding != UTF_8:
        return f"{name} is not {encoding}; --encoding names another"
    if b"\0" in data:
        likely = "utf-16-le" if data.find(b"\0") % 2 else "utf-16-be"
        return f"{name} is not UTF-8 text; --encoding {likely} may read it"
    return f"{name} is not UTF-8 text; --encoding cp1252, latin-1 or utf-16 may read it"


def transcoded(blocks: Iterable[bytes], encoding: str, name: str) -> Iterator[bytes]:
    """Turn blocks of an encoding into UTF-8. A byte that is not of the encoding becomes 0xFF.

    Raises:
        InputFileError: the encoding needs a byte order mark at the beginning, and the file has none.
    """
    decoder = codecs.getincrementaldecoder(encoding)(_ERRORS)
    try:
        for block in blocks:
            text = decoder.decode(block)
            # An empty block means that a pipe has no data yet. Half a character must not look like one.
            if text or not block:
                yield text.encode(errors=_ERRORS)
        yield decoder.decode(b"", final=True).encode(errors=_ERRORS)
    except UnicodeError as error:
        raise InputFileError(f"{name} is not {encoding}: {error}; {encoding}-le or -be needs no such mark") from error


def gunzipped(blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Unpack gzip, one member after the other, in pieces of bounded size.

    Raises:
        InputFileError: the data is no gzip, damaged, or cut off. The data before that was yielded.
    """
    unpacker = zlib.decompressobj(_GZIP_WBITS)
    begun = False
    waiting = b""
    try:
        for block in blocks:
            if not block:
                yield block
                continue
            waiting += block
            while waiting:
                if unpacker.eof:
                    waiting = waiting.lstrip(b"\0")  # padding between or after members
                    if waiting:
                        unpacker = zlib.decompressobj(_GZIP_WBITS)
                    continue
                begun = True
                piece = unpacker.decompress(waiting, _PIECE_BYTES)
                waiting = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
                if piece:
                    yield piece
    except zlib.error as error:
        raise InputFileError(f"{name} is not gzip, or damaged: {error}") from error
    if begun and not unpacker.eof:
        raise InputFileError(f"{name}: the gzip data is cut off")


def _stray(error: UnicodeError) -> tuple[str | bytes, int]:
    match error:
        case UnicodeDecodeError():
            return STRAY * (error.end - error.start), error.end
        case UnicodeEncodeError():  # STRAY itself, or half a pair that a decoder let through
            return b"\xff" * (error.end - error.start), error.end
        case _:
            raise error


codecs.register_error(_ERRORS, _stray)
