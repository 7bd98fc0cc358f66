"""Backtests over CSVs: what the report says, against sums that the test makes by itself."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple
from sklearn.metrics import average_precision_score

from brokerkit.service_process import ROOT
from service.history.backtest.span import Span
from service.history.backtest.tallies import Bins, Keys, Scores, TopIds, median
from service.wire.transactions import JsonDecoder, decode_rows, encode_transaction
from tests.contracts import check, parsed
from tests.unit.test_cli_service import Txwatch

START: Final = datetime(2024, 5, 11, 10, 0, tzinfo=UTC)
EVENT: Final = '[window]\nclock = "event"\n[late]\npolicy = "divert"\n'
DAY_S: Final = 86_400


@pytest.fixture
def txwatch(tmp_path: Path) -> Txwatch:
    """The program, in an empty directory."""
    return Txwatch(tmp_path)


def rows(seed: int = 1, count: int = 1_500, step_s: int = 60) -> list[tuple[str, datetime, float, bool]]:
    """Payments of 20 ids; a bad one is larger."""
    chance = random.Random(seed)  # noqa: S311 - the same each time
    found = []
    for number in range(count):
        bad = chance.random() < 0.03
        amount = round(chance.lognormvariate(3, 0.7) * (4 if bad else 1), 2) + 0.01
        found.append((f"tx{chance.randrange(20)}", START + timedelta(seconds=number * step_s), amount, bad))
    return found


def csv_of(directory: Path, found: list[tuple[str, datetime, float, bool]]) -> Path:
    file = directory / "some.csv"
    lines = [f"{key},{at:%Y-%m-%d %H:%M:%S},{amount:.2f},{int(bad)}" for key, at, amount, bad in found]
    file.write_text("\n".join(["transaction_id,timestamp,amount,fraud", *lines]) + "\n")
    return file


def by_window(found: list[tuple[str, datetime, float, bool]], size_s: int) -> dict[tuple[str, int], tuple[float, bool]]:
    """The oracle: of each id and window the greatest amount, and whether it is bad."""
    amounts: dict[tuple[str, int], list[float]] = defaultdict(list)
    bad: set[tuple[str, int]] = set()
    for key, at, amount, is_bad in found:
        where = key, int(at.timestamp()) // size_s
        amounts[where].append(float(f"{amount:.2f}"))
        bad |= {where} if is_bad else set()
    return {where: (max(each), where in bad) for where, each in amounts.items()}


def report_of(txwatch: Txwatch, *arguments: str, **settings: str) -> dict[str, Any]:
    done = txwatch("backtest", *arguments, "--format", "json", **settings)
    assert (0, "") == (done.code, done.err)
    check("backtest", parsed(done.out))
    found: dict[str, Any] = json.loads(done.out)
    return found


def test_sums_are_exact_and_a_late_row_is_in_no_window(txwatch: Txwatch) -> None:
    begin = "2024-05-11 10:00:0"
    lines = [*(f"exact,{begin}{second},0.1" for second in (1, 2, 3)), f"above,{begin}4,0.3", f"above,{begin}5,0.01"]
    lines += ["later,2024-05-11 10:05:00,0.1", f"late,{begin}6,5"]
    (txwatch.directory / "some.csv").write_text("\n".join(["transaction_id,timestamp,amount", *lines]) + "\n")
    (txwatch.directory / "new.toml").write_text(f"{EVENT}[detect]\nlimit = 0.3\n")
    report = report_of(txwatch, "--config", "new.toml", "--csv", "some.csv", "--alerts", "alerts.jsonl")
    alerts = [json.loads(line) for line in (txwatch.directory / "alerts.jsonl").read_text().splitlines()]
    assert [("above", 0.31, 2)] == [(one["transaction_id"], one["amount"], one["count"]) for one in alerts]
    assert (7, 3, 1) == (report["records"], report["keys"], report["alerts"])


def test_the_figures_are_those_of_the_windows(txwatch: Txwatch) -> None:
    found = rows()
    csv = csv_of(txwatch.directory, found)
    hour = f'{EVENT}[[detectors]]\nname = "big"\ntype = "threshold"\nof = "max"\nlimit = 60\n'
    (txwatch.directory / "new.toml").write_text(hour.replace("event", "event", 1) + "")
    windows = by_window(found, 3_600)
    report = report_of(
        txwatch,
        "--config",
        "new.toml",
        "--csv",
        str(csv),
        "--label",
        "fraud",
        "--budget",
        "5/day",
        WINDOW_SIZE_MS="3600000",
    )
    flagged = {where for where, (greatest, _) in windows.items() if greatest > 60}
    bad = {where for where, (_, is_bad) in windows.items() if is_bad}
    days = 25.0 / 24
    assert (len(found), len(windows), 20) == (report["records"], report["windows"], report["keys"])
    assert (len(flagged), {"big": len(flagged)}) == (report["alerts"], report["by_detector"])
    assert len(flagged) / days == pytest.approx(report["alerts_a_day"])
    assert len(flagged & bad) / len(flagged) == pytest.approx(report["precision"])
    assert len(flagged & bad) / len(bad) == pytest.approx(report["recall"])
    labels, scores = zip(*[(is_bad, greatest) for greatest, is_bad in windows.values()], strict=True)
    assert average_precision_score(labels, scores) == pytest.approx(report["average_precision"])
    first: dict[str, float] = {}
    for key, at, _, is_bad in found:
        if is_bad:
            first.setdefault(key, at.timestamp())
    soonest: dict[str, float] = {}
    for key, start in sorted(flagged & bad, key=lambda one: one[1]):
        soonest.setdefault(key, (start + 1) * 3_600 - first[key])
    assert median(soonest.values()) == pytest.approx(report["seconds_to_detection"])
    budget = report["detectors"]["big"]["budget"]
    above = [where for where, (greatest, _) in windows.items() if greatest > budget["limit"]]
    assert (int(5 * days), int(5 * days)) == (len(above), budget["anomalies"])
    top = sorted(Counter(key for key, _ in flagged).items(), key=lambda one: (-one[1], one[0]))[:10]
    assert [{"transaction_id": key, "alerts": count} for key, count in top] == report["top_ids"]


def test_what_is_gained_and_lost_is_named_by_id_and_window(txwatch: Txwatch) -> None:
    found = [("a", START, 50.0, False), ("b", START, 150.0, False), ("c", START + timedelta(seconds=10), 250.0, False)]
    csv = csv_of(txwatch.directory, found)
    detector = '[[detectors]]\nname = "{}"\ntype = "threshold"\n{}\n'
    (txwatch.directory / "new.toml").write_text(EVENT + detector.format("low", 'limit = 200\ndirection = "below"'))
    (txwatch.directory / "old.toml").write_text(EVENT + detector.format("high", "limit = 100"))
    report = report_of(txwatch, "--config", "new.toml", "--against", "old.toml", "--csv", str(csv))
    start = round(START.timestamp() * 1_000)
    first, second = ({"start": start + at, "end": start + at + 10_000} for at in (0, 10_000))
    assert [{"transaction_id": "a", "window": first, "detector": "low"}] == report["gained"]
    assert [{"transaction_id": "c", "window": second, "detector": "high"}] == report["lost"]
    assert (2, 2) == (report["alerts"], report["against"]["alerts"])


def test_a_setting_that_the_environment_overrides_in_both_is_noted(txwatch: Txwatch) -> None:
    csv = csv_of(txwatch.directory, rows(count=5))
    (txwatch.directory / "new.toml").write_text("[detect]\nlimit = 1\n")
    (txwatch.directory / "old.toml").write_text("[detect]\nlimit = 100\n")
    report = report_of(txwatch, "--config", "new.toml", "--against", "old.toml", "--csv", str(csv), DETECT_LIMIT="1000")
    assert "DETECT_LIMIT comes from the environment, in both configurations." in report["notes"]


def test_a_file_that_is_read_by_the_replays_options(txwatch: Txwatch) -> None:
    (txwatch.directory / "odd.csv").write_bytes(
        "Bank\nk\u00e9y;11.05.2024 12:00;1.234,50\nk;;1,0\nk;x;1,0\n".encode("cp1252")
    )
    report = report_of(
        txwatch,
        "--csv", "odd.csv", "--skip-lines", "1", "--no-header", "--delimiter", ";", "--decimal", ",",
        "--thousands", ".", "--encoding", "cp1252",
        "--timestamp-format", "%d.%m.%Y %H:%M", "--timezone", "Europe/Berlin",
        DETECT_LIMIT="1234.49",
    )  # fmt: skip
    assert (1, {"threshold": 1}) == (report["records"], report["by_detector"])
    assert {"malformed": 1, "with an empty cell": 1} == report["unusable_rows"]
    assert 1_715_421_600_000 == report["span"]["from"]


def test_what_judges_by_the_wall_clock_is_left_out_and_noted(txwatch: Txwatch) -> None:
    csv = csv_of(txwatch.directory, rows(count=5))
    silent = {"name": "silent", "type": "inactivity", "after_ms": 5, "clock": "wall"}
    report = report_of(txwatch, "--csv", str(csv), DETECTORS=json.dumps([silent]))
    assert {} == report["by_detector"]
    assert [True] == [note.startswith("Detector silent judges by the wall clock") for note in report["notes"][:1]]


@pytest.mark.parametrize("columns", [80, 120])
def test_the_text_fits_the_terminal(txwatch: Txwatch, columns: int) -> None:
    found = [(f"{key}-{'x' * 300}" if key == "tx1" else key, at, amount, bad) for key, at, amount, bad in rows()]
    csv = csv_of(txwatch.directory, found)
    old = txwatch.directory / "old.toml"
    old.write_text("[detect]\nlimit = 150\n")
    more = ("--label", "fraud", "--budget", "5", "--against", "old.toml")
    (txwatch.directory / "new.toml").write_text("[detect]\nlimit = 60\n")
    done = txwatch("backtest", "--csv", csv.name, "--config", "new.toml", *more, COLUMNS=str(columns))
    assert (0, "") == (done.code, done.err)
    assert [] == [line for line in done.out.splitlines() if len(line) > columns or line != line.rstrip()]
    assert "gained" in done.out


def test_an_interrupt_prints_what_was_found_so_far(tmp_path: Path) -> None:
    (tmp_path / "pipe.csv").touch()
    csv = csv_of(tmp_path, rows(count=3_000, step_s=20))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "service", "backtest", "--csv", str(pipe), "--format", "json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DETECT_LIMIT": "60"}
    with (
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process,
        pipe.open("wb") as writer,
    ):
        writer.write(csv.read_bytes())
        writer.flush()
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    report = json.loads(out)
    assert (0, True) == (process.returncode, report["alerts"] > 0)
    assert report["notes"][-1].startswith("It was stopped before the end")


def test_a_plot_is_drawn_and_a_wrong_name_is_refused(txwatch: Txwatch) -> None:
    csv = csv_of(txwatch.directory, rows())
    done = txwatch("backtest", "--csv", str(csv), "--label", "fraud", "--plot", "plot.svg", DETECT_LIMIT="60")
    assert (0, "") == (done.code, done.err)
    assert (txwatch.directory / "plot.svg").read_text().count("<path") > 10
    wrong = txwatch("backtest", "--csv", str(csv), "--plot", "plot.xyz")
    assert (2, "", 1) == (wrong.code, wrong.out, wrong.err.count("\n"))
    assert "--plot plot.xyz" in wrong.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--csv", "some.csv", "--from", "0"], ["--csv", "--from"]),
        (["--csv", "some.csv", "--to", "5"], ["--to"]),
        (["--csv", "missing.csv"], ["missing.csv"]),
        (["--csv", "some.csv", "--label", "nothing"], ["nothing"]),
        (["--csv", "some.csv", "--alerts", "some.csv"], ["--alerts"]),
        (["--csv", "some.csv", "--alerts", "no/folder/x"], ["--alerts"]),
    ],
)
def test_what_is_wrong_is_one_line(txwatch: Txwatch, arguments: list[str], words: list[str]) -> None:
    csv_of(txwatch.directory, rows(count=5))
    done = txwatch("backtest", *arguments)
    assert (2, "", 1) == (done.code, done.out, done.err.count("\n"))
    assert [] == [word for word in words if word not in done.err]


# ---- tallies ----------------------------------------------------------------------------------------------------


SCORED = st.lists(st.tuples(st.sampled_from([-3.0, 0.0, 0.1, 0.25, 2.0, 1e9]) | st.floats(-50, 50), st.booleans()))


@given(SCORED, st.integers(0, 3))
def test_average_precision_is_that_of_scikit_learn(scored: list[tuple[float, bool]], without: int) -> None:
    scores = Scores()
    for score, bad in scored:
        scores.add(score, bad=bad)
    for _ in range(without):
        scores.add(None, bad=True)
    if without + sum(bad for _, bad in scored) == 0:
        assert scores.average_precision() is None
        return
    labels = [bad for _, bad in scored] + [True] * without
    theirs = average_precision_score(labels, [score for score, _ in scored] + [-1e12] * without)
    assert theirs == pytest.approx(scores.average_precision())


@given(SCORED, st.integers(0, 20), st.sampled_from([3, 2**17]))
def test_no_more_than_the_budget_exceed_the_limit(scored: list[tuple[float, bool]], most: int, kept: int) -> None:
    scores = Scores(kept)
    for score, bad in scored:
        scores.add(score, bad=bad)
    found = scores.limit_for(most)
    if found is None:
        assert len(scored) <= most
        return
    limit, above = found
    exceed = sum(score > limit for score, _ in scored)
    assert exceed <= most
    if scores.exact:
        assert exceed == above
        more = max(score for score, _ in scored if score <= limit)
        assert sum(score >= more for score, _ in scored) > most


def test_many_scores_are_rounded_and_the_average_precision_is_nearly_the_same() -> None:
    chance = random.Random(5)  # noqa: S311 - the same each time
    exact, rounded = Scores(), Scores(1_000)
    for _ in range(20_000):
        bad = chance.random() < 0.1
        score = chance.gauss(2 if bad else 0, 1)
        exact.add(score, bad=bad)
        rounded.add(score, bad=bad)
    assert (True, False) == (exact.exact, rounded.exact)
    assert len(rounded._found) <= 2_000, "seven digits of each power of two are kept at least"
    assert exact.average_precision() == pytest.approx(rounded.average_precision(), abs=0.02)


def test_keys_are_counted_exactly_and_then_estimated_in_bounded_memory() -> None:
    keys = Keys(4_096)
    for begin in range(0, 4_000, 100):
        keys.add([f"tx{number}" for number in range(begin // 2, begin + 100)])
    assert (4_000, False) == (keys.count, keys.estimated)
    for begin in range(0, 100_000, 1_000):
        keys.add([f"tx{number}" for number in range(begin // 2, begin + 1_000)])
    assert keys.estimated
    assert len(keys._sample) <= 3 * 4_096
    assert 100_000 == pytest.approx(keys.count, rel=0.1)


def test_the_ids_with_most_alerts_stay_when_many_others_are_forgotten() -> None:
    top = TopIds(10)
    for number in range(1_000):
        top.add(f"once{number}")
        top.add(f"often{number % 3}")
    assert ["often0", "often1", "often2"] == [key for key, _ in top.top(3)]
    assert len(top._counts) <= 20


def test_bins_become_wider_when_there_are_many() -> None:
    bins = Bins(100)
    for minute in range(60 * 24 * 30):
        bins.add(minute * 60_000)
    assert (3_600_000 * 24, 30) == (bins.width_ms, len(bins.at_least(0)))
    assert {1_440} == {count for _, count in bins.at_least(0)}


@given(st.lists(st.integers(0, 60), min_size=1, max_size=30), st.integers(0, 30), st.integers(0, 60))
def test_a_span_has_each_record_once_in_its_order(times: list[int], begin: int, length: int) -> None:
    span = Span(begin + 10, begin + 10 + length, begin)
    runs: list[Any] = list(span.runs(times, times))  # type: ignore[arg-type]
    expected = [(one, one >= begin + 10) for one in times if begin <= one < begin + 10 + length]
    assert expected == [(one, report) for records, _, report in runs for one in records]


# ---- rows -------------------------------------------------------------------------------------------------------


IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5) | st.just("x" * 32_769)
TIMES = st.integers(99_999_999_990, 100_000_000_010) | st.just(1_715_392_800_000)
AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**16), max_value=10**16).map(
    lambda one: f"{one:f}"
) | st.sampled_from(["0", "0.00", "1e-400", "1e5", "1e400", "12345678901234.5678"])


@given(st.lists(st.tuples(IDS, TIMES, AMOUNTS), max_size=8))
def test_rows_are_decoded_as_their_json_is(found: list[tuple[str, int, str]]) -> None:
    columns = [list(column) for column in zip(*found, strict=True)] or [[], [], []]
    ours = decode_rows(*columns)
    theirs = JsonDecoder().decode_values([encode_transaction(*one) for one in found])
    assert list(map(astuple, theirs.transactions)) == list(map(astuple, ours.transactions))
    assert [type(one.amount) for one in theirs.transactions] == [type(one.amount) for one in ours.transactions]
    assert {at: one.reason for at, one in theirs.rejections.items()} == {
        at: one.reason for at, one in ours.rejections.items()
    }
