"""The settings are read again while the service runs: which change is taken over, and which is refused, and why."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from service.app import in_force
from service.app.detectors import configured
from service.app.in_force import Detecting
from service.app.reloading import ConfigFile, Reloading
from service.core.detectors import ConfiguredDetector
from service.core.model import ClockName, LatePolicy
from service.core.rules import TaskRules
from service.loop.change import Change
from service.loop.errors import Misconfigured, Retriable
from service.loop.output_topics import OutputTopics
from service.settings import Settings
from tests.unit.onnx_files import adding, saved

HIGH = '[[detectors]]\nname = "high"\ntype = "threshold"\nlimit = 100\n'
ODD = '[[detectors]]\nname = "odd"\ntype = "deviation"\n'
RULES = TaskRules(ClockName.PROCESSING, 10_000, 0, 0, 0, LatePolicy.INCLUDE, 0, 0)


class Reloader:
    """A file, and what comes of reading it again."""

    def __init__(self, path: Path, content: str) -> None:
        """Begin with this content."""
        self.path = path
        self.write(content)
        self.changes = deque[Change](maxlen=1)
        self.prepared: list[Detecting] = []
        self.problems: list[Exception] = []
        self.failed: list[bool] = []
        self.log: Any = structlog.testing.LogCapture()
        file = ConfigFile(path)
        self.reloading = Reloading(
            file,
            Detecting.by(file.read()),
            asked=threading.Event(),
            prepare=self._prepare,
            changes=self.changes,
            failed=self.failed.append,
            log=structlog.wrap_logger(None, processors=[self.log]),
        )
        self.look()
        assert ([], []) == (self.events(), self.prepared), "the file is the start's"

    def _prepare(self, new: Detecting) -> Change:
        if self.problems:
            raise self.problems.pop()
        self.prepared.append(new)
        return Change(RULES, OutputTopics("a", "", "", "d", 1, 1, 1), lambda: None)

    def write(self, content: str) -> None:
        """Replace the file as an editor does."""
        other = self.path.with_suffix(".new")
        other.write_text(content)
        other.replace(self.path)

    def look(self, times: int = 2, *, asked: bool = False) -> None:
        """Look so many times: a changed file is read at the second look."""
        for _ in range(times):
            self.reloading.look(asked=asked)

    def events(self) -> list[str]:
        """The log lines so far."""
        return [one["event"] for one in self.log.entries]

    def why(self) -> str:
        """What the last line says."""
        return str(self.log.entries[-1]["error"])

    def names(self) -> list[list[str]]:
        """The detectors of each change."""
        return [[one.name for one in detecting.detectors] for detecting in self.prepared]


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], Reloader]:
    return lambda content: Reloader(tmp_path / "service.toml", content)


def test_a_changed_file_is_read_once_it_has_been_written_and_its_detectors_wait_for_the_loop(
    file: Callable[[str], Reloader],
) -> None:
    there = file(HIGH)
    there.write(HIGH + ODD)
    there.look(1)
    assert [] == there.prepared, "it may not be complete yet"
    there.look(3)
    assert ([["high", "odd"]], 1, ["config_read"]) == (there.names(), len(there.changes), there.events())
    assert [False, False] == there.failed
    entry = there.log.entries[0]
    assert (["high", "odd"], there.prepared[0].rules) == (entry["detectors"], entry["rules"])


def test_a_config_map_is_swapped_by_a_link_of_a_folder(tmp_path: Path) -> None:
    for name, content in (("one", HIGH), ("two", ODD)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "service.toml").write_text(content)
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "service.toml").symlink_to("..data/service.toml")
    file = ConfigFile(tmp_path / "service.toml")
    before = file.look()
    (tmp_path / "..data_tmp").symlink_to("two")
    (tmp_path / "..data_tmp").replace(tmp_path / "..data")
    assert before != file.look()
    assert ["odd"] == [one.name for one in file.read().detectors]


def test_a_signal_reads_at_once_and_says_where_nothing_has_changed(file: Callable[[str], Reloader]) -> None:
    there = file(HIGH)
    there.look(1, asked=True)
    assert ["config_unchanged"] == there.events()
    there.write(ODD)
    there.look(1, asked=True)
    assert [["odd"]] == there.names()


def test_what_means_the_same_is_no_change(file: Callable[[str], Reloader]) -> None:
    there = file(HIGH + ODD)
    there.write(ODD + '[[detectors]]\nlimit = 1e2\ntype = "threshold"\nname = "high"\nmode = "active"\n')
    there.look()
    assert (["config_unchanged"], []) == (there.events(), there.names())


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[[detectors]\n", "service.toml: "),
        (HIGH.replace("threshold", "treshold"), "DETECTORS"),
        (HIGH.replace("limit", "limits"), "high"),
        (HIGH + HIGH, "high"),
        (
            HIGH + '[[detectors]]\nname = "m"\ntype = "model"\nfile = "none.onnx"\nfeatures = ["sum"]\nlimit = 1\n',
            "detector m",
        ),
        (ODD + "[window]\nsize_ms = 5000\n", "restart it for WINDOW_SIZE_MS"),
        (ODD + '[topics]\nalerts = "others"\n[log]\nlevel = "debug"\n', "restart it for TOPICS_ALERTS, LOG_LEVEL"),
        (ODD + "[detect]\nlimit = 5\n", "DETECT_LIMIT"),
    ],
)
def test_a_broken_file_changes_nothing_and_is_said_in_one_line(
    file: Callable[[str], Reloader], content: str, why: str
) -> None:
    there = file(HIGH)
    there.write(content)
    there.look(4)
    assert (["config_reload_failed"], []) == (there.events(), there.names())
    assert why in there.why()
    assert "\n" not in there.why()
    assert [False, True] == there.failed
    there.write(ODD)
    there.look()
    assert ([["odd"]], False) == (there.names(), there.failed[-1])


def test_a_file_that_goes_away_is_a_fault_and_not_the_defaults(file: Callable[[str], Reloader]) -> None:
    there = file(HIGH)
    there.path.unlink()
    there.look()
    assert (["config_reload_failed"], []) == (there.events(), there.names())
    assert "No such file" in there.why()


def test_a_default_file_that_goes_away_is_a_fault_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/service.toml").write_text(HIGH)
    default = ConfigFile(None)
    assert 1 == len(default.read().detectors)
    (tmp_path / "config/service.toml").unlink()
    with pytest.raises(Exception, match="No such file"):
        default.read()


def test_the_default_detector_may_be_replaced_and_its_limit_may_change(file: Callable[[str], Reloader]) -> None:
    there = file("[detect]\nlimit = 5\n")
    for content in ("[detect]\nlimit = 6\n", "[detect]\nlimit = 6.0\n", HIGH, ""):
        there.write(content)
        there.look()
    assert [["threshold"], ["high"], ["threshold"]] == there.names()
    assert [None, None] == [there.prepared[0].rules, there.prepared[2].rules]


def test_the_targets_of_forward_are_another_programs(file: Callable[[str], Reloader]) -> None:
    there = file(HIGH)
    there.write(HIGH + '[[forward]]\nname = "chat"\nurl = "http://127.0.0.1:1/"\n')
    there.look()
    assert ["config_unchanged"] == there.events()


def test_a_model_with_another_content_is_another_detector(file: Callable[[str], Reloader], tmp_path: Path) -> None:
    model = saved(tmp_path, adding(1))
    content = f'[[detectors]]\nname = "m"\ntype = "model"\nfile = "{model}"\nfeatures = ["sum"]\nlimit = 1\n'
    there = file(content)
    saved(tmp_path, adding(2))
    there.look(1, asked=True)
    assert ("config_reload_failed", []) == (there.events()[-1], there.names()), "its input is another one"
    saved(tmp_path, adding(1, "rows"))
    there.look(1, asked=True)
    assert [["m"]] == there.names()


def test_a_model_that_is_replaced_while_it_is_loaded_is_loaded_again(
    file: Callable[[str], Reloader], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = saved(tmp_path, adding(1))
    there = file(f'[[detectors]]\nname = "m"\ntype = "model"\nfile = "{model}"\nfeatures = ["sum"]\nlimit = 1\n')
    loaded: list[bytes] = []

    def slow(settings: Settings) -> tuple[ConfiguredDetector, ...]:
        loaded.append(model.read_bytes())
        found = configured(settings)
        saved(tmp_path, adding(1, "rows"))
        return found

    monkeypatch.setattr(in_force, "configured", slow)
    detecting = Detecting.by(there.reloading._file.read())
    assert model.read_bytes() == loaded[-1] != loaded[0]
    assert detecting.judge_like(detecting.settings)


def test_a_newer_change_replaces_one_that_waits_also_where_it_goes_back(file: Callable[[str], Reloader]) -> None:
    there = file(HIGH)
    for content in (ODD, HIGH):
        there.write(content)
        there.look()
    assert ([["odd"], ["high"]], 1) == (there.names(), len(there.changes))


def test_a_broken_file_leaves_a_change_that_waits(file: Callable[[str], Reloader]) -> None:
    there = file(HIGH)
    there.write(ODD)
    there.look()
    there.write("broken")
    there.look()
    assert 1 == len(there.changes)
    assert there.prepared[0].rules == there.log.entries[-1]["rules"]


def test_kafka_that_does_not_answer_is_asked_again(
    file: Callable[[str], Reloader], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = file(HIGH)
    there.write(ODD)
    there.problems = [Retriable("no answer"), Retriable("no answer")]
    constructed: list[Settings] = []

    def counted(settings: Settings) -> tuple[ConfiguredDetector, ...]:
        constructed.append(settings)
        return configured(settings)

    monkeypatch.setattr(in_force, "configured", counted)
    there.look(5)
    assert (["config_reload_waits", "config_read"], [["odd"]]) == (there.events(), there.names())
    assert 1 == len(constructed), "a model takes seconds to load"


def test_while_kafka_does_not_answer_a_newer_file_takes_the_place_of_the_one_that_waits(
    file: Callable[[str], Reloader],
) -> None:
    there = file(HIGH)
    there.problems = [Retriable("no answer")] * 4
    for content in (ODD, HIGH + ODD, HIGH + ODD + "broken"):
        there.write(content)
        there.look()
    there.look(3)
    assert (["config_reload_waits", "config_reload_waits", "config_reload_failed"], []) == (
        there.events(),
        there.names(),
    )


@pytest.mark.parametrize("problem", [Misconfigured("topic a has too few partitions"), ZeroDivisionError("a bug")])
def test_what_cannot_be_prepared_is_refused(file: Callable[[str], Reloader], problem: Exception) -> None:
    there = file(HIGH)
    there.write(ODD)
    there.problems = [problem]
    there.look(5)
    assert ["config_reload_failed"] == there.events()
    assert str(problem) in there.why()
    assert [False, True] == there.failed
    there.look(1, asked=True)
    assert [["odd"]] == there.names()


def test_the_thread_reads_at_the_signal_and_shows_a_bug_to_the_loop(file: Callable[[str], Reloader]) -> None:
    there = file(HIGH)
    there.write(ODD)
    there.reloading.start()
    there.reloading._asked.set()
    wait(lambda: there.prepared)
    there.reloading.check()
    there.reloading._file = None  # type: ignore[assignment]
    there.reloading._asked.set()
    with pytest.raises(AttributeError):
        wait(there.reloading.check)


class SignalledAtTheEnd(threading.Event):
    """A signal that comes just when the first wait is over."""

    waits = 0

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        self.waits += 1
        found = self.is_set()
        if self.waits == 1:
            self.set()
        return found


def test_a_signal_is_not_lost_whenever_it_comes(file: Callable[[str], Reloader]) -> None:
    there, seen = file(HIGH), list[bool]()

    def look(*, asked: bool) -> None:
        seen.append(asked)
        there.reloading._over = len(seen) == 3

    there.reloading._asked = SignalledAtTheEnd()
    there.reloading.look = look  # type: ignore[method-assign]
    there.reloading._run()
    assert [False, True, False] == seen


def wait(done: Callable[[], object]) -> None:
    """Wait a few seconds at most."""
    for _ in range(500):
        if done():
            return
        threading.Event().wait(0.01)
    raise TimeoutError(os.fspath(Path.cwd()))
