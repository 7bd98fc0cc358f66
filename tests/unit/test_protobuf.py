"""Protobuf: the mapped fields become JSON, exactly, whatever the schema around them."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st

from service.app.input import _checked, _protobuf
from service.loop.errors import Retriable
from service.process import protoc
from service.wire.decoder import Rejection
from service.wire.input import protobuf
from service.wire.input.columns import TimestampFormat
from service.wire.input.decoder import InputMapping, MappedJsonDecoder
from service.wire.input.framing import SchemaId
from service.wire.input.protobuf import _classes, _map, compile_protobuf, split_indexes
from service.wire.input.registered import RegisteredDecoder, SchemaFault, SchemaText, ToJson
from tests.unit.input_records import In, outcomes, shown

AT = 1_715_392_810_000
ID = {"transaction_id": "tx1"}
TIME = {"timestamp": AT}
FIELDS = "string transaction_id = 1; int64 timestamp = 2;"
PLAIN = (
    f'syntax = "proto3"; message Payment {{ {FIELDS} double amount = 3; bytes more = 4; repeated string tags = 5; }}'
)
WRONG = "schema: the data are not those of the schema"
KINDS = (
    'syntax = "proto3"; import "google/protobuf/timestamp.proto"; import "google/protobuf/wrappers.proto";'
    'import "google/type/money.proto"; import "confluent/type/decimal.proto"; import "confluent/meta.proto";'
    f"message Payment {{ {FIELDS} double double = 10; float float = 11; int32 int32 = 12; int64 int64 = 13;"
    "uint32 uint32 = 14; uint64 uint64 = 15; sint32 sint32 = 16; sint64 sint64 = 17; fixed32 fixed32 = 18;"
    "fixed64 fixed64 = 19; sfixed32 sfixed32 = 20; sfixed64 sfixed64 = 21; bool bool = 22; string text = 23;"
    "bytes bytes = 24; google.type.Money money = 25; confluent.type.Decimal decimal = 26;"
    "google.protobuf.Int64Value wrapped = 27; google.protobuf.DoubleValue wrapped_double = 28;"
    "google.protobuf.FloatValue wrapped_float = 29; google.protobuf.StringValue wrapped_text = 30;"
    "google.protobuf.BytesValue wrapped_bytes = 31; google.protobuf.Timestamp at = 32; repeated double many = 33;"
    "optional int64 optional = 34; State state = 35; map<string, Line> lines = 36; map<int32, double> by_number = 37;"
    "map<bool, int64> by_bool = 38; repeated Line items = 39; oneof payer { Card card = 40; string iban = 41; }"
    "message Card { string id = 1; Holder holder = 2; message Holder { string name = 1; Card second = 2; } }"
    "message Line { double price = 1; string name = 2; } }"
    "enum State { NEW = 0; SETTLED = 1; }"
)
"""A message with a field of each kind."""


@cache
def compiled(text: str, references: tuple[tuple[str, str], ...] = ()) -> bytes:
    """The descriptors of a schema."""
    return protoc.descriptors(text, references)


@cache
def message(text: str, name: str = "Payment", references: tuple[tuple[str, str], ...] = ()) -> Any:  # noqa: ANN401
    """The class of a message, with all its fields."""
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(compiled(text, references)).file:
        pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName(name))


class Known:
    """Schemas that are all there."""

    def __init__(
        self, mapping: InputMapping, schemas: Mapping[SchemaId, str], references: tuple[tuple[str, str], ...]
    ) -> None:
        self.inner = MappedJsonDecoder(mapping)

        def to_json(schema: SchemaText) -> ToJson:
            descriptors = compiled(schema.text, schema.references)
            return compile_protobuf(descriptors, self.inner.paths, mapping.timestamp_format)

        checked = _checked("PROTOBUF", to_json)
        self.found = {n: checked(SchemaText("PROTOBUF", text, references)) for n, text in schemas.items()}

    def find(self, ids: Collection[SchemaId]) -> Mapping[SchemaId, ToJson | Rejection]:
        del ids
        return self.found


def become(
    records: Sequence[In],
    *schemas: str,
    references: tuple[tuple[str, str], ...] = (),
    more: Mapping[SchemaId, str] | None = None,
    **mapping: Any,  # noqa: ANN401
) -> list[str]:
    """What records become, in the words of docs/input.md."""
    known = Known(InputMapping(**mapping), {**dict(enumerate(schemas, 1)), **(more or {})}, references)
    return [shown(one) for one in outcomes(RegisteredDecoder(known, known.inner, indexed=True), records)]


def raw(data: bytes, number: int = 1, indexes: bytes = b"\0") -> In:
    """A record with these data."""
    return In(b"\0" + number.to_bytes(4) + indexes + data)


def of(text: str, number: int = 1, /, **fields: Any) -> In:  # noqa: ANN401
    """A record of the first message, with the default id and time."""
    return raw(message(text)(**{**ID, **TIME, **fields}).SerializeToString(), number)


def one(text: str = KINDS, /, *, mapping: Mapping[str, Any] | None = None, **fields: Any) -> str:  # noqa: ANN401
    """What becomes of one record."""
    (found,) = become([of(text, **fields)], text, **(mapping or {}))
    return found


def test_the_mapped_fields_are_read_and_the_others_skipped() -> None:
    # What is no UTF-8 would be refused in a field that is read.
    broken = message(PLAIN)(amount=9000.5, **ID, **TIME).SerializeToString() + b"\x2a\x01\xff"
    with pytest.raises(DecodeError):
        message(PLAIN).FromString(broken)
    assert [f"tx1 {AT} 9000.5"] == become([raw(broken)], PLAIN)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("double", 0.1, "0.1"),
        ("float", 12.1, "12.1"),
        ("int32", -(2**31), "-2147483648.0"),
        ("int64", 2**63 - 1, "9223372036854775807"),
        ("uint32", 2**32 - 1, "4294967295.0"),
        ("uint64", 2**64 - 1, "18446744073709551615"),
        ("sint32", -5, "-5.0"),
        ("sint64", -(2**63), "-9223372036854775808"),
        ("fixed32", 5, "5.0"),
        ("fixed64", 2**64 - 1, "18446744073709551615"),
        ("sfixed32", -5, "-5.0"),
        ("sfixed64", -5, "-5.0"),
        ("money", {"units": 12, "nanos": 500_000_000, "currency_code": "EUR"}, "12.5"),
        ("money", {"units": -1, "nanos": -10_000_000}, "-1.01"),
        ("money", {"units": 12_345_678_901, "nanos": 1}, "12345678901.000000001"),
        ("decimal", {"value": (-12_345).to_bytes(2, signed=True), "scale": 3}, "-12.345"),
        ("wrapped", {"value": 7}, "7.0"),
        ("wrapped_double", {"value": 0.1}, "0.1"),
        ("wrapped_float", {"value": 12.1}, "12.1"),
    ],
)
def test_each_kind_of_number_is_exact(field: str, value: Any, expected: str) -> None:  # noqa: ANN401
    found = one(**{field: value}, mapping={"amount": field})
    assert (f"tx1 {AT} ", Decimal(expected)) == (found[: found.rindex(" ") + 1], Decimal(found.split()[2]))


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("double", float("nan"), "amount_not_finite: amount: not a finite number"),
        ("bool", True, "schema: bool: expected a number, got true"),
        ("text", "1", "schema: text: expected a number, got text"),
        ("bytes", b"1", "schema: bytes: expected a number, got an object"),
        ("wrapped_bytes", {"value": b"1"}, "schema: wrapped_bytes: expected a number, got an object"),
        ("card", {}, "schema: card: expected a number, got an object"),
        ("many", [1.5], "schema: many: expected a number, got an array"),
        ("state", 1, "schema: state: expected a number, got text"),
        ("lines", {"a": {}}, "schema: lines: expected a number, got an object"),
        ("int32.price", 1, "schema: int32.price: Expected `object`, got `int` - at `$.int32`"),
        ("items.price", [{"price": 1}], "schema: items.price: Expected `object`, got `array` - at `$.items`"),
        ("card[0]", {}, "schema: card[0]: Expected `array`, got `object` - at `$.card`"),
        ("money", {"nanos": 10**9}, f"{WRONG}: ValueError 1000000000 nanos"),
        ("decimal", {"scale": -1}, f"{WRONG}: ValueError a decimal has the scale -1"),
    ],
)  # fmt: skip
def test_what_is_no_amount_is_a_dead_letter_with_the_path(field: str, value: Any, why: str) -> None:  # noqa: ANN401
    name = field.partition("[")[0].partition(".")[0]
    found = one(**{name: value}, mapping={"amount": field})
    assert f"{why} (schema id 1)" == found


@pytest.mark.parametrize("form", TimestampFormat)
def test_a_timestamp_needs_no_format(form: TimestampFormat) -> None:
    mapping = {"timestamp": "at", "timestamp_format": form, "amount": "double"}
    at = {"seconds": AT // 1_000, "nanos": 999_999}
    assert f"tx1 {AT} 1.5" == one(at=at, double=1.5, mapping=mapping)
    assert "schema: the data are not those of the schema: ValueError -1 nanos (schema id 1)" == one(
        at={"seconds": AT // 1_000, "nanos": -1}, mapping=mapping
    )


def test_a_path_may_lead_into_a_timestamp_or_money() -> None:
    mapping = {"timestamp": "at.seconds", "timestamp_format": "epoch_s", "amount": "money.units"}
    assert f"tx1 {AT} 12.0" == one(at={"seconds": AT // 1_000}, money={"units": 12}, mapping=mapping)


def test_a_field_that_is_not_set_is_missing_where_its_schema_knows_that() -> None:
    missing = "schema: {0}: Object missing required field `{0}` (schema id 1)"
    for field in ("optional", "wrapped", "money"):
        assert missing.format(field) == one(mapping={"amount": field})
    assert missing.format("card") == one(mapping={"amount": "card.id"}).replace("card.id:", "card:")
    assert missing.format("at") == one(mapping={"timestamp": "at"})
    assert missing.format("not_there") == one(mapping={"amount": "not_there"})
    # Without `optional` nothing says whether it is there, so it is 0 or empty.
    assert f"tx1 {AT} 0.0" == one(mapping={"amount": "int64"})
    assert f"tx1 {AT} 0.0" == one(optional=0, mapping={"amount": "optional"})
    assert "schema: text: Expected `str` of length >= 1 - at `$.text` (schema id 1)" == one(
        mapping={"transaction_id": "text"}
    )


def test_a_default_of_proto2_is_what_an_unset_field_has() -> None:
    text = (
        'syntax = "proto2"; message Payment { required string transaction_id = 1; required int64 timestamp = 2;'
        " optional double amount = 3 [default = 1.5]; optional int64 bare = 4; required int64 needed = 5; }"
    )
    assert f"tx1 {AT} 1.5" == _partial(text)
    assert f"tx1 {AT} 2.5" == _partial(text, amount=2.5)
    for field in ("bare", "needed"):
        why = f"schema: {field}: Object missing required field `{field}` (schema id 1)"
        assert why == _partial(text, mapping={"amount": field})


def _partial(text: str, /, *, mapping: Mapping[str, Any] | None = None, **fields: Any) -> str:  # noqa: ANN401
    """What becomes of a record that lacks required fields."""
    data = message(text)(**ID, **TIME, **fields).SerializePartialToString()
    (found,) = become([raw(data)], text, **(mapping or {}))
    return found


def test_the_last_field_of_a_oneof_counts() -> None:
    mapping: Any = {"transaction_id": "card.id", "amount": "double"}
    first, second = (
        message(KINDS)(**TIME, **one).SerializeToString() for one in ({"card": {"id": "c"}}, {"iban": "i"})
    )
    found = become([raw(first), raw(first + second), raw(second + first)], KINDS, **mapping)
    missing = "schema: card.id: Object missing required field `card` (schema id 1)"
    assert [f"c {AT} 0.0", missing, f"c {AT} 0.0"] == found


def test_nested_and_recursive_messages() -> None:
    card = {"id": "c1", "holder": {"name": "n", "second": {"id": "c2"}}}
    mapping = {"transaction_id": "card.holder.second.id+card.id+transaction_id", "amount": "double"}
    assert f"c2|c1|tx1 {AT} 2.5" == one(card=card, double=2.5, mapping=mapping)


def test_keys_of_maps_and_elements_are_steps_of_paths() -> None:
    fields: dict[str, Any] = {
        "lines": {"a": {"price": 1.5}, "b": {"price": 2.5}},
        "items": [{"price": 3.5}, {"price": 4.5}],
    }
    fields |= {"by_number": {-7: 5.5}, "by_bool": {True: 6}, "many": [7.5, 8.5]}
    for path, expected in {
        "lines.b.price": "2.5",
        "items[1].price": "4.5",
        "by_number.-7": "5.5",
        "by_bool.true": "6.0",
        "many[0]": "7.5",
    }.items():
        assert f"tx1 {AT} {expected}" == one(**fields, mapping={"amount": path})
    for path, why in {
        "lines.c.price": "Object missing required field `c` - at `$.lines`",
        "items[2].price": "Expected `array` of at least length 3, got 2 - at `$.items`",
        "by_bool.True": "Object missing required field `True` - at `$.by_bool`",
    }.items():
        assert f"schema: {path}: {why} (schema id 1)" == one(**fields, mapping={"amount": path})


@pytest.mark.parametrize(
    ("where", "counts"),
    [
        ("state=SETTLED", True),
        ("state=1", False),
        ("bool=false", True),
        ("int64=5", True),
        ("text=a", True),
        ("wrapped_text=w", True),
        ("optional=0", False),
        ("card.id=null", False),
        ("many[0]=1.5", True),
        ("decimal=12.50", True),
    ],
)
def test_conditions_are_compared_as_text(where: str, counts: bool) -> None:  # noqa: FBT001
    fields = {"state": 1, "int64": 5, "text": "a", "wrapped_text": {"value": "w"}, "many": [1.5]}
    fields["decimal"] = {"value": (1250).to_bytes(2), "scale": 2}
    found = one(**fields, mapping={"amount": "int64", "where": where})
    assert (f"tx1 {AT} 5.0" if counts else f"left out {AT}") == found


def test_a_number_that_an_enum_does_not_name_stays_a_number() -> None:
    assert f"tx1 {AT} 9.0" == one(state=9, mapping={"amount": "state"})


def test_the_keys_and_times_of_records_and_the_other_formats() -> None:
    value = of(KINDS, text="12.50", int64=1250).held
    records = [In(value, b"k", AT + 1)]
    mapping: Any = {"transaction_id": "@key", "timestamp": "@timestamp"}
    assert [f"k {AT + 1} 12.5"] == become(records, KINDS, **mapping, amount="text", amount_format="text")
    assert [f"k {AT + 1} 1.25"] == become(records, KINDS, **mapping, amount="int64", amount_format="minor:3")
    assert [f"k {AT + 1} 1.0"] == become(records, KINDS, **mapping, amount="")
    assert ["left out"] == become([In(None)], KINDS, ignore_tombstones=True)
    assert ["empty_value: the record has no value"] == become([In(b"")], KINDS)


# ---- which message ------------------------------------------------------------------------------------------

SEVERAL = (
    'syntax = "proto3"; package shop; message Other { string transaction_id = 1; message A {} message B { message C {'
    f" {FIELDS} double amount = 3; }} }} }} message Second {{ {FIELDS} float amount = 3; }}"
)


@pytest.mark.parametrize(
    ("indexes", "name"),
    [(b"\x02\x02", "shop.Second"), (b"\x06\x00\x02\x00", "shop.Other.B.C"), (b"\x02\x82\x00", "shop.Second")],
)
def test_the_indexes_say_which_message(indexes: bytes, name: str) -> None:
    data = message(SEVERAL, name)(**ID, **TIME, amount=1.5).SerializeToString()
    assert [f"tx1 {AT} 1.5"] == become([raw(data, indexes=indexes)], SEVERAL)


@pytest.mark.parametrize(
    ("indexes", "why"),
    [
        (b"\x02\x04", "LookupError the schema has no message with the indexes [2]"),
        (b"\x02\x01", "LookupError the schema has no message with the indexes [-1]"),
        (b"\x04\x00\x04", "LookupError the schema has no message with the indexes [0, 2]"),
        (b"\x01", "ValueError -1 message indexes"),
        (b"\xca\x01", "ValueError 101 message indexes"),
        (b"\x04\x00", "ValueError a message index does not end"),
        (b"\xff\xff\xff\xff\xff\xff", "ValueError a message index does not end"),
        (b"", "ValueError a message index does not end"),
    ],
)
def test_indexes_of_no_message_are_a_dead_letter(indexes: bytes, why: str) -> None:
    expected = f"schema: the data are not those of the schema: {why} (schema id 1)"
    assert [expected] == become([raw(b"", indexes=indexes)], SEVERAL)


def test_the_long_form_of_the_first_message() -> None:
    assert ((0,), 2) == split_indexes(b"\x02\x00")
    assert ((0,), 1) == split_indexes(b"\x00")
    assert ((1, 0), 3) == split_indexes(b"\x04\x02\x00\xff")


def test_a_header_holds_the_guid_and_the_indexes() -> None:
    guid = UUID("89791762-2336-4186-9674-299b90a802e2")
    data = message(SEVERAL, "shop.Second")(**ID, **TIME, amount=1.5).SerializeToString()
    plain = message(PLAIN)(**ID, **TIME, amount=2.5).SerializeToString()
    other = UUID(int=5)
    records = [
        In(data, more=[("__value_schema_id", b"\1" + guid.bytes + b"\x02\x02")]),
        In(plain, more=[("__value_schema_id", b"\1" + other.bytes)]),
        In(plain, more=[("__value_schema_id", b"\1" + other.bytes + b"\0")]),
        In(plain, more=[("__value_schema_id", b"\0" + (1).to_bytes(4) + b"\0")]),
    ]
    expected = [f"tx1 {AT} 1.5", *[f"tx1 {AT} 2.5"] * 3]
    assert expected == become(records, PLAIN, more={guid: SEVERAL, other: PLAIN})


# ---- schemas ------------------------------------------------------------------------------------------------


def test_each_record_is_read_by_its_own_schema() -> None:
    second = f'syntax = "proto3"; message Payment {{ {FIELDS} reserved 3; double net = 4; }}'
    third = f'syntax = "proto3"; message Payment {{ {FIELDS} string note = 3; float amount = 4; }}'
    records = [of(PLAIN, amount=1.5), of(second, 2, net=2.5), of(third, 3, amount=3.5)]
    lacks = "schema: amount: Object missing required field `amount` (schema id 2)"
    assert [f"tx1 {AT} 1.5", lacks, f"tx1 {AT} 3.5"] == become(records, PLAIN, second, third)


def test_a_schema_imports_those_that_it_refers_to() -> None:
    text = (
        'syntax = "proto3"; import "shop/card.proto"; import public "schema.proto";'
        "message Payment { shop.Card card = 1; shop.Price price = 2; int64 timestamp = 3; }"
    )
    references = (
        ("schema.proto", 'syntax = "proto3"; package shop; message Price { double net = 1; }'),
        ("shop/card.proto", 'syntax = "proto2"; package shop; message Card { optional string id = 1; }'),
    )
    built = message(text, "Payment", references)(card={"id": "c1"}, price={"net": 2.5}, timestamp=AT)
    mapping: Any = {"transaction_id": "card.id", "amount": "price.net", "references": references}
    assert [f"c1 {AT} 2.5"] == become([raw(built.SerializeToString())], text, **mapping)


def test_an_edition_says_what_can_be_unset() -> None:
    text = (
        'edition = "2023"; message Payment { string transaction_id = 1; int64 timestamp = 2;'
        " double amount = 3 [features.field_presence = IMPLICIT]; double other = 4; }"
    )
    assert f"tx1 {AT} 0.0" == one(text)
    assert "schema: other: Object missing required field `other` (schema id 1)" == one(
        text, mapping={"amount": "other"}
    )


def test_options_extensions_groups_and_services_do_not_matter() -> None:
    text = (
        'syntax = "proto2"; import "google/protobuf/descriptor.proto"; import "google/protobuf/any.proto";'
        "extend google.protobuf.FieldOptions { optional string tag = 50001; }"
        "extend Payment { optional int32 more = 100; }"
        'message Payment { extensions 100 to max; reserved 9; reserved "old"; required string transaction_id = 1'
        ' [(tag) = "x"]; optional int64 timestamp = 2; optional group Price = 3 { optional double net = 1; }'
        " oneof a { string b = 4; int32 c = 5; } extend Payment { optional int32 yet = 101; }"
        " optional google.protobuf.Any any = 6; }"
        "service S { rpc R (Payment) returns (Payment); }"
    )
    assert f"tx1 {AT} 2.5" == one(text, price={"net": 2.5}, mapping={"amount": "price.net"})


@pytest.mark.parametrize(
    ("text", "references", "why"),
    [
        ("nonsense", (), "schema.proto:1:1: Expected top-level statement"),
        ('syntax = "proto3"; import "a.proto";', (), "a.proto: File not found"),
        ('syntax = "proto3"; message A { B b = 1; }', (), '"B" is not defined'),
        ("", (("../a.proto", ""),), "a schema that it refers to has the name '../a.proto'"),
        ("", (("/a.proto", ""),), "a schema that it refers to has the name '/a.proto'"),
        ("", (("", ""),), "a schema that it refers to has the name ''"),
        ("", (("a\0", ""),), "a schema that it refers to has the name 'a\\x00'"),
        ("", (("\ud800", ""),), "a schema that it refers to has the name '\\ud800'"),
        ("// \ud800", (), "the text of 'schema.proto' is not UTF-8"),
        ("", (("a", ""), ("a/b", "")), "a schema that it refers to has the name 'a/b'"),
        ("", (("a/b", ""), ("a", "")), "a schema that it refers to has the name 'a'"),
        ('syntax = "proto3"; import "a.proto/";', (("a.proto/", ""),), "schema.proto:1:20: Import"),
        ("", (("a" * 300, ""),), "File name too long: a schema that it refers to has the name 'aaa"),
    ],
)
def test_text_that_is_no_schema_is_a_fault_of_one_line(
    text: str, references: tuple[tuple[str, str], ...], why: str
) -> None:
    with pytest.raises(protoc.ProtoFault) as fault:
        protoc.descriptors(text, references)
    assert why in str(fault.value)
    assert "\n" not in str(fault.value)


def test_a_protoc_that_cannot_run_is_no_fault_of_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    with pytest.raises(protoc.ProtocError, match=r"protoc cannot run: .*nonexistent"):
        protoc.descriptors(PLAIN)


@pytest.mark.parametrize("name", ["schema.proto/x.proto", "./schema.proto", "schema.proto"])
def test_a_schema_that_is_referred_to_may_have_the_name_of_the_own_file(name: str) -> None:
    files = FileDescriptorSet.FromString(compiled(PLAIN, ((name, 'syntax = "proto3"; message A {}'),))).file
    assert ["Payment"] == [each.name for each in files[-1].message_type]


@pytest.mark.parametrize(
    ("stderr", "why"),
    [
        ("out: No space left on device\n", "No space left on device"),
        ("Fatal Python error: init_fs_encoding: failed to get the Python codec\n", "failed to get the Python codec"),
        ("schema.proto: File not found.\n", "schema.proto: File not found."),
        ("a.proto: File not found.\nschema.proto:1:2: Import failed\n", "a.proto: File not found."),
        ("", "it ended with 1"),
    ],
)
def test_an_error_that_blames_no_text_is_no_fault_of_the_schema(
    stderr: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = subprocess.CompletedProcess([], 1, "", stderr)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: ended)
    with pytest.raises(protoc.ProtocError, match=f"protoc cannot run: .*{why}"):
        protoc.descriptors(PLAIN, [("a.proto", "")])


@pytest.mark.parametrize("how", [subprocess.TimeoutExpired("protoc", 60), subprocess.CompletedProcess([], -11, "", "")])
def test_a_schema_that_protoc_never_finishes_is_refused_after_three_attempts(
    how: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object, **__: object) -> object:
        if isinstance(how, Exception):
            raise how
        return how

    monkeypatch.setattr(subprocess, "run", run)
    checked = _checked("PROTOBUF", _protobuf(InputMapping(), ()))
    for schema in (SchemaText("PROTOBUF", PLAIN), SchemaText("PROTOBUF", KINDS)):
        for _ in range(2):
            with pytest.raises(Retriable, match="protoc cannot run: it"):
                checked(schema)
        refused = checked(schema)
        assert isinstance(refused, Rejection)
        assert "in each of 3 attempts" in refused.why


@pytest.mark.parametrize(
    "fault",
    [
        SchemaFault("a\ud800 \n" * 1_000),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "no"),
        RecursionError("x"),
        TypeError("int"),
    ],
)
def test_any_fault_of_a_schema_is_a_rejection_whose_text_fits_into_a_header(fault: Exception) -> None:
    def to_json(_: SchemaText) -> ToJson:
        raise fault

    refused = _checked("PROTOBUF", to_json)(SchemaText("PROTOBUF", PLAIN))
    assert isinstance(refused, Rejection)
    assert 1 <= len(refused.why.encode()) < 500
    assert "\n" not in refused.why


def test_where_protoc_cannot_run_the_schema_is_asked_for_again() -> None:
    def to_json(_: SchemaText) -> ToJson:
        raise protoc.ProtocError("protoc cannot run: no memory")

    with pytest.raises(Retriable, match="protoc cannot run: no memory"):
        _checked("PROTOBUF", to_json)(SchemaText("PROTOBUF", PLAIN))


@pytest.mark.parametrize(
    "fields",
    [
        "string currency_code = 1;",
        "string units = 1; int32 nanos = 2;",
        "repeated int64 units = 1; int32 nanos = 2;",
        "oneof a { int64 units = 1; string other = 3; } int32 nanos = 2;",
    ],
)
def test_a_message_that_has_only_the_name_of_a_value_is_an_object(fields: str) -> None:
    text = (
        f'syntax = "proto3"; package google.type; message Payment {{ {FIELDS} Money amount = 3; }}'
        f"message Money {{ {fields} }}"
    )
    to_json = compile_protobuf(compiled(text), [("amount",)], TimestampFormat.EPOCH_MS)
    assert b'{"amount":{}}' == to_json(b"\0\x1a\x02\x10\x01")


def test_a_file_of_a_value_may_be_another_one_in_the_registry() -> None:
    text = (
        'syntax = "proto3"; import "google/protobuf/timestamp.proto"; message Payment {'
        "string transaction_id = 1; google.protobuf.Timestamp timestamp = 2; double amount = 3; }"
    )
    other = 'syntax = "proto3"; package google.protobuf; message Timestamp { string seconds = 1; }'
    references = (("google/protobuf/timestamp.proto", other),)
    (found,) = become([raw(b"\x0a\x03tx1\x12\x03\x0a\x01x")], text, references=references)
    assert "schema: timestamp: Expected `int`, got `object` - at `$.timestamp` (schema id 1)" == found


MAPS = (
    f'syntax = "proto3"; message Payment {{ {FIELDS} map<int32, double> int32 = 10; map<fixed64, double> fixed64 = 11;'
    "map<bool, double> bool = 12; map<string, double> string = 13; }"
)


@pytest.mark.parametrize(
    ("kind", "key", "step"),
    [
        *[("int32", key, str(key)) for key in (0, -1, 2**31 - 1, -(2**31))],
        *[("int32", 1, step) for step in ("01", "+1", " 1", "1_0", "x", "", "\u0661", str(2**31), "9" * 5_000)],
        *[("fixed64", key, str(key)) for key in (0, 2**64 - 1)],
        *[("fixed64", 0, step) for step in ("-0", "-1", str(2**64))],
        *[("bool", True, step) for step in ("true", "false", "True", "1")],
        ("string", "", ""),
        ("string", "1", "1"),
    ],
)
def test_a_maps_key_is_found_by_its_text_alone(kind: str, key: Any, step: str) -> None:  # noqa: ANN401
    to_json = compile_protobuf(compiled(MAPS), [(kind, step)], TimestampFormat.EPOCH_MS)
    found = msgspec.json.decode(to_json(b"\0" + message(MAPS)(**{kind: {key: 2.5}}).SerializeToString()))
    shown_key = str(key).lower() if kind == "bool" else str(key)
    assert {kind: {step: 2.5} if shown_key == step else {}} == found


def test_a_map_is_not_walked() -> None:
    class Unwalked(dict[str, float]):
        def __iter__(self) -> Any:  # noqa: ANN401
            raise AssertionError

        keys = values = items = __iter__

    entry = message(MAPS).DESCRIPTOR.fields_by_name["string"].message_type
    assert {"a": 1.0} == _map(entry, {"a": {}, "b": {}}, TimestampFormat.EPOCH_MS)(Unwalked(a=1.0, c=2.0))


def test_another_message_of_a_schema_needs_no_classes_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[None] = []

    def counted(files: FileDescriptorSet) -> object:
        made.append(None)
        return _classes(files)

    monkeypatch.setattr(protobuf, "_classes", counted)
    text = 'syntax = "proto3";' + "".join(f"message M{n} {{ {FIELDS} string f{n} = 3; }}" for n in range(30))
    to_json = compile_protobuf(compiled(text), [("transaction_id",), ("f9",)], TimestampFormat.EPOCH_MS)
    before = len(made)
    for index in range(30):
        found = msgspec.json.decode(to_json(bytes([2, 2 * index]) + b"\x0a\x01a\x1a\x01b"))
        assert {"transaction_id": "a", **({"f9": "b"} if index == 9 else {})} == found
    assert before == len(made) == 2


def test_a_schema_without_a_message_is_a_fault() -> None:
    with pytest.raises(SchemaFault, match="it has no message"):
        compile_protobuf(compiled('syntax = "proto3"; enum A { B = 0; }'), [], TimestampFormat.EPOCH_MS)


# ---- for any data -------------------------------------------------------------------------------------------


@given(data=st.binary(max_size=200), path=st.sampled_from(["double", "card.id", "lines.a.price", "at", "decimal"]))
def test_any_bytes_are_an_outcome(data: bytes, path: str) -> None:
    (found,) = become([raw(data, indexes=b"")], KINDS, amount=path)
    assert found


@given(units=st.integers(-(10**37), 10**37), scale=st.integers(0, 37), kind=st.sampled_from(["decimal", "text"]))
def test_decimals_and_texts_are_exact_from_the_wire(units: int, scale: int, kind: str) -> None:
    exact = Decimal((int(units < 0), tuple(map(int, str(abs(units)))), -scale))
    value: Any = {"value": units.to_bytes(16, signed=True), "scale": scale} if kind == "decimal" else f"{exact:f}"
    found = one(**{kind: value}, mapping={"amount": kind, "amount_format": "number" if kind == "decimal" else "text"})
    assert exact == Decimal(found.split()[2])


@given(units=st.integers(-(2**63), 2**63 - 1), places=st.integers(0, 30), kind=st.sampled_from(["int64", "sint64"]))
def test_minor_units_are_exact_from_the_wire(units: int, places: int, kind: str) -> None:
    found = one(**{kind: units}, mapping={"amount": kind, "amount_format": f"minor:{places}"})
    assert Decimal(units).scaleb(-places) == Decimal(found.split()[2])


@given(units=st.integers(-(2**63), 2**63 - 1), nanos=st.integers(0, 10**9 - 1))
def test_money_is_exact_from_the_wire(units: int, nanos: int) -> None:
    signed = -nanos if units < 0 else nanos
    found = one(money={"units": units, "nanos": signed}, mapping={"amount": "money"})
    assert Decimal(units) + Decimal(signed).scaleb(-9) == Decimal(found.split()[2])


@given(
    number=st.floats(allow_nan=False, allow_infinity=False),
    narrow=st.floats(width=32, allow_nan=False, allow_infinity=False),
)
def test_floats_are_the_shortest_text_that_gives_them(number: float, narrow: float) -> None:
    assert number == float(one(double=number, mapping={"amount": "double"}).split()[2])
    text = one(float=narrow, mapping={"amount": "float"}).split()[2]
    assert struct.pack("f", narrow or 0.0) == struct.pack("f", float(text) or 0.0)
