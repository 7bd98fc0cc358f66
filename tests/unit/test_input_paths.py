"""What paths, ids and conditions of the mapping may be, and the line that names a wrong one."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.app.input import make_decoder
from service.settings import SettingsError, load
from service.wire.input.decoder import MappedJsonDecoder
from service.wire.input.paths import parse_id, parse_path, shown, split, unescaped
from service.wire.input.where import Clause, parse_where
from service.wire.transactions import JsonDecoder
from tests.unit.settings_files import NO_FILE


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("id", ("id",)),
        ("card.id", ("card", "id")),
        (r"a\.b", ("a.b",)),
        ("a[0]", ("a", 0)),
        ("a[0][12].b", ("a", 0, 12, "b")),
        (r"a\[0\]", ("a[0]",)),
        (r"\@key", ("@key",)),
        (r"a\+b", ("a+b",)),
        ("my name", ("my name",)),
        (r"\ x\ ", (" x ",)),
        ("é", ("é",)),
    ],
)
def test_a_path_is_names_and_elements(text: str, path: tuple[str | int, ...]) -> None:
    assert path == parse_path(text)


NAMED = st.characters(exclude_categories=["Cc", "Cs"], exclude_characters='"\\')
"""What a name may have."""


@given(st.lists(st.text(NAMED, min_size=1) | st.integers(0, 999), min_size=1, max_size=4))
def test_what_is_shown_of_a_path_is_parsed_as_that_path(steps: list[str | int]) -> None:
    path = ("x", *[step.strip(" ") or "x" if isinstance(step, str) else step for step in steps])
    assert path == parse_path(shown(path))


@given(st.lists(st.text(NAMED), min_size=1))
def test_parts_that_are_escaped_come_back(parts: list[str]) -> None:
    escaped = [part.replace("\\", "\\\\").replace(",", "\\,").replace(" ", "\\ ") for part in parts]
    assert parts == [unescaped(one) for one in split(",".join(escaped), ",")]


def test_an_id_may_have_several_parts() -> None:
    assert (("card", "id"), None, ("a+b",)) == parse_id(r"card.id+@key+a\+b")


def test_conditions_are_parsed() -> None:
    (first, second) = parse_where(r"payload.op=c,r;note=a\;b\,c\=d,")
    assert Clause(("payload", "op"), frozenset({"c", "r"})) == first
    assert Clause(("note",), frozenset({"a;b,c=d", ""})) == second


WRONG = {
    "an empty name": ({"INPUT_TRANSACTION_ID": "a..b"}, "INPUT_TRANSACTION_ID: 'a..b' is no path: a name is empty"),
    "an empty id": ({"INPUT_TRANSACTION_ID": ""}, "INPUT_TRANSACTION_ID: '' is no path: a name is empty"),
    "an empty part": ({"INPUT_TRANSACTION_ID": "a+"}, "INPUT_TRANSACTION_ID: 'a+' is no path: a name is empty"),
    "an empty time": ({"INPUT_TIMESTAMP": ""}, "INPUT_TIMESTAMP: '' is no path: a name is empty"),
    "no such @": (
        {"INPUT_TRANSACTION_ID": "@offset"},
        "INPUT_TRANSACTION_ID: '@offset' has '@offset', which is not possible here; only @key",
    ),
    "the key as a time": (
        {"INPUT_TIMESTAMP": "@key"},
        "INPUT_TIMESTAMP: '@key' has '@key', which is not possible here; only @timestamp",
    ),
    "the key as an amount": (
        {"INPUT_AMOUNT": "@key"},
        "INPUT_AMOUNT: '@key' has '@key', which is not possible here; write \\@ if a field's name begins so",
    ),
    "an open bracket": (
        {"INPUT_AMOUNT": "a[1"},
        "INPUT_AMOUNT: 'a[1' is no path: write an element as name[0], and \\[ for a bracket in a name",
    ),
    "a far element": ({"INPUT_AMOUNT": "a[1000]"}, "INPUT_AMOUNT: 'a[1000]' has an element beyond [999]"),
    "a quote in a name": (
        {"INPUT_TRANSACTION_ID": 'a"b'},
        "INPUT_TRANSACTION_ID: 'a\"b' has \" or \\ in a name, which cannot be read",
    ),
    "an escape in a name": (
        {"INPUT_WHERE": "a\\\\b=c"},
        "INPUT_WHERE: 'a\\\\\\\\b=c' has \" or \\ in a name, which cannot be read",
    ),
    "a deep path": (
        {"INPUT_AMOUNT": ".".join("a" * 51)},
        "INPUT_AMOUNT: has more than 50 steps",
    ),
    "a line's end": ({"INPUT_AMOUNT": "amount\n"}, "INPUT_AMOUNT: 'amount\\n' has a control character"),
    "a blank": (
        {"INPUT_TRANSACTION_ID": "a + b"},
        (
            "INPUT_TRANSACTION_ID: 'a + b' has a blank at the end of a name or value; write \\ and the blank if it"
            " belongs there"
        ),
    ),
    "a wrong escape": (
        {"INPUT_TRANSACTION_ID": r"a\x"},
        r"INPUT_TRANSACTION_ID: 'a\\x' has \x; \ escapes only a blank and . [ ] + @ , ; = " + "\\",
    ),
    "a format": (
        {"INPUT_TIMESTAMP_FORMAT": "iso"},
        "INPUT_TIMESTAMP_FORMAT: input should be 'epoch_s', 'epoch_ms', 'epoch_us', 'epoch_ns' or 'iso8601'",
    ),
    "a format of amounts": (
        {"INPUT_AMOUNT_FORMAT": "minor"},
        "INPUT_AMOUNT_FORMAT: 'minor' is no format: number, text, or minor:N with N from 0 to 30",
    ),
    "too many places": (
        {"INPUT_AMOUNT_FORMAT": "minor:31"},
        "INPUT_AMOUNT_FORMAT: 'minor:31' is no format: number, text, or minor:N with N from 0 to 30",
    ),
    "no condition": (
        {"INPUT_WHERE": "op"},
        "INPUT_WHERE: 'op' is no path=value[,value…], several joined by ;",
    ),
    "an empty condition": (
        {"INPUT_WHERE": "op=c;"},
        "INPUT_WHERE: 'op=c;' is no path=value[,value…], several joined by ;",
    ),
    "the key in a condition": (
        {"INPUT_WHERE": "@key=x"},
        "INPUT_WHERE: '@key=x' has '@key', which is not possible here; write \\@ if a field's name begins so",
    ),
    "a format of records": (
        {"INPUT_FORMAT": "xml"},
        "INPUT_FORMAT: input should be 'json', 'avro', 'protobuf' or 'json-schema'",
    ),
    "tombstones": ({"INPUT_TOMBSTONES": "keep"}, "INPUT_TOMBSTONES: input should be 'reject' or 'ignore'"),
    "an amount in the id": (
        {"INPUT_TRANSACTION_ID": "a", "INPUT_AMOUNT": "a.b"},
        "INPUT_AMOUNT: 'a.b' takes a as a value and as an object or array",
    ),
    "a time round the id": (
        {"INPUT_TRANSACTION_ID": "a.b", "INPUT_TIMESTAMP": "a"},
        "INPUT_TIMESTAMP: 'a' takes a as a value and as an object or array",
    ),
    "an array and an object": (
        {"INPUT_TRANSACTION_ID": "a[0]", "INPUT_TIMESTAMP": "a.t"},
        "INPUT_TIMESTAMP: 'a.t' takes a as an array and as an object",
    ),
    "conditions that cannot both be": (
        {"INPUT_WHERE": "a=1;a.b=2"},
        "INPUT_WHERE: 'a=1;a.b=2' takes a as a value and as an object or array",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_mapping_is_refused_with_one_line_that_names_the_setting(name: str) -> None:
    environment, line = WRONG[name]
    with pytest.raises(SettingsError) as caught:
        make_decoder(load(NO_FILE, environment).settings)
    assert line == str(caught.value)


def test_the_default_mapping_is_the_decoder_of_own_records() -> None:
    assert isinstance(make_decoder(load(NO_FILE, {}).settings), JsonDecoder)
    written_out = {
        "INPUT_FORMAT": "json",
        "INPUT_TRANSACTION_ID": "transaction_id",
        "INPUT_TIMESTAMP": "timestamp",
        "INPUT_AMOUNT": "amount",
        "INPUT_WHERE": "",
    }
    assert isinstance(make_decoder(load(NO_FILE, written_out).settings), JsonDecoder)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("INPUT_TRANSACTION_ID", "id"),
        ("INPUT_TIMESTAMP", "at"),
        ("INPUT_TIMESTAMP_FORMAT", "epoch_s"),
        ("INPUT_AMOUNT", ""),
        ("INPUT_AMOUNT_FORMAT", "text"),
        ("INPUT_WHERE", "a=b"),
        ("INPUT_TOMBSTONES", "ignore"),
    ],
)
def test_each_setting_reaches_the_decoder(variable: str, value: str) -> None:
    assert isinstance(make_decoder(load(NO_FILE, {variable: value}).settings), MappedJsonDecoder)


@given(st.text(NAMED, min_size=1).map(lambda name: name.strip(" ") or "x"))
def test_any_name_can_be_written(name: str) -> None:
    path = shown((name,))
    (clause,) = parse_where(f"{path}=x")
    assert (name,) == clause.path
    assert json.dumps({name: 1})
