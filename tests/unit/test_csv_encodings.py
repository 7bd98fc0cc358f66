"""Files that are not plain UTF-8: other encodings, stray bytes, gzip; and the messages about them."""

from __future__ import annotations

import codecs
import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.reading.encodings import check_encoding, gunzipped
from producer.reading.errors import BadFormatError, InputFileError
from tests.unit.csv_reading import AT, HEADER, Found, blocks_of, read

NOTED = "transaction_id,note,timestamp,amount\n"
cuts = st.lists(st.integers(0, 9), max_size=60)


@pytest.mark.parametrize("stray", [b"\xe9", b"\0", b"caf\xe9 \xff\xfe", b'"\xe9\n\xe9"'])
def test_a_byte_of_another_encoding_costs_nothing_in_a_column_that_is_not_needed(stray: bytes) -> None:
    rows = b"".join(b"tx%d,%b,%b,1\n" % (number, stray, AT.encode()) for number in range(3))
    found = Found([NOTED.encode() + rows])
    assert (found.ids, found.rejects) == (["tx0", "tx1", "tx2"], [])


def test_nor_does_one_in_the_name_of_such_a_column() -> None:
    assert Found([b"transaction_id,Empf\xe4nger,timestamp,amount\n" + f"tx1,x,{AT},1\n".encode()]).ids == ["tx1"]


@pytest.mark.parametrize("line", [b"t\xe9,x,%b,1", b"tx,x,%b\xe9,1", b"tx,x,%b,1\xe9"])
def test_in_a_needed_column_it_costs_its_row_which_says_so(line: bytes) -> None:
    line %= AT.encode()
    found = Found([NOTED.encode() + b"a,x,%b,1\n" % AT.encode() + line + b"\n" + b"b,x,%b,1\n" % AT.encode()])
    assert found.ids == ["a", "b"]
    assert (found.lines, found.reasons) == ([3], ["not UTF-8; --encoding names another"])
    assert found.rejects[0].raw.encode(errors="surrogateescape") == line


@pytest.mark.parametrize(
    "encoding",
    ["cp1252", "latin-1", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp850", "utf-8-sig", "cp037", "gb18030"],
)
@given(sizes=cuts)
def test_other_encodings_give_the_same_rows_however_the_bytes_are_cut(encoding: str, sizes: list[int]) -> None:
    text = f"{HEADER}tx1,{AT},1\r\nMüller,{AT},2\n"
    found = Found(blocks_of(text.encode(encoding), sizes), encoding=check_encoding(encoding))
    assert [(row.transaction_id, row.amount) for row in found.rows] == [("tx1", "1"), ("Müller", "2")]
    assert found.rejects == []


def test_a_byte_order_mark_is_no_part_of_the_first_name_in_any_encoding() -> None:
    data = codecs.BOM_UTF16_LE + f"{HEADER}tx1,{AT},1\n".encode("utf-16-le")
    assert Found([data], encoding="utf-16-le").ids == ["tx1"]


@pytest.mark.parametrize("data", [b"\x81", b"x\x8d", b"\x9d\x90"])
def test_a_byte_that_the_named_encoding_lacks_rejects_its_row(data: bytes) -> None:
    found = Found([HEADER.encode() + data + f",{AT},1\n".encode() + b"b,%b,1\n" % AT.encode()], encoding="cp1252")
    assert (found.ids, found.reasons) == (["b"], ["not cp1252; --encoding names another"])


def test_half_a_character_at_the_end_rejects_its_row() -> None:
    data = f"{HEADER}a,{AT},1\nb,{AT},1".encode("utf-16-le")
    found = Found([data[:-1]], encoding="utf-16-le")
    assert (found.ids, found.lines) == (["a"], [3])


@pytest.mark.parametrize("name", ["base64", "rot13", "nope", "", "idna", "undefined", "unicode_escape", "\0"])
def test_what_is_no_encoding_of_text_files_is_refused(name: str) -> None:
    with pytest.raises(BadFormatError, match="names are like cp1252, latin-1, utf-16"):
        check_encoding(name)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (HEADER.encode("utf-16"), "--encoding utf-16"),
        (HEADER.encode("utf-32"), "--encoding utf-32"),
        (HEADER.encode("utf-16-be"), "--encoding utf-16-be"),
        ("transaction_id,timestamp,amöunt\n".encode("cp1252"), "--encoding cp1252, latin-1 or utf-16"),
        (gzip.compress(HEADER.encode()), "it is gzip"),
        (b"PK\x03\x04\x14\0", "spreadsheet"),
    ],
)
def test_a_file_that_is_not_utf8_has_a_message_of_what_it_may_be(data: bytes, named: str) -> None:
    for sizes in ([], [1, 1, 1]):
        with pytest.raises(InputFileError, match=named):
            Found(blocks_of(data, sizes))


def test_an_encoding_that_wants_a_mark_says_so_in_one_line() -> None:
    with pytest.raises(InputFileError, match="does not start with BOM"):
        Found([HEADER.encode("utf-16-le")], encoding="utf-16")


# ---- gzip ----


@given(text=st.text(max_size=50), members=st.integers(1, 3), sizes=cuts, padding=st.sampled_from([b"", b"\0" * 5]))
def test_gzip_is_unpacked_member_by_member_however_it_is_cut(
    text: str, members: int, sizes: list[int], padding: bytes
) -> None:
    data = text.encode()
    packed = (gzip.compress(data) + padding) * members
    blocks = [block for block in blocks_of(packed, sizes) if block]
    assert b"".join(gunzipped(blocks, "x.gz")) == data * members


def test_an_empty_block_of_a_pipe_stays_one() -> None:
    packed = gzip.compress(HEADER.encode())
    assert list(gunzipped([packed[:5], b"", packed[5:]], "x.gz")) == [b"", HEADER.encode()]


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (HEADER.encode(), "x.gz is not gzip, or damaged"),
        (gzip.compress(b"x" * 999)[:-5], "x.gz: the gzip data is cut off"),
        (gzip.compress(b"x")[:-8] + b"\0" * 8, "x.gz is not gzip, or damaged"),
        (gzip.compress(b"x") + b"tail", "x.gz is not gzip, or damaged"),
    ],
)
def test_gzip_that_is_damaged_ends_the_reading_after_what_was_good(data: bytes, named: str) -> None:
    with pytest.raises(InputFileError, match=named):
        list(gunzipped([data], "x.gz"))


def test_gzip_that_unpacks_to_much_takes_no_memory_for_it() -> None:
    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(b"x" * 100_000_000) + packer.flush()
    tracemalloc.start()
    try:
        assert sum(map(len, gunzipped([packed], "x.gz"))) == 100_000_000
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_a_utf8_file_is_still_one_with_all_that_it_may_hold() -> None:
    assert read(f"\ufeff{HEADER}é\u2028,{AT},1\n").ids == ["é\u2028"]
