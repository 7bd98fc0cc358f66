"""What `explain` makes of the records behind an alert, without Kafka."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from service.core.detectors import ConfiguredDetector, Of
from service.core.detectors.inactivity import Inactivity
from service.core.detectors.threshold import Threshold
from service.core.model import LatePolicy, WallTimeMs
from service.history.explain import Explanation
from service.history.today import Today
from service.wire.alerts import AlertPayload
from service.wire.transactions import JsonDecoder
from tests.driver import T0
from tests.loop import Message, pay

NOW = WallTimeMs(T0 + 3_600_000)
HIGH = ConfiguredDetector("high", Threshold(Decimal("0.25")))


def alert(first: int | None = 0, last: int | None = 0, **fields: Any) -> AlertPayload:  # noqa: ANN401
    """An alert of tx1 about the window [0, 10 s) of event time."""
    window = {"start": T0, "end": T0 + 10_000, "clock": "event"}
    source = {"topic": "transactions", "partition": 0, "first_offset": first, "last_offset": last}
    usual = {
        "alert_id": "x", "detector": "high", "transaction_id": "tx1", "timestamp": T0, "amount": Decimal(1),
        "watermark": T0 + 10_000, "count": 1, "late_count": 0, "max_timestamp": T0, "window": window,
        "source": source, "limit": Decimal("0.25"), "detected_at": T0,
    }  # fmt: skip
    return AlertPayload.model_validate({**usual, **fields})


def explain(
    of: AlertPayload,
    *values: bytes,
    first: int = 0,
    configured: ConfiguredDetector | None = HIGH,
    policy: LatePolicy = LatePolicy.DIVERT,
) -> Explanation:
    """The explanation by these records, which begin at an offset."""
    found = Explanation(of, JsonDecoder(), 1_000, 0, policy, Today(configured))
    if values:
        appended = [Message(first + at, value, appended_ms=T0 + at) for at, value in enumerate(values)]
        found.take(appended, NOW)
    found.judge_alone()
    return found


def test_sums_are_exact() -> None:
    found = explain(
        alert(0, 2, amount=Decimal("0.3"), count=3), *(pay(at, "0.1").replace(b'"0.1"', b"0.1") for at in range(3))
    )
    assert ("0.3", True) == (found.as_json()["sum"], found.reproduced)
    assert not explain(alert(0, 2, amount=Decimal("0.30000000000000004"), count=3), *[pay(0, 0.1)] * 3).reproduced


@pytest.mark.parametrize("left_out", [0, 1, 2])
def test_every_record_of_the_window_counts(left_out: int) -> None:
    values = [pay(0, 1), pay(1, 2), pay(2, 4)]
    assert explain(alert(0, 2, amount=Decimal(7), count=3), *values).reproduced
    values[left_out] = pay(0, 1, "tx2")
    assert not explain(alert(0, 2, amount=Decimal(7), count=3), *values).reproduced


def test_late_is_below_the_watermark_of_the_records_before() -> None:
    found = explain(alert(0, 3), pay(5_000), pay(4_000), pay(3_999), pay(9_000, key="tx2"))
    assert [False, False, True] == [one.late for one in found.records]


@pytest.mark.parametrize(("policy", "count"), [(LatePolicy.INCLUDE, 2), (LatePolicy.DIVERT, 1)])
def test_a_late_record_is_no_part_of_a_window_if_it_was_set_aside(policy: LatePolicy, count: int) -> None:
    window = {"start": T0, "end": T0 + 10_000, "clock": "processing"}
    found = explain(alert(0, 1, window=window), pay(5_000), pay(0), policy=policy)
    assert count == found.as_json()["count"]


@pytest.mark.parametrize(
    ("limit", "of", "name", "reproduced", "said"),
    [
        ("0.25", Of.SUM, "high", True, "Sum 1.0 against the limit 0.25: the same verdict."),
        ("0.5", Of.SUM, "high", True, "The limit in the settings is 0.5 today. The limit of the alert was 0.25."),
        ("1", Of.SUM, "high", False, "finds no anomaly in it. The limit of the alert was 0.25."),
        ("7", Of.COUNT, "high", True, "The detector looks at another value now (count)"),
        ("7", Of.SUM, None, True, "The settings have no detector high"),
    ],
)
def test_the_verdict_is_that_of_the_settings(
    limit: str, of: Of, name: str | None, said: str, *, reproduced: bool
) -> None:
    configured = None if name is None else ConfiguredDetector(name, Threshold(Decimal(limit), of=of), of=of)
    found = explain(alert(), pay(0), configured=configured)
    assert reproduced == found.reproduced
    assert said in "\n".join(found.lines())


def test_other_rules_are_said() -> None:
    assert "other detectors now (those of DETECT_LIMIT) than those that judged (abc)" in "\n".join(
        explain(alert(rules="abc"), pay(0)).lines()
    )


# ---- silences ----------------------------------------------------------------------------------------------------


def silence(scope: str = "key", after_ms: int = 10_000, **fields: Any) -> tuple[AlertPayload, ConfiguredDetector]:  # noqa: ANN401
    """An alert about the silence [0, 10 s), and its detector."""
    usual = {"count": 0, "amount": Decimal(0), "limit": Decimal(10_000), "detector": "silent"}
    clock = "event" if scope == "key" else "wall"
    more = {
        "window": {"start": T0, "end": T0 + 10_000, "clock": clock},
        "transaction_id": "tx1" if scope == "key" else "",
    }
    detector = Inactivity(after_ms=after_ms, scope=scope, clock=clock)  # type: ignore[arg-type]
    return alert(**{**usual, **more, **fields}), ConfiguredDetector("silent", detector)


def test_a_silence_is_broken_by_a_record_within_it_and_by_no_other() -> None:
    of, configured = silence()
    assert explain(of, pay(0), pay(3_000, key="tx2"), pay(10_000), configured=configured).reproduced
    found = explain(of, pay(0), pay(9_999), configured=configured)
    assert (False, 1) == (found.reproduced, found.broken_by and found.broken_by.offset)


@pytest.mark.parametrize("policy", list(LatePolicy))
def test_a_late_record_that_came_after_the_verdict_does_not_break_it(policy: LatePolicy) -> None:
    of, configured = silence()
    records = pay(0), pay(11_000, key="tx2"), pay(5_000)
    assert explain(of, *records, configured=configured, policy=policy).reproduced


def test_a_late_record_before_the_verdict_breaks_it_only_if_it_was_counted() -> None:
    of, configured = silence(watermark=T0 + 12_000)
    records = pay(0), pay(8_000, key="tx2"), pay(5_000), pay(13_000, key="tx2")
    assert not explain(of, *records, configured=configured, policy=LatePolicy.INCLUDE).reproduced
    assert explain(of, *records, configured=configured, policy=LatePolicy.DROP).reproduced


def test_the_span_of_a_silence_is_that_of_the_settings() -> None:
    of, configured = silence(after_ms=20_000)
    found = explain(of, pay(0), pay(15_000), configured=configured)
    assert not found.reproduced
    assert "after_ms in the settings is 20000 today" in "\n".join(found.lines())


def test_the_silence_of_the_topic_is_broken_in_any_partition_and_may_have_no_record_in_the_first() -> None:
    of, configured = silence("topic", source={"topic": "t", "partition": 0, "first_offset": None, "last_offset": None})
    found = explain(of, configured=configured)
    assert (True, False, True) == (found.reproduced, found.expired, found.whole_topic)
    assert "none: the whole topic" in "\n".join(found.lines())
    found.take_of_others(3, [Message(7, pay(0), appended_ms=T0), Message(8, pay(0), appended_ms=T0 + 10_000)], NOW)
    assert found.as_json()["reproduced"]
    found.take_of_others(3, [Message(9, pay(0), appended_ms=T0 + 1)], NOW)
    assert not found.as_json()["reproduced"]
    assert "in partition 3 at offset 9" in "\n".join(found.lines())


def test_what_has_expired_is_said() -> None:
    found = explain(alert(0, 2), pay(0), first=2)
    assert (True, False) == (found.expired, found.reproduced)
    assert "Records from offset 0 on have expired: the first one left is 2." in list(found.lines())
