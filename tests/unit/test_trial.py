"""What try-input shows of a record: in 80 columns, with nothing that a terminal obeys."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from service.core.model import EventTimeMs, WallTimeMs
from service.history.records import StoredRecord
from service.history.trial import HEADING, Trial
from service.wire.decoder import Decoded, Decoder
from service.wire.records import InRecord
from service.wire.transactions import JsonDecoder
from tests.loop import pay

ROOT = Path(__file__).parents[2]
NOW_MS = WallTimeMs(1_800_000_000_000)


def lines(value: bytes | None, trial: Trial | None = None) -> list[str]:
    """What is shown of a record at offset 7 of partition 3."""
    trial = trial or Trial(JsonDecoder(), 300_000)
    return list(trial.lines(StoredRecord(3, 7, 0, value), NOW_MS))


@pytest.mark.parametrize("length", [1, 20, 21, 100, 5_000])
def test_an_id_of_any_length_is_shown_within_80_columns(length: int) -> None:
    found = lines(pay(0, 12.5, "x" * length))
    assert [] == [line for line in found if len(line) > 80]
    assert min(length, 434) == "".join(found).count("x")
    assert (length > 434) == ("… (5,000 characters)" in "".join(found))


def test_control_characters_are_escaped_in_ids_and_reasons() -> None:
    found = lines(pay(0, 1.0, "a\x1b[31m\nb\u202e"))
    assert r"a\x1b[31m\nb\u202e" == found[0].split()[-1]


def test_an_event_time_that_is_too_far_ahead_is_rejected_as_the_service_does() -> None:
    value = b'{"transaction_id":"a","timestamp":1800000300001,"amount":1}'
    assert lines(value)[0].startswith("   3           7  rejected (timestamp_in_future): timestamp 1800000300001 is")
    assert "rejected" not in lines(value.replace(b"0001", b"0000"))[0]
    assert "rejected" not in lines(value, Trial(JsonDecoder(), 0))[0]


def test_by_ingestion_an_event_time_is_judged_by_the_records_append_time() -> None:
    trial = Trial(JsonDecoder(), 300_000, by_append_time=True)

    def shown(event_ms: int) -> str:
        value = b'{"transaction_id":"a","timestamp":%d,"amount":1}' % event_ms
        record = StoredRecord(3, 7, NOW_MS - 86_400_000, value)
        return next(trial.lines(record, NOW_MS))

    assert "rejected (timestamp_in_future)" in shown(NOW_MS - 86_400_000 + 300_001)
    assert "rejected" not in shown(NOW_MS - 86_400_000 + 300_000)


def test_a_time_that_no_calendar_has_is_shown_as_its_number() -> None:
    value = b'{"transaction_id":"a","timestamp":9223372036854775807,"amount":1}'
    assert "9223372036854775807 ms" in lines(value, Trial(JsonDecoder(), 0))[0]


class LeavingOut(Decoder):
    """Takes nothing."""

    def decode(self, records: Sequence[InRecord]) -> Decoded:
        return Decoded([], {}, dict.fromkeys(range(len(records)), EventTimeMs(0)))


def test_what_the_settings_leave_out_is_no_rejection() -> None:
    trial = Trial(LeavingOut(), 0)
    assert ["   3           7  filtered: it does not match INPUT_WHERE"] == lines(b"{}", trial)
    assert ["   3           7  ignored: it has no value, by INPUT_TOMBSTONES"] == lines(None, trial)
    assert "2 records of t: 1 filtered, 1 ignored" == trial.summary("t")
    assert not trial.all_rejected()


def test_the_example_of_the_page_is_what_is_shown() -> None:
    trial = Trial(JsonDecoder(), 0)
    values = [b'{"transaction_id":"acc-7","timestamp":1715392810000,"amount":9000.0}', b"rubbish"]
    shown = [
        HEADING,
        *(line for n, value in enumerate(values) for line in trial.lines(StoredRecord(0, n, 0, value), NOW_MS)),
    ]
    assert "".join(f"    {line}\n" for line in shown) in (ROOT / "docs/input.md").read_text(encoding="utf-8")
