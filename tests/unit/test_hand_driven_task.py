"""The hand-driven task does what the service does with one partition: commits, aborts and new owners included."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokerkit.service_process import ROOT
from service.core.detectors import Direction, Of
from service.core.detectors.deviation import Deviation
from service.core.detectors.inactivity import Inactivity
from service.core.detectors.threshold import Threshold
from service.core.model import Reason
from service.testing import ConfiguredDetector, DetectorError, HandDrivenTask, SettingsError, UnknownStateError
from service.wire.alerts import AlertPayload
from tests.core.remembering import Counting
from tests.core.test_memory import Broken
from tests.driver import T0

BY_EVENT = {"WINDOW_CLOCK": "event", "LATE_POLICY": "divert", "WATERMARK_LATENESS_MS": "0"}


def high(limit: int = 8000, **more: Any) -> ConfiguredDetector:  # noqa: ANN401
    """A threshold on the sum."""
    return ConfiguredDetector("high", Threshold(Decimal(limit)), **more)


def counting() -> ConfiguredDetector:
    """A detector that counts each id's windows and reports each."""
    return ConfiguredDetector("count", Counting())


def by_event(*detectors: ConfiguredDetector, **more: str) -> HandDrivenTask:
    """A task whose windows are by event time."""
    return HandDrivenTask(*detectors, now_ms=T0, settings={**BY_EVENT, **more})


def amounts(alerts: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Id and sum of each alert."""
    return [(one["transaction_id"], one["amount"]) for one in alerts]


# ---- windows and alerts ------------------------------------------------------------------------------------------


def test_without_detectors_and_settings_it_is_the_service_as_it_is_installed() -> None:
    task = HandDrivenTask(now_ms=T0)
    task.read(("tx1", T0, 3200.0), ("tx1", T0 + 5_000, 6000.0), ("tx2", T0, Decimal(8000)))
    task.at(T0 + 10_000)
    (alert,) = task.commit()
    assert ("threshold", "tx1", Decimal("9200.0"), T0 + 4_000) == (
        alert["detector"], alert["transaction_id"], alert["amount"], alert["watermark"],
    )  # fmt: skip
    assert "rules" not in alert
    assert [alert] == task.alerts
    assert AlertPayload.from_json(json.dumps(alert, default=float).encode()).detected_at == T0 + 10_000


def test_a_window_of_the_wall_clock_is_committed_at_its_end() -> None:
    task = HandDrivenTask(high(), now_ms=T0)
    task.read(("tx1", T0, 9000.0))
    task.at(T0 + 9_999)
    with pytest.raises(ValueError, match="a window of the wall clock is open: set the clock to its end"):
        task.commit()
    task.at(T0 + 10_000)
    assert [("tx1", Decimal("9000.0"))] == amounts(task.commit())
    assert [] == task.commit()


def test_by_event_time_a_later_record_closes_the_window() -> None:
    task = by_event(high())
    task.read(("tx1", T0, 9000.0))
    assert [] == task.commit()
    task.read(("tx2", T0 + 10_000, 1.0))
    assert T0 + 10_000 == task.watermark_ms
    assert [("tx1", Decimal("9000.0"))] == amounts(task.commit())


def test_by_ingestion_time_the_clock_closes_the_window_after_the_margin() -> None:
    task = HandDrivenTask(high(), now_ms=T0, settings={"WINDOW_CLOCK": "ingestion"})
    task.read(("tx1", T0, 9000.0))
    task.at(T0 + 10_999)
    assert [] == task.commit()
    task.at(T0 + 11_000)
    assert [("tx1", Decimal("9000.0"))] == amounts(task.commit())


def test_late_and_future_records_are_set_aside() -> None:
    task = by_event(high())
    task.read(("tx1", T0 + 10_000, 1.0), ("tx1", T0, 1.0), ("tx1", T0 + 300_001, 1.0))
    task.abort()
    assert [] == task.set_aside
    task.commit()
    task.commit()
    assert [(1, Reason.LATE), (2, Reason.TIMESTAMP_IN_FUTURE)] == [(one.offset, one.reason) for one in task.set_aside]


def test_what_a_detector_looks_at_is_there() -> None:
    task = HandDrivenTask(ConfiguredDetector("big", Threshold(Decimal(5), of=Of.MAX), of=Of.MAX), now_ms=T0)
    task.read(("tx1", T0, 3.0), ("tx1", T0, 6.5))
    task.at(T0 + 10_000)
    (alert,) = task.commit()
    assert ("max", Decimal("6.5")) == (alert["of"], alert["value"])


def test_shadow_alerts_are_apart() -> None:
    task = HandDrivenTask(high(), ConfiguredDetector("trial", Threshold(Decimal(1)), shadow=True), now_ms=T0)
    task.read(("tx1", T0, 9000.0))
    task.at(T0 + 10_000)
    assert ["high"] == [one["detector"] for one in task.commit()]
    assert ["trial"] == [one["detector"] for one in task.shadow_alerts]


def test_a_replay_commits_where_the_service_would() -> None:
    task = HandDrivenTask(counting(), now_ms=T0)
    assert 2 == len(task.replay(*(("tx1", T0 + at, 1.0) for at in (0, 9_999, 10_000, 25_000))))
    task.at(T0 + 30_000)
    assert 1 == len(task.commit())
    assert 3 == task.state("count", "tx1")
    task = by_event(counting())
    assert 2 == len(task.replay(*(("tx1", T0 + at, 1.0) for at in (0, 10_000, 25_000))))


# ---- settings ----------------------------------------------------------------------------------------------------


def test_a_file_of_settings_brings_its_detectors_and_their_hash(tmp_path: Path) -> None:
    file = tmp_path / "service.toml"
    file.write_text(
        '[window]\nsize_ms = 60_000\n[[detectors]]\nname = "many"\ntype = "threshold"\nof = "count"\nlimit = 1'
    )
    task = HandDrivenTask(now_ms=T0, settings=file)
    task.read(("tx1", T0, 1.0), ("tx1", T0, 1.0))
    task.at(T0 + 60_000)
    (alert,) = task.commit()
    assert ("many", 2, 8) == (alert["detector"], alert["value"], len(alert["rules"]))


def test_a_wrong_setting_is_named() -> None:
    with pytest.raises(SettingsError, match="WINDOW_SIZE_MS"):
        HandDrivenTask(now_ms=T0, settings={"WINDOW_SIZE_MS": "10s"})


def test_the_file_in_the_current_folder_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "service.toml").write_text("[detect]\nlimit = 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DETECT_LIMIT", "1")
    task = HandDrivenTask(now_ms=T0)
    task.read(("tx1", T0, 5.0))
    task.at(T0 + 10_000)
    assert [] == task.commit()


# ---- txns that fail, and other owners ----------------------------------------------------------------------------


def test_what_an_aborted_txn_judged_is_judged_again_and_counts_once() -> None:
    task = by_event(counting())
    task.read(("tx1", T0, 1.0), ("tx1", T0 + 10_000, 1.0))
    task.abort()
    assert ([], {}) == (task.alerts, task.states)
    assert [1] == [one["limit"] + task.state("count", "tx1") for one in task.commit()]
    task.read(("tx1", T0 + 20_000, 1.0))
    task.commit()
    assert 2 == task.state("count", "tx1")


def test_by_the_wall_clock_an_aborted_window_is_read_again_into_the_present_one() -> None:
    task = HandDrivenTask(high(), now_ms=T0)
    task.read(("tx1", T0, 9000.0))
    task.at(T0 + 10_000)
    task.abort()
    assert [] == task.alerts
    task.at(T0 + 20_000)
    (alert,) = task.commit()
    assert T0 + 10_000 == alert["window"]["start"]


def test_the_next_owner_reads_back_the_states_and_reads_open_windows_again() -> None:
    task = by_event(counting())
    task.read(("tx1", T0, 1.0), ("tx1", T0 + 10_000, 1.0))
    task.commit()
    task.restart()
    assert 1 == task.state("count", "tx1")
    task.read(("tx1", T0 + 20_000, 1.0))
    task.commit()
    assert 2 == task.state("count", "tx1")
    assert [Decimal("1.0"), Decimal("1.0")] == [one["amount"] for one in task.alerts]


def test_what_was_not_committed_is_judged_by_the_next_owner() -> None:
    task = by_event(counting())
    task.read(("tx1", T0, 1.0), ("tx1", T0 + 10_000, 1.0))
    task.restart()
    task.commit()
    assert 1 == task.state("count", "tx1")


def test_the_next_owner_may_have_other_detectors_and_keeps_the_settings() -> None:
    task = by_event(counting())
    task.read(("tx1", T0, 1.0), ("tx1", T0 + 10_000, 9000.0))
    task.commit()
    task.restart(high())
    assert {("count", "removed"): 1} == task.not_kept
    task.read(("tx2", T0 + 20_000, 1.0))
    assert [("tx1", Decimal("9000.0"))] == amounts(task.commit())
    assert {} == task.states


def test_an_exception_in_a_detector_commits_nothing_and_names_detector_id_and_window() -> None:
    task = by_event(counting(), ConfiguredDetector("mine", Broken()))
    task.read(("bad", T0, 1.0), ("tx2", T0 + 10_000, 1.0))
    for _ in range(2):  # the next attempt finds the same
        with pytest.raises(DetectorError, match=f"detector mine: id 'bad', window {T0} to {T0 + 10_000}: "):
            task.commit()
    assert ({}, []) == (task.states, task.alerts)
    task.restart(counting())
    assert ["bad"] == [one["transaction_id"] for one in task.commit()]


# ---- states ------------------------------------------------------------------------------------------------------


def test_a_state_is_of_the_detectors_own_type() -> None:
    usual = ConfiguredDetector("usual", Deviation(direction=Direction.BOTH))
    task = by_event(usual)
    task.read(("tx1", T0, 4.0), ("tx1", T0 + 10_000, 1.0))
    task.commit()
    assert (1, 4.0) == (task.state("usual", "tx1").windows, task.state("usual", "tx1").mean)
    assert None is task.state("usual", "tx2")
    assert [("usual", "tx1")] == [*task.states]


def test_a_state_of_another_form_and_the_same_kind_is_refused() -> None:
    class Other(Counting):
        state_type = str  # type: ignore[assignment]

    task = by_event(counting())
    task.read(("tx1", T0, 1.0), ("tx1", T0 + 10_000, 1.0))
    task.commit()
    with pytest.raises(UnknownStateError, match="it is damaged: Expected `str`, got `int`"):
        task.restart(ConfiguredDetector("count", Other()))


def test_open_episodes_are_counted() -> None:
    task = by_event(high(5, resolve_after=1))
    task.read(("tx1", T0, 9.0), ("tx1", T0 + 10_000, 1.0))
    task.commit()
    assert {"high": 1} == task.open_episodes
    task.read(("tx1", T0 + 20_000, 1.0))
    task.commit()
    assert {"high": 0} == task.open_episodes
    assert ["open", "resolved"] == [one["status"] for one in task.alerts]


@pytest.mark.parametrize("scope", ["key", "partition", "topic"])
def test_silence_by_the_wall_clock_counts_from_the_last_record(scope: Any) -> None:  # noqa: ANN401
    silent = ConfiguredDetector("silent", Inactivity(after_ms=30_000, scope=scope, clock="wall"))
    task = HandDrivenTask(silent, now_ms=T0)
    task.read(("tx1", T0, 1.0))
    task.at(T0 + 10_000)
    task.commit()
    task.read(("tx2", T0 + 10_000, 1.0))
    task.at(T0 + 20_000)
    task.commit()
    for at, due in ((29_999, []), (30_000, ["tx1"]), (39_999, [])):
        task.at(T0 + at)
        assert (due if scope == "key" else []) == [one["transaction_id"] for one in task.commit()]
    task.at(T0 + 40_000)
    assert ([] if scope == "key" else [""]) == [one["transaction_id"] for one in task.commit()]
    task.restart()
    task.at(T0 + 500_000)
    assert [] == task.commit()


def test_it_loads_no_kafka_client() -> None:
    code = "import service.testing, sys; print([n for n in sys.modules if 'confluent' in n])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ("[]\n", 0) == (done.stdout, done.returncode), done.stderr
