"""What a committed offset carries along."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.model import EventTimeMs
from service.wire.progress import decode_progress, encode_progress


@given(st.none() | st.integers(-(2**63), 2**63 - 1))
def test_a_watermark_comes_back_as_it_was_committed(watermark: int | None) -> None:
    watermark_ms = None if watermark is None else EventTimeMs(watermark)
    assert watermark_ms == decode_progress(encode_progress(watermark_ms))


@given(st.none() | st.integers(-(2**63), 2**63 - 1))
def test_it_is_far_below_what_kafka_allows(watermark: int | None) -> None:
    encoded = encode_progress(None if watermark is None else EventTimeMs(watermark))
    assert len(encoded.encode()) < 4_096 / 10


FOREIGN = {
    "nothing": None,
    "empty": "",
    "text": "written by kafka-consumer-groups",
    "a number": "1715392809000",
    "null": "null",
    "a list": "[1]",
    "a string": '"txwatch"',
    "another program's object": '{"watermark":1715392809000}',
    "another version": '{"txwatch":2,"watermark":1715392809000}',
    "no watermark": '{"txwatch":1}',
    "text for a watermark": '{"txwatch":1,"watermark":"1715392809000"}',
    "decimals in a watermark": '{"txwatch":1,"watermark":1715392809000.5}',
    "true for a watermark": '{"txwatch":1,"watermark":true}',
    "an object for a watermark": '{"txwatch":1,"watermark":{}}',
    "cut off": '{"txwatch":1,"watermark":17153928',
    "Kafka Streams": "AgAAAY9m0Z2I",
    "brackets": "[" * 4_096,
    "digits": "9" * 4_096,
    "NUL": "\x00" * 100,
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_another_program_wrote_is_no_watermark(name: str) -> None:
    assert decode_progress(FOREIGN[name]) is None


@given(st.text(max_size=4_096))
def test_any_text_is_read_without_complaint(text: str) -> None:
    assert decode_progress(text) is None


def test_further_fields_of_a_later_version_are_ignored() -> None:
    assert EventTimeMs(5) == decode_progress('{"txwatch":1,"watermark":5,"read":7}')
