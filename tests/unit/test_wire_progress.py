"""What a committed offset carries along."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.clocks.horizon import MANY_STEPS
from service.core.model import ClockName, EventTimeMs, LatePolicy, Offset, Progress, ReadAhead
from service.wire.progress import decode_progress, encode_progress, writer_of


@given(st.none() | st.integers(-(2**63), 2**63 - 1))
def test_a_watermark_comes_back_as_it_was_committed(watermark: int | None) -> None:
    watermark_ms = None if watermark is None else EventTimeMs(watermark)
    progress = Progress(Offset(7), watermark_ms)
    assert progress == decode_progress(Offset(7), encode_progress(progress))


@pytest.mark.parametrize("ahead", [False, True])
def test_the_hash_of_the_detectors_comes_back_and_is_left_out_where_there_are_none(*, ahead: bool) -> None:
    progress = Progress(Offset(7), EventTimeMs(1), LARGEST if ahead else None, rules="fc49f7a5")
    assert progress == decode_progress(Offset(7), encode_progress(progress))
    assert "rules" not in encode_progress(replace(progress, rules=None))


@given(st.none() | st.integers(-(2**63), 2**63 - 1))
def test_it_is_far_below_what_kafka_allows(watermark: int | None) -> None:
    encoded = encode_progress(Progress(Offset(7), None if watermark is None else EventTimeMs(watermark)))
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
    assert Progress(Offset(7), None) == decode_progress(Offset(7), FOREIGN[name])


@given(st.text(max_size=4_096))
def test_any_text_is_read_without_complaint(text: str) -> None:
    assert Progress(Offset(7), None) == decode_progress(Offset(7), text)


def test_further_fields_of_a_later_version_are_ignored() -> None:
    assert Progress(Offset(7), EventTimeMs(5)) == decode_progress(Offset(7), '{"txwatch":1,"watermark":5,"read":7}')


MS = st.integers(-(2**63), 2**63 - 1)
MAYBE_MS = st.none() | MS
OFFSETS = st.integers(0, 2**62).map(Offset)
SPANS = st.integers(0, 10**15)
AHEAD = st.builds(
    ReadAhead,
    OFFSETS,
    MAYBE_MS,
    MAYBE_MS,
    st.sampled_from(ClockName),
    st.integers(1, 10**12),
    SPANS,
    SPANS,
    st.sampled_from(LatePolicy),
    st.lists(st.tuples(OFFSETS, MS), max_size=80).map(tuple),
)


NAMES = st.text(max_size=300) | st.sampled_from(["\x01" * 256, '"' * 256, "\U0001f4b8" * 64])


@given(OFFSETS, MAYBE_MS, AHEAD, NAMES)
def test_what_was_read_ahead_comes_back_and_fits_into_what_kafka_allows(
    offset: Offset, watermark: EventTimeMs | None, ahead: ReadAhead, name: str
) -> None:
    progress = Progress(offset, watermark, ahead)
    encoded = encode_progress(progress, name)
    assert progress == decode_progress(offset, encoded)
    assert len(encoded.encode()) <= 4_096


LARGEST = ReadAhead(
    Offset(2**63 - 1),
    EventTimeMs(-(2**63)),
    -(2**63),
    ClockName.INGESTION,
    10**12,
    10**15,
    10**15,
    LatePolicy.INCLUDE,
    ((Offset(2**63 - 1), -(2**63)),) * (MANY_STEPS + 63),
)


@pytest.mark.parametrize("name", ["n" * 256, "\x01" * 256, '"' * 256, "\U0001f4b8" * 64])
def test_the_largest_that_there_can_be_fits_whatever_the_name(name: str) -> None:
    encoded = encode_progress(Progress(Offset(2**63 - 1), EventTimeMs(-(2**63)), LARGEST), name)
    assert len(encoded.encode()) <= 4_096


def test_a_window_that_ends_beyond_the_last_event_time_comes_back() -> None:
    progress = Progress(Offset(7), EventTimeMs(8_000), replace(LARGEST, closed_to_ms=2**63 + 5))
    assert progress == decode_progress(Offset(7), encode_progress(progress))


def test_metadata_is_committed_in_this_form_and_no_other() -> None:
    ahead = ReadAhead(
        Offset(12),
        EventTimeMs(8_000),
        5_000,
        ClockName.EVENT,
        5_000,
        1_000,
        300_000,
        LatePolicy.DIVERT,
        ((Offset(3), 9),),
    )
    assert encode_progress(Progress(Offset(7), EventTimeMs(4_000), ahead)) == (
        '{"txwatch":2,"watermark":4000,"read":12,"read_watermark":8000,"closed_to":5000,"clock":"event","size":5000,'
        '"lateness":1000,"max_future":300000,"late":"divert","horizons":[[3,9]]}'
    )


def test_the_writer_is_written_down_and_found_again() -> None:
    text = encode_progress(Progress(Offset(7), EventTimeMs(4_000)), instance="one")
    assert text == '{"txwatch":1,"watermark":4000,"by":"one"}'
    assert writer_of(text) == "one"
    assert decode_progress(Offset(7), text) == Progress(Offset(7), EventTimeMs(4_000))


@pytest.mark.parametrize("text", ["", "rubbish", '{"by":"one"}', '{"txwatch":1,"watermark":5}', '{"txwatch":1,"by":3}'])
def test_metadata_without_a_name_has_no_writer(text: str) -> None:
    assert writer_of(text) == ""


def test_a_name_that_would_crowd_the_metadata_is_left_out() -> None:
    progress = Progress(Offset(7), EventTimeMs(4_000))
    assert writer_of(encode_progress(progress, instance="ü" * 128)) == "ü" * 128
    assert writer_of(encode_progress(progress, instance="ü" * 129)) == ""
