"""The targets of `[[forward]]`: defaults, secrets, and wrong ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.settings import SettingsError, load
from service.settings.forward import ForwardSettings
from tests.unit.settings_files import NO_FILE


def forwards(*tables: Any) -> tuple[ForwardSettings, ...]:  # noqa: ANN401
    return load(NO_FILE, {"FORWARD": json.dumps(tables)}).settings.forward


def test_a_target_has_defaults_and_its_secrets_may_be_in_files(tmp_path: Any) -> None:  # noqa: ANN401
    (tmp_path / "url").write_text("https://example.org/hook\n")
    (tmp_path / "token").write_text("Bearer s3cret\n")
    headers = {"Authorization": {"file": str(tmp_path / "token")}, "X-A": "b"}
    (one,) = forwards({"name": "a", "url_file": str(tmp_path / "url"), "headers": headers})
    assert (one.template, one.timeout_ms, one.max_age_ms, one.give_up_after_ms) == (
        "cloudevents", 10_000, 3_600_000, 3_600_000,
    )  # fmt: skip
    assert one.secrets() == ("https://example.org/hook", {"Authorization": "Bearer s3cret", "X-A": "b"})


def test_config_masks_the_url_and_header_values() -> None:
    table = {"name": "a", "url": "https://example.org/hook/s3cret", "headers": {"Authorization": "s3cret"}}
    shown = load(NO_FILE, {"FORWARD": json.dumps([table])}).as_toml()
    assert "s3cret" not in shown
    assert 'url = "********"' in shown


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"url": "http://x"}, "FORWARD: forward 1: name: is required"),
        ({"name": "a"}, "FORWARD: forward a: url: give either url or url_file"),
        ({"name": "a", "url": "http://x", "url_file": "f"}, "FORWARD: forward a: url: give either url or url_file"),
        (
            {"name": "a", "url": "u", "templat": "x"},
            "FORWARD: forward a: templat: there is no such field; did you mean",
        ),
        ({"name": "a", "url": "u", "template": "x"}, "FORWARD: forward a: template: input should be 'cloudevents'"),
        ({"name": "a", "url": "u", "timeout_ms": 0}, "FORWARD: forward a: timeout_ms: input should be greater"),
        ({"name": "a", "url": "u", "headers": {"a b": "c"}}, "FORWARD: forward a: headers: 'a b' is no header's name"),
        (
            {"name": "a", "url": "u", "headers": {"Host": "c"}},
            "FORWARD: forward a: headers: Host is set by the program",
        ),
        ({"name": "A b", "url": "u"}, "FORWARD: forward A b: name: 'A b' is no "),
        (5, "FORWARD: forward 1: must be a table, not int"),
    ],
)
def test_a_wrong_target_is_named_in_one_line(table: Any, says: str) -> None:  # noqa: ANN401
    with pytest.raises(SettingsError) as found:
        forwards(table)
    assert str(found.value).startswith(says)


def test_a_name_is_taken_once() -> None:
    with pytest.raises(SettingsError, match="forward a: name: another target has it"):
        forwards({"name": "a", "url": "http://x"}, {"name": "a", "url": "http://y"})


def test_a_header_file_that_is_missing_is_named() -> None:
    (one,) = forwards({"name": "a", "url": "http://x", "headers": {"X-A": {"file": "/nonexistent"}}})
    with pytest.raises(SettingsError, match=r"forward a: headers: X-A: /nonexistent: No such file"):
        one.secrets()
