"""What a timeline is made of, and the file that comes of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from matplotlib import font_manager

from service.core.model import ClockName
from service.history.records import StoredRecord
from service.history.timeline import labels
from service.history.timeline.collect import LATEST_MS, Span, collect
from service.history.timeline.draw import RED, draw
from service.history.timeline.model import Bar, Picture, Point
from service.wire.decoder import Decoder
from service.wire.input.decoder import InputMapping, MappedJsonDecoder
from service.wire.transactions import JsonDecoder
from tests.driver import T0
from tests.loop import pay

EVERYTHING = Span(0, 2**62, 10**6)


def window(
    start_ms: int, first: int, last: int, *, topic: str = "input", key: str = "tx1", partition: int = 0
) -> bytes:
    """The payload of an aggregate; an alert's has more fields, which do not matter here."""
    payload: dict[str, Any] = {
        "transaction_id": key,
        "timestamp": T0,
        "amount": 5.5,
        "watermark": T0,
        "count": 2,
        "late_count": 0,
        "max_timestamp": T0,
        "window": {"start": T0 + start_ms, "end": T0 + start_ms + 1_000, "clock": "ingestion"},
        "source": {"topic": topic, "partition": partition, "first_offset": first, "last_offset": last},
    }
    return json.dumps(payload).encode()


class Topics:
    """Topics as lists of values; each record is stored a second after the one before, from T0 on."""

    def __init__(self, decoder: Decoder | None = None, **topics: list[bytes]) -> None:
        self.topics = topics
        self.decoder = decoder or JsonDecoder()

    def read(self, topic: str, from_ms: int) -> Iterable[StoredRecord]:
        for offset, value in enumerate(self.topics.get(topic, [])):
            if T0 + offset * 1_000 >= from_ms:
                yield StoredRecord(0, offset, T0 + offset * 1_000, value)

    def picture(self, span: Span = EVERYTHING) -> Picture:
        return collect(
            self.read,
            span,
            self.decoder,
            transactions="input",
            results={"sums": False, "alerts": True},
            lateness_ms=1_000,
        )


def test_a_record_below_the_watermark_is_late_and_one_at_it_is_not() -> None:
    picture = Topics(input=[pay(0), pay(5_000), pay(4_000), pay(3_999), pay(6_000)]).picture()
    assert [point.late for point in picture.points] == [False, False, False, True, False]
    assert [point.event_ms - T0 for point in picture.points] == [0, 5_000, 4_000, 3_999, 6_000]


def test_a_record_that_the_mapping_leaves_out_only_moves_the_watermark() -> None:
    decoder = MappedJsonDecoder(InputMapping(where="op=c"))
    values = [
        pay(0)[:-1] + b',"op":"c"}',
        pay(9_000)[:-1] + b',"op":"d"}',
        b'{"op":"d"}',
        pay(5_000)[:-1] + b',"op":"c"}',
    ]
    picture = Topics(decoder, input=values).picture()
    assert [(point.event_ms - T0, point.late) for point in picture.points] == [(0, False), (5_000, True)]
    assert (picture.rejected, picture.filtered) == (0, 2)
    assert [ms - T0 for ms in picture.lines[0].watermark_ms] == [-1_000, 8_000]


def test_the_line_of_a_partition_has_a_step_for_each_rise_of_its_watermark() -> None:
    picture = Topics(input=[pay(0), pay(5_000), pay(4_000), pay(6_000)]).picture()
    (line,) = picture.lines.values()
    assert [ms - T0 for ms in line.watermark_ms] == [-1_000, 4_000, 5_000]
    assert [ms - T0 for ms in line.stored_ms] == [0, 1_000, 3_000]


def test_records_that_are_no_transactions_are_counted_and_have_no_place() -> None:
    picture = Topics(input=[b"rubbish", pay(0)]).picture()
    assert (picture.rejected, len(picture.points)) == (1, 1)


@pytest.mark.parametrize("timestamp_ms", [LATEST_MS, 2**63 - 1])
def test_a_time_that_no_payment_has_is_counted_and_has_no_place(timestamp_ms: int) -> None:
    picture = Topics(input=[pay(timestamp_ms - T0), pay(0)]).picture()
    assert (picture.rejected, len(picture.points)) == (1, 1)


def test_only_the_span_is_shown_with_the_windows_that_hold_a_part_of_it() -> None:
    sums = [window(0, 0, 1), window(1_000, 2, 4), window(2_000, 5, 5), window(0, 2, 4, topic="another")]
    topics = Topics(input=[pay(n) for n in range(6)], sums=[b"", b"", *sums])
    picture = topics.picture(Span(T0 + 2_000, T0 + 3_000, 100))
    assert [point.event_ms - T0 for point in picture.points] == [2, 3]
    assert [bar.start_ms - T0 for bar in picture.bars] == [1_000]
    assert not picture.truncated


def test_a_window_that_is_in_both_topics_is_shown_once_as_an_alert() -> None:
    topics = Topics(input=[pay(0), pay(1)], sums=[window(0, 0, 0), window(1_000, 1, 1)], alerts=[window(0, 0, 0)])
    assert [bar.anomalous for bar in topics.picture().bars] == [True, False]


def test_no_more_records_are_shown_than_asked_for_and_the_picture_knows_it() -> None:
    picture = Topics(input=[pay(n) for n in range(6)]).picture(Span(0, 2**62, 4))
    assert len(picture.points) == 4
    assert picture.truncated


def test_a_sum_stays_exact() -> None:
    payload = window(0, 0, 0).replace(b"5.5", b"8000.00000000000000001")
    (bar,) = Topics(input=[pay(0)], sums=[payload]).picture().bars
    assert bar.amount == Decimal("8000.00000000000000001")


def picture_of(clock: ClockName, bars: int = 2, points: int = 3) -> Picture:
    """Something to draw."""
    found = Topics(input=[pay(n * 1_000) for n in range(points)]).picture()
    found.bars = [
        Bar(T0 + n * 1_000, T0 + n * 1_000 + 1_000, clock, f"tx{n}", Decimal(n), 1, n % 2 == 0) for n in range(bars)
    ]
    return found


@pytest.mark.parametrize("clock", list(ClockName))
@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_every_clock_is_drawn_in_every_format(tmp_path: Path, clock: ClockName, suffix: str) -> None:
    output = tmp_path / f"timeline.{suffix}"
    draw(picture_of(clock), output)
    assert output.read_bytes()[:5] in {b"<?xml", b"\x89PNG\r", b"%PDF-"}


def test_the_same_picture_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        draw(picture_of(ClockName.INGESTION), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_hundreds_of_keys_and_thousands_of_points_make_no_monster(tmp_path: Path) -> None:
    draw(picture_of(ClockName.EVENT, bars=500, points=20_000), tmp_path / "a.svg")
    assert (tmp_path / "a.svg").stat().st_size < 1_500_000
    assert re.search(rb"<image", (tmp_path / "a.svg").read_bytes())


def texts(svg: Path) -> list[str]:
    """What is written in the picture; matplotlib draws glyphs, and puts each text before its own as a comment."""
    parser = ET.XMLParser(target=ET.TreeBuilder(insert_comments=True))  # noqa: S314 - our own file
    tree = ET.parse(svg, parser)  # noqa: S314
    return [str(one.text).strip() for one in tree.iter(ET.Comment)]  # type: ignore[arg-type]


def test_without_a_window_that_is_over_the_picture_says_so(tmp_path: Path) -> None:
    draw(picture_of(ClockName.PROCESSING, bars=0), tmp_path / "a.svg")
    assert "no window of these records is over" in texts(tmp_path / "a.svg")


def moment(text: str) -> int:
    """Epoch milliseconds of a UTC time."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("first", "last", "tick", "label"),
    [
        ("2024-05-11 02:00:00.100", "2024-05-11 02:00:00.900", r"02:00:00\.\d{3}", "2024-05-11 UTC"),
        ("2024-05-11 02:00", "2024-05-11 02:01", r"02:0[01]:\d\d", "2024-05-11 UTC"),
        ("2024-05-11 20:00", "2024-05-12 04:00", r"05-1[12] \d\d:00", "2024 UTC"),
        ("2024-02-01", "2024-07-01", r"0\d-01", "2024 UTC"),
        ("2024-12-31 22:00", "2025-01-01 02:00", r"202[45]-\d\d-\d\d \d\d:\d\d", "UTC"),
        ("2019-03-01", "2025-02-01", r"20[12]\d-01-01", "UTC"),
    ],
)
def test_what_distinguishes_times_is_at_the_ticks_and_the_rest_in_the_label(
    tmp_path: Path, first: str, last: str, tick: str, label: str
) -> None:
    picture = picture_of(ClockName.EVENT, bars=0)
    picture.points = [Point(T0, moment(one), late=False) for one in (first, last)]
    picture.lines = {}
    draw(picture, tmp_path / "a.svg")
    written = texts(tmp_path / "a.svg")
    assert f"event time ({label})" in written
    ticks = [one for one in written if re.fullmatch(tick, one)]
    assert len(set(ticks)) == len(ticks) >= 3


@pytest.mark.parametrize("amount", ["9000.25", "1e30"])
def test_a_sum_is_written_where_it_fits_into_its_bar_and_left_out_where_it_does_not(
    tmp_path: Path, amount: str
) -> None:
    """The first bar is as wide as the axis, and each further one a hundredth of it."""
    picture = picture_of(ClockName.EVENT, bars=0)
    picture.bars = [
        Bar(T0, T0 + 1_000 * width, ClockName.EVENT, f"tx{width}", Decimal(amount), 1, anomalous=False)
        for width in (100, 1)
    ]
    draw(picture, tmp_path / "a.svg")
    assert texts(tmp_path / "a.svg").count(f"{Decimal(amount):,f}") == 1


def test_a_long_title_stays_inside_the_picture(tmp_path: Path) -> None:
    picture = picture_of(ClockName.EVENT)
    picture.topic = "t" * 200
    draw(picture, tmp_path / "a.svg")
    assert max(len(one) for one in texts(tmp_path / "a.svg")) <= 110


STRANGE = {
    "short": ("tx 1", "tx 1"),
    "no formula": ("$x^2$", "$x^2$"),
    "a broken formula": (r"$\frac{$", r"$\frac{$"),
    "markup": ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
    "a comment's end": ("a --> b", "a - -&gt; b"),
    "controls": ("a\x00b\nc\x1b", "a\ufffdb\ufffdc\ufffd"),
    "half a character": ("a\ud800", "a\ufffd"),
    "no font has it": ("a\U0001d9ff", "a\\U0001d9ff"),
    "too long for all its codes": ("\U0001d9ff" * 9, "\\U0001d9ff" * 2 + "\u2026"),
    "24 characters": ("x" * 24, "x" * 24),
    "25 characters": ("x" * 25, "x" * 23 + "\u2026"),
}


@pytest.mark.parametrize(("key", "shown"), STRANGE.values(), ids=STRANGE)
def test_a_strange_id_is_written_as_it_is_and_has_its_bar(tmp_path: Path, key: str, shown: str) -> None:
    picture = picture_of(ClockName.PROCESSING, bars=0)
    picture.bars = [Bar(T0, T0 + 1_000, ClockName.PROCESSING, key, Decimal("1e30"), 1, anomalous=True)]
    picture.points = [Point(T0, T0, late=False)]
    draw(picture, tmp_path / "a.svg")
    assert shown in texts(tmp_path / "a.svg")
    assert "1" + ",000" * 10 in texts(tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text().count(f"fill: {RED}") == 1


CHINESE = "\u4ea4\u6613"


def test_a_character_that_no_font_has_is_written_as_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning of matplotlib about a missing glyph would fail this test."""
    monkeypatch.setattr(labels, "MORE_FAMILIES", ())
    picture = picture_of(ClockName.PROCESSING, bars=0)
    picture.bars = [Bar(T0, T0 + 1_000, ClockName.PROCESSING, f"{CHINESE}7", Decimal(1), 1, anomalous=True)]
    for suffix in ("svg", "png", "pdf"):
        draw(picture, tmp_path / f"a.{suffix}")
    assert r"\u4ea4\u66137" in texts(tmp_path / "a.svg")


def test_a_character_that_another_font_has_is_written_with_that_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A font of matplotlib's own stands for a system's, which not every machine has."""
    more = "STIXGeneral"
    own, other = (font_manager.get_font(font_manager.findfont(name)).get_charmap() for name in (labels.FAMILY, more))
    character = next(chr(code) for code in sorted(set(other) - set(own)) if chr(code).isprintable())
    monkeypatch.setattr(labels, "MORE_FAMILIES", ("No such font", more))
    picture = picture_of(ClockName.PROCESSING, bars=0)
    picture.bars = [Bar(T0, T0 + 1_000, ClockName.PROCESSING, f"a{character}", Decimal(1), 1, anomalous=True)]
    draw(picture, tmp_path / "a.svg")
    assert f"a{character}" in texts(tmp_path / "a.svg")
