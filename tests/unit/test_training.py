"""Training: the windows of a CSV, the models fitted to them, and what they do when they are served."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time
import tomllib
from array import array
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import onnx
import pytest
import skl2onnx
from hypothesis import given
from hypothesis import strategies as st
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import LinearRegression

from producer.reading.layout import Layout
from producer.reading.times import DEFAULT_FORMAT, TimestampParser
from service.app import training
from service.app.csv_file import CsvFile
from service.app.onnx_model import load
from service.app.training import Read, Trained, TrainingError, read_examples, train
from service.cli.main import main
from service.core.detectors import Finding, KeyWindow
from service.core.detectors.features import FEATURES
from service.core.detectors.model import Model, Row
from service.core.model import AggregateDetail, ClockName, LatePolicy
from service.history.training import fit
from service.history.training.limit import flipped, limit_for
from service.process.stop import Stop
from service.settings import load as load_settings
from service.wire.transactions import decode, encode_transaction
from tests.driver import Driver
from tests.unit.settings_files import NO_FILE
from tests.unit.test_cli_service import INHERITED, Done, Txwatch

SOME: Final = ("sum", "count", "max", "mean", "score")
START: Final = datetime(2024, 5, 11, 10, 0, tzinfo=UTC)
Payment = tuple[str, datetime, str, bool]


def payments(seed: int, seconds: int = 1_500) -> Iterator[Payment]:
    """Two small payments a second of five ids, a little out of order; one in a hundred is large, and bad."""
    chance = random.Random(seed)  # noqa: S311 - the same payments each time
    for number in range(2 * seconds):
        bad = chance.random() < 0.01
        amount = chance.uniform(2_000, 5_000) if bad else chance.uniform(5, 60)
        at = START + timedelta(seconds=max(0, number // 2 - chance.randrange(3)))
        yield f"tx{chance.randrange(5)}", at, f"{amount:.2f}", bad


def csv_of(folder: Path, rows: Sequence[Payment], name: str = "some.csv") -> Path:
    file = folder / name
    lines = [f"{key},{at:%Y-%m-%d %H:%M:%S},{amount},{int(bad)}" for key, at, amount, bad in rows]
    file.write_text("\n".join(["transaction_id,timestamp,amount,fraud", *lines]) + "\n")
    return file


def read(file: Path, features: Sequence[str] = SOME, *, labelled: bool = False) -> Read:
    layout = Layout(TimestampParser(DEFAULT_FORMAT, ZoneInfo("UTC")), extra=("fraud",) if labelled else ())
    settings = load_settings(NO_FILE, {}).settings
    return read_examples(CsvFile(str(file), layout, Stop()), settings, features, labelled=labelled)


def trained(one: Read, *, seed: int = 0, limit: float | None = None, share: float = 0.02) -> Trained:
    return train(one, seed=seed, limit=limit, share=share)


def served(
    detector: Model, rows: Sequence[Payment], batches: Sequence[int] = (1, 7, 400)
) -> dict[tuple[str, int], Any]:
    """What a partition's task and the detector make of these records: of each window the features and the finding.

    The task gets batches of these sizes, in turn. It knows nothing of CSVs or of training.
    """
    driver = Driver(
        clock=ClockName.EVENT,
        late_policy=LatePolicy.DIVERT,
        flush_after_ms=5_000,
        max_future_ms=0,
        detail=AggregateDetail(extremes=True),
    )
    states: dict[str, Any] = {}
    found: dict[tuple[str, int], tuple[Row, Finding | None]] = {}

    def boundary() -> None:
        waiting: list[Row] = []
        for one in driver.task.take_closed():
            for key, aggregate in one.aggregates.items():
                window = KeyWindow(key, aggregate, one.window, one.watermark_ms)
                states[key], row = detector.prepare(states.get(key), window)
                waiting.append(row)
        for row, finding in zip(waiting, detector.judge_all(waiting), strict=True):
            found[row.transaction_id, row.window.start_ms] = row, finding

    values = [encode_transaction(key, round(at.timestamp() * 1_000), amount) for key, at, amount, _ in rows]
    at = turn = 0
    while at < len(values):
        size = batches[turn % len(batches)]
        driver.read(*map(decode, values[at : at + size]))
        boundary()
        at, turn = at + size, turn + 1
    driver.task.reached_end(driver.task.next_offset)
    driver.at(5_000).task.at_end(driver.now_ms, driver.task.next_offset)
    boundary()
    return found


@pytest.fixture(scope="module")
def rows() -> list[Payment]:
    return list(payments(1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("training")


@pytest.fixture(scope="module")
def unlabelled(folder: Path, rows: list[Payment]) -> tuple[Read, Trained]:
    one = read(csv_of(folder, rows))
    return one, trained(one)


@pytest.fixture(scope="module")
def labelled(folder: Path, rows: list[Payment]) -> tuple[Read, Trained]:
    one = read(csv_of(folder, rows), labelled=True)
    return one, trained(one)


def detector_of(folder: Path, model: Trained) -> Model:
    file = folder / "served.onnx"
    file.write_bytes(model.fitted.onnx)
    return Model(score=load(file, SOME), features=SOME, limit=model.limit)


# ---- windows and features -----------------------------------------------------------------------------------


@pytest.mark.parametrize("batches", [(1,), (512,), (3, 50, 1)])
def test_a_model_is_served_the_features_that_it_was_trained_with(
    folder: Path, rows: list[Payment], batches: tuple[int, ...]
) -> None:
    examples = read(csv_of(folder, rows), FEATURES).examples
    detector = Model(score=lambda some: [0.0] * len(some), features=FEATURES, limit=1.0)
    windows = served(detector, rows, batches)
    keys = list(zip(examples.ids, examples.starts_ms, strict=True))
    assert sorted(windows) == sorted(keys)
    ours = [array("f", windows[key][0].values).tolist() for key in keys]
    assert [examples.features_of(index) for index in range(len(examples))] == ours
    assert {1.0} < set(examples.values[FEATURES.index("baseline_windows") :: len(FEATURES)])


def test_a_window_is_bad_if_any_of_its_records_is(labelled: tuple[Read, Trained], rows: list[Payment]) -> None:
    one, _ = labelled
    expected = {(key, round(at.timestamp()) // 10 * 10_000) for key, at, _, bad in rows if bad}
    keys = zip(one.examples.ids, one.examples.starts_ms, one.bad or [], strict=True)
    assert expected == {(key, start_ms) for key, start_ms, bad in keys if bad}


def test_rows_that_are_in_no_window_are_counted(folder: Path) -> None:
    late = START - timedelta(hours=1)
    lines: list[Payment] = [
        ("tx1", START, "5", False),
        ("tx1", late, "9000", True),
        ("", START, "5", False),
        ("tx2", START, "7", False),
        ("tx1", START, "five", False),
        ("tx1", START, "1e-500", False),
        ("x" * 40_000, START, "1", True),
    ]
    one = read(csv_of(folder, lines), ("sum", "count"))
    assert [[5.0, 1.0], [7.0, 1.0]] == [one.examples.features_of(index) for index in range(len(one.examples))]
    counted = one.tally.records, one.tally.late, sum(one.tally.rejected.values()), one.malformed, one.skipped
    assert (2, 1, 1, 2, 1) == counted
    with pytest.raises(TrainingError, match="no window is bad: no cell is 1 or true"):
        read(csv_of(folder, lines), labelled=True)


def test_a_bad_record_that_came_too_late_makes_no_window_bad(folder: Path) -> None:
    later = START + timedelta(minutes=1)
    lines: list[Payment] = [("tx1", START, "5", False), ("tx1", later, "5", False), ("tx1", START, "9", True)]
    with pytest.raises(TrainingError, match="no window is bad"):
        read(csv_of(folder, lines), labelled=True)


@pytest.mark.parametrize(("text", "odd"), [("1", 0), ("true", 0), (" TRUE ", 0), ("fraud", 1)])
def test_what_a_label_says(folder: Path, text: str, odd: int) -> None:
    file = folder / "labels.csv"
    at = f"{START:%Y-%m-%d %H:%M:%S}"
    file.write_text(f"transaction_id,timestamp,amount,fraud\na,{at},1,1\nb,{at},1,\nc,{at},1,0\nd,{at},1,{text}\n")
    one = read(file, labelled=True)
    assert ([True, False, False, not odd], odd) == (one.bad, one.odd_labels)


def test_a_file_without_a_window_is_nothing_to_fit(folder: Path) -> None:
    with pytest.raises(TrainingError, match="has rows in 0 windows"):
        read(csv_of(folder, []))
    with pytest.raises(TrainingError, match="every window is bad"):
        read(csv_of(folder, [("a", START, "1", True), ("b", START, "1", True)]), labelled=True)


# ---- models -------------------------------------------------------------------------------------------------


def test_a_forest_trained_on_one_csv_finds_the_anomalies_of_another(
    folder: Path, unlabelled: tuple[Read, Trained]
) -> None:
    others = list(payments(2))
    found = served(detector_of(folder, unlabelled[1]), others)
    large = {(key, round(at.timestamp()) // 10 * 10_000) for key, at, _, bad in others if bad}
    alerted = {key for key, (_, finding) in found.items() if finding}
    assert len(large) > 20
    assert len(alerted & large) >= 0.9 * len(alerted)
    assert len(alerted) >= 0.4 * len(large)


def test_a_classifier_trained_on_one_csv_finds_the_bad_windows_of_another(
    folder: Path, labelled: tuple[Read, Trained]
) -> None:
    others = list(payments(3))
    found = served(detector_of(folder, labelled[1]), others)
    large = {(key, round(at.timestamp()) // 10 * 10_000) for key, at, _, bad in others if bad}
    assert large == {key for key, (_, finding) in found.items() if finding}
    finding = next(finding for _, finding in found.values() if finding)
    assert {"score", "features"} == set(finding.fields)
    assert list(SOME) == list(finding.fields["features"])


@pytest.mark.parametrize("kind", ["unlabelled", "labelled"])
def test_serving_the_training_data_flags_what_training_said(
    folder: Path, rows: list[Payment], kind: str, request: pytest.FixtureRequest
) -> None:
    one, model = request.getfixturevalue(kind)
    found = served(detector_of(folder, model), rows)
    keys = list(zip(one.examples.ids, one.examples.starts_ms, strict=True))
    said = {key for key, score in zip(keys, model.scores, strict=True) if score > model.limit}
    assert said == {key for key, (_, finding) in found.items() if finding}
    assert 0 < len(said) < len(keys) / 10


@pytest.mark.parametrize("kind", ["unlabelled", "labelled"])
def test_the_outputs_of_both_libraries_agree(kind: str, request: pytest.FixtureRequest) -> None:
    _, model = request.getfixturevalue(kind)
    assert model.scores == pytest.approx(model.fitted.scores, abs=1e-6)
    assert all(0 <= score <= 1 for score in model.scores)


@pytest.mark.parametrize("kind", ["unlabelled", "labelled"])
def test_a_model_is_one_file_of_pinned_operators(kind: str, request: pytest.FixtureRequest) -> None:
    model = onnx.load_from_string(request.getfixturevalue(kind)[1].fitted.onnx)
    pinned = {"": 18, "ai.onnx.ml": 3}  # skl2onnx writes the oldest that has what the model needs
    assert all(one.version <= pinned[one.domain] for one in model.opset_import)
    assert (8, ["features"], ["score"]) == (
        model.ir_version,
        [one.name for one in model.graph.input],
        [one.name for one in model.graph.output],
    )


def test_the_same_seed_gives_the_same_file(unlabelled: tuple[Read, Trained], labelled: tuple[Read, Trained]) -> None:
    for one, model in (unlabelled, labelled):
        assert trained(one).fitted.onnx == model.fitted.onnx
    assert trained(unlabelled[0], seed=1).fitted.onnx != unlabelled[1].fitted.onnx


@pytest.mark.parametrize("seed", range(3))
def test_a_forest_of_any_numbers_is_written_exactly(seed: int) -> None:
    chance = np.random.default_rng(seed)
    values = chance.choice([1e-3, 1.0, 1e6], 200).astype(np.float32) * chance.normal(size=200).astype(np.float32)
    close = np.concatenate([values, np.nextafter(values, np.float32(1e9))]).tolist()
    fitted = fit.isolation_forest(array("f", close), 2, seed)
    scores = training._scores_of(fitted, _Rows(close))  # type: ignore[arg-type]
    assert scores == pytest.approx(fitted.scores, abs=1e-6)


@given(st.floats(-1e30, 1e30))
def test_a_threshold_of_float32_parts_the_same_numbers(threshold: float) -> None:
    (written,) = fit._float32_below(np.array([threshold]))
    near = np.float32(threshold)
    for number in (near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))):
        assert (float(number) <= threshold) is bool(number <= np.float32(written))


class _Rows:
    """Examples of two features."""

    names = ("sum", "count")

    def __init__(self, values: list[float]) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values) // 2

    def features_of(self, index: int) -> list[float]:
        return self.values[2 * index : 2 * index + 2]


def test_a_verdict_that_differs_is_an_error(unlabelled: tuple[Read, Trained], monkeypatch: pytest.MonkeyPatch) -> None:
    one, model = unlabelled
    wrong = fit.isolation_forest(one.examples.values, len(SOME), 0)
    at = model.scores.index(max(model.scores))
    changed = [*wrong.scores]
    changed[at] = 0.1
    monkeypatch.setattr(wrong, "scores", changed)
    monkeypatch.setattr(fit, "isolation_forest", lambda *_: wrong)
    with pytest.raises(TrainingError, match=rf"gives 0\.1, on the other side of the limit .* {one.examples.ids[at]!r}"):
        trained(one)


def test_a_model_of_skl2onnx_itself_is_served(folder: Path) -> None:
    numbers = np.array([[1.0, 1.0], [2.0, 5.0], [3.0, 1.0]], dtype=np.float32)
    fitted = LinearRegression().fit(numbers, numbers @ [2.0, -1.0])
    model = skl2onnx.to_onnx(fitted, initial_types=[("X", FloatTensorType([None, 2]))], target_opset=18)
    file = folder / "linear.onnx"
    file.write_bytes(model.SerializeToString())
    assert [pytest.approx(7.0), pytest.approx(-1.0)] == load(file, ("sum", "count"))([(4, 1), (0, 1)])


# ---- limits -------------------------------------------------------------------------------------------------

scores_ = st.lists(st.sampled_from([0.1, 0.25, 0.3, 0.5, 0.50000001, 0.9]) | st.floats(0, 1), min_size=1, max_size=50)


@given(scores_, st.floats(0.001, 0.5))
def test_at_most_the_share_is_above_the_limit_and_no_score_is_near_it(scores: list[float], share: float) -> None:
    limit = limit_for(scores, share)
    assert sum(score > limit for score in scores) <= max(1, share * len(scores))
    above, below = [score for score in scores if score > limit], [score for score in scores if score <= limit]
    assert below
    assert limit - max(below) > 0.9e-6
    assert all(score - limit > 0.9e-6 for score in above)
    ordered = sorted(scores, reverse=True)
    if len(ordered) > 1 and ordered[0] - ordered[1] > 1e-5:
        assert above


def test_a_limit_is_short_where_it_can_be() -> None:
    assert 0.6 == limit_for([0.5, 0.58, 0.6392, 0.7], 0.5)
    assert 2 == sum(score > limit_for([0.5] * 98 + [0.7, 0.8], 0.02) for score in [0.5] * 98 + [0.7, 0.8])
    assert limit_for([0.5] * 100, 0.02) > 0.52
    assert limit_for([0.5] * 98 + [0.7, 0.7000001], 0.01) > 0.72


def test_the_first_flipped_verdict_is_found() -> None:
    assert flipped([0.4, 0.6, 0.6], [0.4, 0.7, 0.5], 0.5) == 2
    assert flipped([0.4, 0.6], [0.5, 0.7], 0.5) is None


# ---- the command --------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run the command in this process, in an empty directory: the libraries take seconds to load."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["txwatch", "train", *arguments])
        code = main()
        return Done(code, *capsys.readouterr())

    return command


@pytest.fixture
def txwatch(tmp_path: Path) -> Txwatch:
    """The program, in an empty directory."""
    return Txwatch(tmp_path)


def test_the_command_prints_what_would_be_flagged_and_the_table(run: Callable[..., Done], rows: list[Payment]) -> None:
    csv_of(Path(), rows)
    done = run("--csv", "some.csv", "--output", "m.onnx", "--label", "fraud", "--features", "sum, max,score")
    assert (0, "") == (done.code, done.err)
    head, _, pasted = done.out.partition("\n\n")
    (table,) = tomllib.loads(pasted)["detectors"]
    assert {"name": "model", "type": "model", "file": "m.onnx", "limit": 0.5} == {
        key: value for key, value in table.items() if key != "features"
    }
    assert ["sum", "max", "score"] == table["features"]
    assert "m.onnx: a gradient-boosted classifier over sum, max, score" in head
    assert "precision 1.000, recall 1.000" in head
    assert "WINDOW_SIZE_MS=10000" in pasted
    assert ["m.onnx", "some.csv"] == sorted(file.name for file in Path().iterdir())
    load(Path("m.onnx"), table["features"])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--features", "sum,sums"], "'--features': 'sums' is no feature; there are sum, count, max"),
        (["--features", ","], "'--features': names no feature"),
        (["--features", "sum,sum"], "'--features': names sum twice"),
        (["--label", "fraud", "--contamination", "0.1"], "--contamination is of no use with --label"),
        (["--limit", "0.6", "--contamination", "0.1"], "--contamination is of no use with --limit"),
        (["--limit", "nan"], "'--limit': nan is not a finite number"),
        (["--contamination", "nan"], "'--contamination': nan is not"),
        (["--contamination", "0"], "'--contamination': 0.0 is not in the range"),
        (["--label", "nope"], "some.csv has no column 'nope'; its header:"),
        (["--label", "nope", "--no-header"], "--label: 'nope' is not a column's number from 1"),
        (["--output", "./some.csv"], "--output some.csv is the file that --csv reads"),
        (["--csv", "none.csv"], "none.csv: No such file or directory"),
        (["--csv", "."], "'--csv': File '.' is a directory"),
        (["--csv", "empty.csv"], "empty.csv is empty"),
        (["--timestamp-format", "%Q"], "--timestamp-format"),
        (["--config", "none.toml"], "--config none.toml"),
    ],
)
def test_wrong_usage_is_one_line(run: Callable[..., Done], arguments: list[str], why: str) -> None:
    csv_of(Path(), [("a", START, "1", True), ("b", START, "1", False)])
    Path("empty.csv").touch()
    assert why in run("--csv", "some.csv", "--output", "m.onnx", *arguments).complaint()
    assert not Path("m.onnx").exists()


def test_without_the_extra_it_says_what_to_install(txwatch: Txwatch) -> None:
    csv_of(txwatch.directory, [("a", START, "1", True), ("b", START, "1", True)])
    (txwatch.directory / "skl2onnx.py").write_text("raise ImportError")
    path = f"{txwatch.directory}:{INHERITED['PYTHONPATH']}"
    command = [sys.executable, "-m", "service", "train", "--csv", "some.csv", "--output", "m.onnx"]
    done = subprocess.run(
        command,
        cwd=txwatch.directory,
        env={**INHERITED, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "txwatch: train needs scikit-learn and skl2onnx: pip install 'txwatch[train]'\n" == done.stderr
    assert (2, "") == (done.returncode, done.stdout)


@pytest.mark.parametrize(
    ("some", "output", "why"),
    [
        ([], "m.onnx", "some.csv has rows in 0 windows; fitting needs 2"),
        ([("a", START, "1", True)] * 3, "m.onnx", "some.csv has rows in 1 windows; fitting needs 2"),
        (
            [("a", START, "1", True), ("b", START, "1", True)],
            "none/m.onnx",
            "--output none/m.onnx: No such file or directory",
        ),
    ],
)
def test_work_that_fails_is_one_line(run: Callable[..., Done], some: list[Payment], output: str, why: str) -> None:
    csv_of(Path(), some)
    done = run("--csv", "some.csv", "--output", output)
    assert (1, "", f"txwatch: {why}\n") == (done.code, done.out, done.err)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    output = tmp_path / "m.onnx"
    output.mkdir()
    with pytest.raises(IsADirectoryError):
        training.write(b"model", output)
    assert ["m.onnx"] == [file.name for file in tmp_path.iterdir()]
    with pytest.raises(FileNotFoundError):
        training.write(b"model", tmp_path / "none" / "m.onnx")
    output.rmdir()
    output.write_bytes(b"older")
    training.write(b"model", output)
    assert b"model" == output.read_bytes()


def test_a_signal_ends_it_while_a_pipe_has_no_writer(txwatch: Txwatch) -> None:
    os.mkfifo(txwatch.directory / "pipe")
    command = [sys.executable, "-m", "service", "train", "--csv", "pipe", "--output", "m.onnx"]
    with subprocess.Popen(command, cwd=txwatch.directory, env=INHERITED, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        writer = os.open(txwatch.directory / "pipe", os.O_RDWR | os.O_NONBLOCK)
        os.write(writer, b"transaction_id,timestamp,amount\n")
        while select.select([writer], [], [], 0)[0]:
            time.sleep(0.01)  # until the command has read the header
        process.send_signal(signal.SIGTERM)
        assert (b"", 0) == (process.stderr.read(), process.wait(30))
        os.close(writer)
    assert ["pipe"] == [file.name for file in txwatch.directory.iterdir()]
