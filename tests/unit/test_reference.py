"""docs/reference.md is what its program makes of the code, and nothing in the code is without its sentence."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.settings import NAMES
from tools import log_events, reference, reference_samples
from tools.reference_tables import MissingWordsError, check_words
from tools.reference_words import EVENTS

ROOT = reference.ROOT


def test_the_page_is_what_its_program_writes() -> None:
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), "run: python -m tools.reference"


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_setting_is_on_the_page(name: str) -> None:
    assert f"\n| `{name}` | " in reference.PAGE.read_text(encoding="utf-8")


def test_every_metric_is_on_the_page() -> None:
    page, code = (
        reference.PAGE.read_text(encoding="utf-8"),
        "".join(
            file.read_text(encoding="utf-8")
            for folder in ("service", "producer")
            for file in (ROOT / folder).rglob("*.py")
        ),
    )
    names = set(re.findall(r"\(\s*\"(txwatch_\w+)\"", code))
    assert "txwatch_state_restore_seconds" in names
    assert {name for name in names if not re.search(rf"\n\| `{name}(_total)?` \| ", page)} == set()


def test_a_thing_without_a_sentence_is_named() -> None:
    with pytest.raises(MissingWordsError, match="does not say what a log event means: tea_is_ready"):
        check_words([*EVENTS, "tea_is_ready"], EVENTS, "a log event")


def test_a_sentence_without_a_thing_is_named() -> None:
    with pytest.raises(MissingWordsError, match="explains a log event that does not exist: stopped"):
        check_words(set(EVENTS) - {"stopped"}, EVENTS, "a log event")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "before", "after", "said"),
    [
        ("service/app/ending.py", '.info("stopped")', '.info("ended")', "what a log event means: ended"),
        ("service/app/ending.py", '.info("stopped")', ".info(str(self))", "the name of this event is no constant"),
        ("service/app/loop_watch.py", "stood_s=", "stood_for_s=", "a field of a log event means: stood_for_s"),
        ("service/app/loop_watch.py", ".warning(", ".debug(", "what a level means: debug"),
        ("service/core/model.py", '"not_json"', '"no_json"', "what a reason means: no_json"),
        ("service/wire/records.py", '"txwatch.reason"', '"txwatch.why"', "what a header means: txwatch.why"),
        ("service/observe/http.py", '"throttled": ', '"slowed": ', "what a field of /status means: slowed"),
        ("tools/reference_samples.py", "metric.labels(*names)", "pass", "makes no sample of txwatch_"),
        (
            "service/wire/alerts.py",
            'detector: str = Field(description="the name of the detector")',
            "detector: str",
            "",
        ),
        ("service/settings/groups.py", 'description="the lowest level that is logged"', "", ""),
    ],
)
def test_what_is_new_in_the_code_stops_the_program(
    tmp_path: Path, path: str, before: str, after: str, said: str
) -> None:
    for package in ("service", "producer", "tools"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    changed = tmp_path / path
    text = changed.read_text(encoding="utf-8")
    assert before in text
    changed.write_text(text.replace(before, after), encoding="utf-8")
    command = [sys.executable, "-c", "from tools.reference import page; page()"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert (said or "has no description") in done.stderr.splitlines()[-1]


def test_the_example_of_a_log_line_has_the_fields_of_its_event() -> None:
    line = reference_samples.log_line()
    event = log_events.find(ROOT / "service")[line["event"]]
    assert [*event.fields, "event", "level", "timestamp"] == list(line)
    assert {line["level"]} == event.levels


# ---- log events ---------------------------------------------------------------------------------------------


def found(tmp_path: Path, code: str) -> dict[str, tuple[set[str], list[str]]]:
    """The events of a module: levels and fields."""
    (tmp_path / "module.py").write_text(code, encoding="utf-8")
    return {name: (one.levels, list(one.fields)) for name, one in log_events.find(tmp_path).items()}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ("self._log.info('one', a=1, b=2)", ["a", "b"]),
        ("log.info('one', a=1, **{'b': 2})", ["a", "b"]),
        ("more = {'b': 2} if self else {}\n  log.info('one', a=1, **more)", ["a", "b"]),
        ("log.info('one', **helper())", ["c"]),
        ("log.info('one')", []),
    ],
)
def test_an_event_has_the_fields_of_its_call(tmp_path: Path, body: str, fields: list[str]) -> None:
    code = f"def helper():\n  return {{'c': 3}}\ndef f(self, log):\n  {body}\n"
    assert {"one": ({"info"}, fields)} == found(tmp_path, code)


def test_an_event_may_have_several_levels_and_a_call_several_events(tmp_path: Path) -> None:
    code = "def f(log, bad):\n  log.info('one' if bad else 'two')\n  log.error('one', why=bad)\n"
    assert {"one": ({"info", "error"}, ["why"]), "two": ({"info"}, [])} == found(tmp_path, code)


def test_an_event_may_come_as_a_parameter(tmp_path: Path) -> None:
    code = "class A:\n def f(self, n, event):\n  self._log.info(event)\n def g(self):\n  self.f(1, 'one')\n"
    code += "  self.f(2, event='two')\n"
    assert {"one", "two"} == set(found(tmp_path, code))


def test_an_event_may_come_as_a_parameter_from_another_module(tmp_path: Path) -> None:
    (tmp_path / "caller.py").write_text("def g(wait):\n wait.f(1, 'one')\n", encoding="utf-8")
    code = "class A:\n def f(self, n, event):\n  self._log.info(event)\n"
    assert {"one"} == set(found(tmp_path, code))


def test_a_function_inside_another_uses_its_names(tmp_path: Path) -> None:
    code = "class A:\n def f(self, event):\n  def inner():\n   self._log.info(event, a=1)\n  inner()\n"
    code += " def g(self):\n  self.f('one')\n"
    assert {"one": ({"info"}, ["a"])} == found(tmp_path, code)


def test_other_calls_of_the_same_name_are_no_events(tmp_path: Path) -> None:
    assert {} == found(tmp_path, "def f(parser):\n  parser.error('usage')\n")
