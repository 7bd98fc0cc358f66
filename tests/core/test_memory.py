"""States change when their txn has committed, never before, and outlive everything but their partition."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.detectors import ConfiguredDetector, Finding, KeyWindow
from service.core.detectors.threshold import Threshold
from service.core.memory.alerts import FIELDS
from service.core.memory.failure import DetectorError
from service.core.memory.states import UnknownStateError
from service.core.model import Aggregate, EventTimeMs, Offset, TumblingWindow
from service.wire.alerts import AlertPayload
from tests.core.remembering import Counting, Remembering, statuses, threshold
from tests.driver import PLACE, T0


def counting(name: str = "count") -> ConfiguredDetector:
    """A detector that counts the windows of each key."""
    return ConfiguredDetector(name, Counting())


def counts(one: Remembering) -> list[float | None]:
    """The counts that were reported."""
    return [float(alert.facts.limit) for alert in one.alerts]


def test_a_window_that_is_judged_twice_because_its_txn_was_aborted_counts_once() -> None:
    one = Remembering(counting())
    window = one.window(0, a=1.0)
    one.abort(window)
    one.abort(window)
    one.commit(window)
    one.see(10_000, a=1.0)
    (packed,) = one.topic.values()
    assert 2 == one.memory._tables["count"].states.unpack(packed).state


def test_several_windows_of_one_txn_are_folded_by_their_ends() -> None:
    one = Remembering(counting())
    later, earlier = one.window(10_000, a=1.0), one.window(0, a=1.0)
    alerts = one.commit(later, earlier)
    assert [T0 + 10_000, T0 + 20_000] == [alert.facts.end_ms for alert in alerts]


def test_only_what_changed_is_written() -> None:
    one = Remembering(counting())
    one.see(0, a=1.0, b=1.0)
    one.memory.judge([one.window(10_000, b=1.0)], None, lambda _: None)
    assert [("count", "b")] == [(detector, key) for detector, key, _ in one.memory.changes()]


def test_a_restored_owner_goes_on_where_the_last_one_was() -> None:
    one = Remembering(counting())
    one.see(0, a=1.0)
    other = one.restarted()
    other.see(10_000, a=1.0)
    one.see(10_000, a=1.0)
    assert one.topic == other.topic


def test_two_detectors_do_not_share_states() -> None:
    one = Remembering(counting("first"), counting("second"))
    one.see(0, a=1.0)
    assert {("first", "a"), ("second", "a")} == one.topic.keys()


def test_a_detector_that_was_removed_leaves_nothing() -> None:
    one = Remembering(counting(), threshold(resolve_after=2))
    one.see(0, a=500.0)
    other = one.restarted(threshold())
    assert {("count", "removed"): 1, ("high", "removed"): 1} == other.not_kept
    assert other.memory.has_due
    assert [("a", "resolved")] == statuses(other.commit())
    assert {} == other.topic
    assert not other.memory.has_due


def test_a_detector_whose_states_mean_something_else_begins_without_them() -> None:
    one = Remembering(counting())
    one.see(0, a=1.0)
    changed = counting()
    changed.detector.state_kind = "something else"
    other = one.restarted(changed)
    assert {("count", "changed"): 1} == other.not_kept
    other.see(10_000, a=1.0)
    (packed,) = other.topic.values()
    assert 1 == other.memory._tables["count"].states.unpack(packed).state


@pytest.mark.parametrize("packed", [b"", b"\x02", b"\x01", b"\x01\x90", b"\x01\xc1"])
def test_a_state_that_cannot_be_read_is_refused(packed: bytes) -> None:
    with pytest.raises(UnknownStateError):
        Remembering(counting()).memory.restore({"count": {"a": packed}})


def test_the_refusal_names_the_version() -> None:
    with pytest.raises(UnknownStateError, match=r"its version is 2, known is 1"):
        Remembering(counting()).memory.restore({"count": {"a": b"\x02abc"}})


def test_a_silent_key_is_forgotten() -> None:
    one = Remembering(counting(), forget_after_ms=60_000)
    one.see(0, a=1.0, b=1.0)
    one.see(50_000, a=1.0)
    one.see(60_000, 60_000, c=1.0)
    assert {("count", "a"), ("count", "c")} == one.topic.keys()
    one.see(110_000, 109_999, c=1.0)
    assert ("count", "a") in one.topic
    one.see(120_000, 110_000, c=1.0)
    assert {("count", "c")} == one.topic.keys()
    assert one.restarted().memory.keys == one.memory.keys == 1


def test_a_key_that_is_forgotten_in_an_aborted_txn_is_forgotten_in_the_next_one() -> None:
    one = Remembering(counting(), forget_after_ms=60_000)
    one.see(0, a=1.0)
    late = one.window(100_000, b=1.0)
    one.abort(late)
    assert {("count", "a")} == one.topic.keys()
    one.commit(late)
    assert {("count", "b")} == one.topic.keys()


def test_a_detector_may_forget_a_key_by_itself() -> None:
    detector = Counting()
    counted = detector.judge
    detector.judge = lambda state, window: counted(state, window) if state is None else (None, None)  # type: ignore[method-assign,assignment,return-value]
    one = Remembering(ConfiguredDetector("once", detector), forget_after_ms=30_000)
    one.see(0, a=1.0)
    one.see(10_000, a=1.0)
    assert {} == one.topic
    assert [] == one.see(100_000)
    assert 0 == one.memory.keys


class Broken:
    """A detector with a fault."""

    state_type = int
    state_kind = "broken"

    def judge(self, state: int | None, window: KeyWindow) -> tuple[int, Finding | None]:
        """Fail at one key."""
        del state
        return 1 // (window.transaction_id != "bad"), None


@pytest.mark.parametrize("keeps", [True, False])
def test_an_exception_in_a_detector_names_detector_id_and_window(keeps: bool) -> None:  # noqa: FBT001
    detector = Broken()
    if not keeps:
        detector.state_type = None  # type: ignore[assignment]
    one = Remembering(ConfiguredDetector("mine", detector))
    line = f"detector mine: id 'bad', window {T0} to {T0 + 10_000}: ZeroDivisionError: "
    with pytest.raises(DetectorError, match=line):
        one.see(0, good=1.0, bad=1.0, worse=1.0)


class Finds:
    """A detector that returns the same for each window."""

    state_type = None
    state_kind = ""

    def __init__(self, finding: Any) -> None:  # noqa: ANN401
        self._finding = finding

    def judge(self, state: None, window: KeyWindow) -> tuple[None, Any]:
        """Return it."""
        del state, window
        return None, self._finding


@pytest.mark.parametrize("resolve_after", [0, 1])
@pytest.mark.parametrize(
    ("finding", "why"),
    [
        (Finding(math.nan), "ValueError: the finding has a number that is not finite: nan"),
        (Finding(Decimal("NaN")), "ValueError: the finding has a number that is not finite: NaN"),
        (Finding(1.0, value=math.inf), "ValueError: the finding has a number that is not finite: inf"),
        (
            Finding("5"),  # type: ignore[arg-type]
            "TypeError: must be real number, not str",
        ),
        (Finding(1.0, fields={"amount": 1, "count": 2}), "ValueError: every alert has the field amount already"),
        (Finding(1.0, fields={"what": object()}), "TypeError: Encoding objects of type object is unsupported"),
        ("high", "AttributeError: 'str' object has no attribute 'limit'"),
    ],
)
def test_what_an_alert_cannot_say_is_the_detectors_fault(finding: object, why: str, resolve_after: int) -> None:
    one = Remembering(ConfiguredDetector("mine", Finds(finding), resolve_after=resolve_after))
    with pytest.raises(DetectorError) as caught:
        one.see(0, a=1.0)
    assert f"detector mine: id 'a', window {T0} to {T0 + 10_000}: {why}" == str(caught.value)


def test_the_error_is_one_line() -> None:
    window = KeyWindow(
        "a\nb", Aggregate(EventTimeMs(T0), Offset(0), EventTimeMs(T0), Offset(0)), TumblingWindow(0, 9), EventTimeMs(T0)
    )
    text = str(DetectorError.about("mine", window, ValueError("no\nsuch  \tthing")))
    assert r"detector mine: id 'a\nb', window 0 to 9: ValueError: no such thing" == text


def test_detectors_add_fields_that_no_other_alert_has() -> None:
    assert {*AlertPayload.model_fields} - {"baseline", "score", "features"} == FIELDS


class Together:
    """A detector that judges all windows in one call, and remembers nothing."""

    state_type = None
    state_kind = ""

    def prepare(self, state: None, window: KeyWindow) -> tuple[None, Decimal]:
        """The sum is what it needs."""
        assert state is None
        return None, window.aggregate.value()

    def judge_all(self, rows: Sequence[Decimal]) -> list[Finding | None]:
        """The greatest sums are anomalies."""
        return [Finding(Decimal(0)) if row == max(rows) else None for row in rows]


@pytest.mark.parametrize("resolve_after", [0, 1])
def test_a_detector_may_judge_many_windows_at_once_and_remember_nothing(resolve_after: int) -> None:
    one = Remembering(ConfiguredDetector("greatest", Together(), resolve_after=resolve_after))
    assert ["b", "c"] == [alert.transaction_id for alert in one.see(0, a=1.0, b=2.0, c=2.0)]
    assert 2 * resolve_after == one.memory.keys


def test_an_exception_in_a_detector_of_many_windows_names_the_first_of_them() -> None:
    detector = Together()
    detector.judge_all = lambda rows: [None for row in rows if 1 / (row - 2)]  # type: ignore[method-assign]
    one = Remembering(ConfiguredDetector("mine", detector, resolve_after=1))
    line = f"detector mine: id 'a', window {T0} to {T0 + 10_000}: DivisionByZero: "
    with pytest.raises(DetectorError, match=line):
        one.see(0, a=1.0, b=2.0)


def test_a_state_that_cannot_be_written_names_detector_id_and_window() -> None:
    detector = Counting()
    detector.judge = lambda _state, _window: (object(), None)  # type: ignore[method-assign,assignment,return-value]
    one = Remembering(ConfiguredDetector("mine", detector))
    with pytest.raises(DetectorError, match=r"detector mine: id 'a', window .*: its state cannot be written: Encoding"):
        one.see(0, a=1.0)


def test_a_fault_of_our_own_is_not_the_detectors(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Remembering(counting())
    monkeypatch.setattr(one.memory._tables["count"], "_report", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        one.see(0, a=1.0)


def test_a_shadow_detector_finds_the_same_and_is_counted_apart() -> None:
    one = Remembering(threshold(), threshold("trial", shadow=True))
    found = one.memory.judge([one.window(0, a=500.0)], None, lambda _: None)
    assert [("high", False), ("trial", True)] == [(alert.detector, alert.shadow) for alert in found.alerts]
    assert ({"high": 1}, {"trial": 1}) == (found.anomalies, found.shadow_anomalies)


STEPS = st.lists(
    st.tuples(st.sampled_from(("commit", "abort", "restart")), st.sets(st.sampled_from("abc"))), max_size=12
)


@given(STEPS)
def test_whatever_is_aborted_or_restarted_the_states_are_those_of_the_committed_windows(
    steps: list[tuple[str, set[str]]],
) -> None:
    disturbed, calm = (
        Remembering(counting(), threshold(resolve_after=1, limit=0), forget_after_ms=25_000) for _ in range(2)
    )
    for number, (what, keys) in enumerate(steps):
        sums = dict.fromkeys(sorted(keys), 1.0 if number % 3 else -1.0)
        window = disturbed.window(number * 10_000, **sums)
        if what == "restart":
            disturbed = disturbed.restarted()
        elif what == "abort":
            disturbed.abort(window)
        calm.commit(window)
        disturbed.commit(window)
    assert calm.topic == disturbed.topic
    assert calm.memory.keys == disturbed.memory.keys
    assert calm.memory.open_episodes == disturbed.memory.open_episodes


def test_a_detector_without_state_writes_none() -> None:
    one = Remembering(ConfiguredDetector("high", Threshold(Decimal(1))))
    one.see(0, a=5.0)
    assert {} == one.topic
    assert PLACE.topic == "transactions"
