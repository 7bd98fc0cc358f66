"""Rows as records of Avro, Protobuf and JSON Schema: which options fit together, and what a schema cannot hold."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import io
import json
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

import producer.registered
from producer import protobuf
from producer.reading.rows import Rows
from producer.registered import Registration, RegistryFault, RowError, check_options, default_schema, encoder
from service.core.money import EXACT
from tests.unit.test_protobuf import message

ROWS = Rows(
    (1, 2), ("tx1", "tx2"), (1_715_392_810_000, 1_715_392_810_001), ("12345678901234567.89", "0.001"), (("m", ""),)
)
WHERE = Registration("t", "http://127.0.0.1:9", {})


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The schemas that the registry gets; each becomes number 7."""
    texts: list[str] = []

    def register(_: Registration, __: str, text: str) -> int:
        texts.append(text)
        return 7

    monkeypatch.setattr(producer.registered, "_register", register)
    return texts


def records(values: Any, schema: str) -> list[Any]:  # noqa: ANN401
    """Records of Avro, read; an error as its text."""
    found: list[Any] = []
    for value in values:
        if isinstance(value, RowError):
            found.append(str(value))
            continue
        assert b"\0\0\0\0\7" == value[:5]
        found.append(fastavro.schemaless_reader(io.BytesIO(value[5:]), json.loads(schema), None))
    return found


def test_the_default_schema_holds_every_amount_as_its_text(registered: list[str]) -> None:
    values = encoder("avro", WHERE, None, ["merchant"])(ROWS, 5)
    found = records(values, registered[0])
    assert ["12345678901234567.89", "0.001"] == [one["amount"] for one in found]
    assert ["m", None] == [one["merchant"] for one in found]
    assert [1_715_392_810_005, 1_715_392_810_006] == [round(one["timestamp"].timestamp() * 1_000) for one in found]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ({"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2},
         [Decimal("12345678901234567.89"), None]),
        (["null", {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 3}],
         [Decimal("12345678901234567.890"), Decimal("0.001")]),
        ("long", [None, None]),
        ("double", [12345678901234567.89, 0.001]),
    ],
)  # fmt: skip
def test_a_row_that_the_schema_cannot_hold_exactly_is_an_error(
    registered: list[str],
    tmp_path: Path,
    kind: Any,  # noqa: ANN401
    expected: list[Any],
) -> None:
    time = {"type": "long", "logicalType": "timestamp-micros"}
    fields = {"amount": kind, "transaction_id": "string", "timestamp": time, "merchant": ["null", "string"]}
    own = {"type": "record", "name": "Own", "fields": [{"name": n, "type": t} for n, t in fields.items()]}
    (tmp_path / "own.avsc").write_text(json.dumps(own))
    values = encoder("avro", WHERE, str(tmp_path / "own.avsc"), ["merchant"])(ROWS, 0)
    found = records(values, registered[0])
    assert expected == [None if isinstance(one, str) else one["amount"] for one in found]


def test_json_schema_frames_the_usual_records(registered: list[str]) -> None:
    first, second = encoder("json-schema", WHERE, None, ["merchant"])(ROWS, 0)
    head = '{"transaction_id":"tx1","timestamp":1715392810000,"amount":12345678901234567.89,"merchant":"m"}'
    assert b"\0\0\0\0\7" + head.encode() == first
    assert isinstance(second, bytes)
    assert {"transaction_id", "timestamp", "amount", "merchant"} == set(json.loads(registered[0])["properties"])
    assert default_schema("json-schema", ["merchant"]) == registered[0]


def messages(values: Any, schema: str, name: str = "Transaction") -> list[Any]:  # noqa: ANN401
    """Messages of Protobuf, read; an error as its text."""
    read = message(schema, name).FromString
    assert {b"\0\0\0\0\7\0"} >= {value[:6] for value in values if isinstance(value, bytes)}
    return [str(value) if isinstance(value, RowError) else read(value[6:]) for value in values]


def test_the_default_message_holds_every_amount_as_its_text(registered: list[str]) -> None:
    found = messages(encoder("protobuf", WHERE, None, ["merchant"])(ROWS, 5), registered[0])
    assert ["12345678901234567.89", "0.001"] == [one.amount for one in found]
    assert ["tx1", "tx2"] == [one.transaction_id for one in found]
    assert [("m", True), ("", False)] == [(one.merchant, one.HasField("merchant")) for one in found]
    assert [(1_715_392_810, 5_000_000), (1_715_392_810, 6_000_000)] == [
        (one.timestamp.seconds, one.timestamp.nanos) for one in found
    ]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("google.type.Money", ["12345678901234567 890000000", "0 1000000"]),
        ("confluent.type.Decimal", ["1234567890123456789 19 2", "1 1 3"]),
        ("int64", [None, None]),
        ("double", ["1.2345678901234568e+16", "0.001"]),
        ("bool", [None, None]),
        ("google.protobuf.Duration", [None, None]),
    ],
)
def test_a_row_that_the_message_cannot_hold_is_an_error(
    registered: list[str], tmp_path: Path, kind: str, expected: list[str | None]
) -> None:
    (tmp_path / "own.proto").write_text(
        'syntax = "proto3"; package shop; import "google/type/money.proto"; import "confluent/type/decimal.proto";'
        'import "google/protobuf/duration.proto"; message Own { string merchant = 1; int64 timestamp = 2;'
        f"string transaction_id = 3; {kind} amount = 4; }}"
    )
    found = messages(
        encoder("protobuf", WHERE, str(tmp_path / "own.proto"), ["merchant"])(ROWS, 0), registered[0], "shop.Own"
    )
    assert expected == [None if isinstance(one, str) else _shown(one.amount) for one in found]
    assert {1_715_392_810_000, 1_715_392_810_001} >= {one.timestamp for one in found if not isinstance(one, str)}


def _shown(amount: Any) -> str:  # noqa: ANN401
    match getattr(getattr(amount, "DESCRIPTOR", None), "name", ""):
        case "Money":
            return f"{amount.units} {amount.nanos}"
        case "Decimal":
            return f"{int.from_bytes(amount.value, signed=True)} {amount.precision} {amount.scale}"
    return str(amount)


@given(units=st.integers(-(10**60), 10**60), exponent=st.integers(-40, 40))
def test_money_and_decimals_are_exact(units: int, exponent: int) -> None:
    text = f"{units}E{exponent}"
    exact = Decimal(text)
    found = protobuf._decimal(text)
    assert exact == Decimal(int.from_bytes(found["value"], signed=True)).scaleb(-found["scale"], EXACT)
    try:
        money = protobuf._money(text)
    except InvalidOperation:
        assert exact != round(exact, 9) if abs(exact) < 1 else exponent < -9
    else:
        assert exact == EXACT.add(Decimal(money["units"]), Decimal(money["nanos"]).scaleb(-9, EXACT))
        assert (money["units"] <= 0) if exact < 0 else (money["units"] >= 0 <= money["nanos"])


@pytest.mark.parametrize(
    ("schema", "extra", "fault"),
    [
        ("message", [], "--schema: no schema of Protobuf: schema.proto:1:8: Expected message name."),
        ('syntax = "proto3"; enum A { B = 0; }', [], "--schema: it has no message"),
        ('syntax = "proto3"; message A { }', [], "--schema: it has no field transaction_id"),
        (None, ["a b"], "--extra: 'a b' cannot be the name of a field of Protobuf"),
    ],
)
def test_a_wrong_message_is_refused_before_anything_is_registered(
    registered: list[str], tmp_path: Path, schema: str | None, extra: list[str], fault: str
) -> None:
    if schema is not None:
        (tmp_path / "own.proto").write_text(schema)
    with pytest.raises(RegistryFault) as caught:
        encoder("protobuf", WHERE, None if schema is None else str(tmp_path / "own.proto"), extra)
    assert (fault, []) == (str(caught.value), registered)


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        (None, "--schema {}: No such file or directory"),
        ("{", "--schema: no record of Avro: Input data was truncated"),
        ('{"type":"record","name":"A","fields":[]}', "--schema: it has no field transaction_id"),
    ],
)
def test_a_wrong_schema_is_refused_before_anything_is_registered(
    registered: list[str], tmp_path: Path, schema: str | None, fault: str
) -> None:
    path = tmp_path / "own.avsc"
    if schema is not None:
        path.write_text(schema)
    with pytest.raises(RegistryFault) as caught:
        encoder("avro", WHERE, str(path), [])
    assert (fault.format(path), []) == (str(caught.value), registered)


def test_a_registry_that_does_not_answer_is_named() -> None:
    with pytest.raises(RegistryFault) as caught:
        encoder("avro", Registration("t", "http://127.0.0.1:9", {"max.retries": 0}), None, [])
    assert str(caught.value).startswith("--registry-url: the schema registry does not answer: ")
    with pytest.raises(RegistryFault) as caught:
        encoder("avro", Registration("t", "http://127.0.0.1:9", {"x": "y"}), None, [])
    assert "REGISTRY_PROPERTIES: Unrecognized properties: x" == str(caught.value)


def test_options_that_do_not_fit_together() -> None:
    assert (None, None) == (check_options("json", None, None), check_options("avro", "http://a", "f"))
    assert "--format avro needs --registry-url" == check_options("avro", None, None)
    assert "--registry-url needs --format avro, protobuf or json-schema" == check_options("json", "http://a", None)
    assert "--schema needs --format avro, protobuf or json-schema" == check_options("json", None, "f")
