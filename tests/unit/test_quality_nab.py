"""The Numenta benchmark's scoring, against sums by hand, and its folders, on small series in its layout."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.quality import nab
from bench.quality.judging import Floats
from bench.quality.nab_scoring import PROFILES, Labelled, not_scored, only_where, score, worth


def scores_at(rows: dict[int, float], count: int = 1_000) -> Floats:
    found = np.zeros(count)
    for row, value in rows.items():
        found[row] = value
    return found


STANDARD = PROFILES["standard"]
WINDOWS = [(400, 499), (700, 799)]


def points(rows: dict[int, float], profile: str = "standard") -> float:
    return score([Labelled(scores_at(rows), WINDOWS)], PROFILES[profile]).score


def test_a_perfect_detector_has_100_and_one_that_finds_nothing_0() -> None:
    assert [100.0] * 3 == [points({400: 1, 700: 1}, profile) for profile in PROFILES]
    nothing = [Labelled(np.full(1_000, -np.inf), WINDOWS)]
    assert [0.0] * 3 == [score(nothing, profile).score for profile in PROFILES.values()]


def test_a_detection_is_worth_more_the_earlier_it_is() -> None:
    assert [0.98661, 0.84828, 0.0, -0.98661, -1.0] == [round(worth(at), 5) for at in (-1, -0.5, 0, 1, 3)]
    assert 100 > points({400: 1, 750: 1}) > points({400: 1, 790: 1}) > points({400: 1}) == 50
    late = worth(-0.5) / worth(-1)
    assert pytest.approx(100 * (1 + late + 2) / 4) == points({400: 1, 750: 1})


def test_only_the_best_detection_of_a_window_counts() -> None:
    assert points({400: 1, 700: 1}) == points({400: 1, 450: 1, 499: 1, 700: 1})


def test_a_false_alarm_costs_what_the_profile_says() -> None:
    at_begin = {300: 1.0, 400: 1.0, 700: 1.0}
    assert pytest.approx(100 - 100 * 0.11 / 4) == points(at_begin)
    assert pytest.approx(100 - 100 * 0.22 / 4) == points(at_begin, "reward_low_FP_rate")
    assert pytest.approx(100 - 100 * 0.11 / 6) == points(at_begin, "reward_low_FN_rate")
    assert points({400: 1, 510: 1, 700: 1}) > points({400: 1, 600: 1, 700: 1}) > points(at_begin)


def test_the_threshold_is_one_for_all_series_and_the_best_one() -> None:
    alarms = {300: 0.5, 310: 0.5, 320: 0.5, 400: 0.9, 700: 0.8}
    found = score(
        [Labelled(scores_at(alarms), WINDOWS), Labelled(scores_at({10: 1.0, 650: 0.7}), [(600, 699)])], STANDARD
    )
    assert 0.7 == found.threshold
    assert pytest.approx(100 * (2 + worth(-0.5) / worth(-1) + 3) / 6) == found.score


def test_rows_of_one_score_are_detections_together_or_not_at_all() -> None:
    assert 100 > points({400: 1, 700: 1, 900: 1}) == points({400: 1, 700: 1, 900: 2})


def test_the_begin_of_a_series_is_not_scored() -> None:
    assert 100.0 == points({149: 1, 400: 1, 700: 1}) > points({150: 1, 400: 1, 700: 1})
    assert (150, 750, 750) == (not_scored(1_000), not_scored(5_000), not_scored(20_000))


def test_a_row_without_an_alert_is_no_detection() -> None:
    rows = only_where(scores_at({300: 1, 400: 1, 700: 1}), scores_at({400: 1, 700: 1}) > 0)
    assert 100.0 == score([Labelled(rows, WINDOWS)], STANDARD).score


def folder_of(path: Path, series: dict[str, tuple[list[float], list[tuple[int, int]]]]) -> Path:
    """Write series in the benchmark's layout: a value every five minutes, and windows by their rows."""
    labels = {}
    for name, (values, windows) in series.items():
        times = [f"2014-04-{1 + row // 288:02} {row % 288 // 12:02}:{row % 12 * 5:02}:00" for row in range(len(values))]
        file = path / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = [f"{at},{value}" for at, value in zip(times, values, strict=True)]
        file.write_text("\n".join(["timestamp,value", *rows, ""]))
        labels[name] = [[f"{times[begin]}.000000", f"{times[end]}.000000"] for begin, end in windows]
    (path / "labels").mkdir()
    (path / "labels" / "combined_windows.json").write_text(json.dumps(labels))
    return path


def a_spike(seed: int, at: int, count: int = 1_000) -> list[float]:
    values = np.random.default_rng(seed).normal(50, 2, count)
    values[at] = 90
    return [round(value, 3) for value in values.tolist()]


def test_series_of_the_benchmarks_layout_are_read_and_judged(tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path,
        {
            "one/a.csv": (a_spike(1, 500), [(500, 549)]),
            "two/b.csv": (a_spike(2, 700), [(680, 719)]),
            "two/quiet.csv": ([5.0, 5.5, 1e-5, -3.25], []),
        },
    )
    series = nab.read(folder)
    assert ["one/a.csv", "two/b.csv", "two/quiet.csv"] == [one.name for one in series]
    assert [[(500, 549)], [(680, 719)], []] == [one.windows for one in series]
    assert 300_000 == series[0].times_ms[1] - series[0].times_ms[0]
    assert ["5.0", "5.5", "1e-05", "-3.25"] == list(series[2].values)
    found = nab.figures(series, lambda _: None)
    best = 100 * (1 + worth(-0.5) / worth(-1) + 2) / 4
    assert {name: pytest.approx(best) for name in found} == {name: each["standard"] for name, each in found.items()}
    assert set(PROFILES) == set(found["deviation"])


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("labels/combined_windows.json", "{", "combined_windows.json: Expecting property name"),
        ("labels/combined_windows.json", "{}", "combined_windows.json: there is no one/a.csv"),
        (
            "labels/combined_windows.json",
            '{"one/a.csv": [["2020-01-01 00:00:00", "2020-01-02 00:00:00"]]}',
            "one/a.csv: a window",
        ),
        ("data/one/a.csv", "timestamp,value\n2014-04-01 00:00:00,x\n", "a.csv: line 2: could not convert"),
        ("data/one/a.csv", "time,value\n2014-04-01 00:00:00,1\n", "a.csv: line 2: 'timestamp'"),
    ],
)
def test_a_folder_of_another_layout_is_refused_by_one_line(
    tmp_path: Path, file: str, text: str, complaint: str
) -> None:
    folder = folder_of(tmp_path, {"one/a.csv": ([1.0, 2.0, 3.0], [])})
    (folder / file).write_text(text)
    with pytest.raises(nab.LayoutError) as caught:
        nab.read(folder)
    assert complaint in str(caught.value)
    assert 1 == len(str(caught.value).splitlines())


def test_a_folder_without_labels_or_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(nab.LayoutError, match=r"combined_windows\.json: No such file or directory$"):
        nab.read(tmp_path)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "combined_windows.json").write_text("{}")
    with pytest.raises(nab.LayoutError, match=r"there is no GROUP/NAME\.csv"):
        nab.read(tmp_path)
