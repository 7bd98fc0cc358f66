"""Avro: the mapped fields become JSON, exactly, whatever the schema around them."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import io
import json
import random
import re
import struct
from collections.abc import Collection, Mapping
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import UUID

import fastavro
import fastavro.utils
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.app.input import _checked
from service.core.model import Reason
from service.wire.decoder import Rejection
from service.wire.input.avro import compile_avro
from service.wire.input.columns import TimestampFormat
from service.wire.input.decoder import InputMapping, MappedJsonDecoder
from service.wire.input.framing import SchemaId
from service.wire.input.registered import RegisteredDecoder, SchemaFault, SchemaText, ToJson
from tests.unit.input_records import In, outcomes, shown

AT = 1_715_392_810_000
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}


def record(*fields: tuple[str, Any], name: str = "Payment") -> dict[str, Any]:
    """A schema of these fields."""
    return {"type": "record", "name": name, "fields": [{"name": one, "type": kind} for one, kind in fields]}


def plain(amount: Any = "double", time: Any = "long", identity: Any = "string") -> dict[str, Any]:  # noqa: ANN401
    """A schema with the default fields, and others round them."""
    return record(
        ("first", {"type": "map", "values": "double"}),
        ("transaction_id", identity),
        ("between", ["null", {"type": "array", "items": "string"}]),
        ("timestamp", time),
        ("amount", amount),
        ("last", "bytes"),
    )


def pay(amount: Any = 9000.5, time: Any = AT, identity: Any = "tx1") -> dict[str, Any]:  # noqa: ANN401
    """A record of plain()."""
    rest = {"first": {"a": 1.5}, "between": ["x", "y"], "last": b"\xff"}
    return {"transaction_id": identity, "timestamp": time, "amount": amount, **rest}


def data_of(schema: Any, value: Any) -> bytes:  # noqa: ANN401
    """The value without framing."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def framed(schema: Any, value: Any, number: int = 1) -> In:  # noqa: ANN401
    """A record's value as Confluent's serializer writes it."""
    return In(b"\0" + number.to_bytes(4) + data_of(schema, value))


class Known:
    """Schemas that are all there."""

    def __init__(self, mapping: InputMapping, schemas: Mapping[SchemaId, Any], references: Any = ()) -> None:  # noqa: ANN401
        self.inner = MappedJsonDecoder(mapping)
        compiled = _checked("AVRO", lambda one: compile_avro(one, self.inner.paths, mapping.timestamp_format))
        self.found = {n: compiled(SchemaText("AVRO", json.dumps(one), references)) for n, one in schemas.items()}

    def find(self, ids: Collection[SchemaId]) -> Mapping[SchemaId, ToJson | Rejection]:
        del ids
        return self.found


def become(records: list[In], *schemas: Any, references: Any = (), **mapping: Any) -> list[str]:  # noqa: ANN401
    """What records become, in the words of docs/input.md."""
    known = Known(InputMapping(**mapping), dict(enumerate(schemas, 1)), references)
    return [shown(one) for one in outcomes(RegisteredDecoder(known, known.inner), records)]


def test_the_mapped_fields_are_read_and_the_others_skipped() -> None:
    assert [f"tx1 {AT} 9000.5"] == become([framed(plain(), pay())], plain())


@pytest.mark.parametrize(
    ("kind", "time"),
    [("millis", AT), ("micros", AT * 1_000 + 999), ("nanos", AT * 1_000_000 + 999_999)],
)
@pytest.mark.parametrize("form", TimestampFormat)
def test_a_time_of_its_own_type_needs_no_format(kind: str, time: int, form: TimestampFormat) -> None:
    schema = plain(time=["null", {"type": "long", "logicalType": f"timestamp-{kind}"}])
    bare = plain(time=["null", "long"])
    assert [f"tx1 {AT} 9000.5"] == become([framed(bare, pay(time=time))], schema, timestamp_format=form)


@pytest.mark.parametrize(
    "amount",
    [
        DECIMAL,
        ["null", DECIMAL],
        {"type": "fixed", "name": "F", "size": 12, "logicalType": "decimal", "precision": 20, "scale": 2},
    ],
    ids=["bytes", "or null", "fixed"],
)
@pytest.mark.parametrize("text", ["12.50", "-0.01", "123456789012345678.99", "0.00"])
def test_a_decimal_is_exact(amount: Any, text: str) -> None:  # noqa: ANN401
    (found,) = become([framed(plain(amount), pay(Decimal(text)))], plain(amount))
    assert Decimal(text) == Decimal(found.split()[2])


def test_connects_decimal_is_known_by_its_name() -> None:
    connect = {
        "type": "bytes",
        "connect.version": 1,
        "connect.parameters": {"scale": "3"},
        "connect.name": "org.apache.kafka.connect.data.Decimal",
    }
    records = [framed(plain("bytes"), pay((-12_345).to_bytes(2, signed=True)))]
    assert [f"tx1 {AT} -12.345"] == become(records, plain(connect))


@given(units=st.integers(-(10**37), 10**37), scale=st.integers(0, 37), wire=st.sampled_from(["bytes", "fixed"]))
def test_decimals_are_exact_from_the_wire(units: int, scale: int, wire: str) -> None:
    kind = {"type": wire, "logicalType": "decimal", "precision": 38, "scale": scale}
    bare: Any = "bytes"
    if wire == "fixed":
        kind |= {"name": "F", "size": 16}
        bare = {"type": "fixed", "name": "F", "size": 16}
    value = framed(plain(bare), pay(units.to_bytes(16, signed=True)))
    (found,) = become([value], plain(kind))
    assert Decimal((int(units < 0), tuple(map(int, str(abs(units)))), -scale)) == Decimal(found.split()[2])


@given(number=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float_of_32_bits_is_its_shortest_text(number: float) -> None:
    (found,) = become([framed(plain("float"), pay(number))], plain("float"))
    text = found.split()[2]
    assert struct.pack("f", number) == struct.pack("f", float(text) or number)
    assert len(text.strip("-0.").replace(".", "").split("e")[0]) <= 40


def test_a_price_in_32_bits_is_what_people_wrote() -> None:
    assert [f"tx1 {AT} 12.1"] == become([framed(plain("float"), pay(12.1))], plain("float"))


@pytest.mark.parametrize("kind", ["float", "double"])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_an_amount_that_is_no_number_is_rejected_as_such(kind: str, number: float) -> None:
    (found,) = become([framed(plain(kind), pay(number))], plain(kind))
    assert "amount_not_finite: amount: not a finite number (schema id 1)" == found


def test_ids_may_be_whole_numbers_texts_or_null_in_one_union() -> None:
    schema = record(("card", ["null", "long", "string"]), ("timestamp", MILLIS), ("amount", ["int", DECIMAL]))
    bare = record(("card", ["null", "long", "string"]), ("timestamp", "long"), ("amount", ["int", "bytes"]))
    rest = {"timestamp": AT, "amount": 5}
    records = [framed(bare, {"card": card, **rest}) for card in (4711, "c1", None)]
    records.append(framed(bare, {"card": "c2", "timestamp": AT, "amount": b"\x04\xe2"}))
    assert [
        f"4711 {AT} 5.0",
        f"c1 {AT} 5.0",
        "schema: card: Expected `int | str`, got `null` - at `$.card` (schema id 1)",
        f"c2 {AT} 12.5",
    ] == become(records, schema, transaction_id="card")


ENVELOPE = {
    **record(
        ("before", ["null", record(("id", "string"), ("amount", DECIMAL), ("note", "string"), name="Value")]),
        ("after", ["null", "Value"]),
        ("op", {"type": "enum", "name": "Op", "symbols": ["c", "u", "d"]}),
        ("tags", {"type": "map", "values": {"type": "array", "items": "int"}}),
        ("ts_ms", MILLIS),
        name="Envelope",
    ),
    "namespace": "shop.payments",
}
ROW = {"id": "a1", "amount": Decimal("12.50"), "note": "n"}


def test_nested_records_conditions_maps_and_elements() -> None:
    mapping = {
        "transaction_id": "after.id+tags.b[1]",
        "timestamp": "ts_ms",
        "amount": "after.amount",
        "where": "op=c,u;after.amount=12.50",
    }
    base = {"before": ROW, "after": ROW, "op": "c", "tags": {"a": [1], "b": [7, 8, 9]}, "ts_ms": AT}
    records = [
        framed(ENVELOPE, base),
        framed(ENVELOPE, base | {"op": "d", "after": None, "tags": {}}),
        framed(ENVELOPE, base | {"tags": {"b": [7]}}),
    ]
    assert [
        f"a1|8 {AT} 12.5",
        f"left out {AT}",
        "schema: tags.b[1]: Expected `array` of at least length 2, got 1 - at `$.tags.b` (schema id 1)",
    ] == become(records, ENVELOPE, **mapping)


def test_a_topic_with_several_schemas_rejects_only_those_without_the_fields() -> None:
    old = record(("transaction_id", "string"), ("timestamp", "long"), ("amount", "int"))
    other = record(("transaction_id", "string"), ("timestamp", "long"), ("total", "int"))
    fields = {"transaction_id": "tx1", "timestamp": AT}
    records = [
        framed(other, {**fields, "total": 5}, 2),
        framed(old, {**fields, "amount": 5}, 1),
        framed(plain(DECIMAL), pay(Decimal("7.25")), 3),
        framed(old, {**fields, "amount": 6}, 1),
    ]
    assert [
        "schema: amount: Object missing required field `amount` (schema id 2)",
        f"tx1 {AT} 5.0",
        f"tx1 {AT} 7.25",
        f"tx1 {AT} 6.0",
    ] == become(records, old, other, plain(DECIMAL))


def test_a_schema_may_refer_to_others() -> None:
    money = record(("units", DECIMAL), name="shop.Money")
    card = record(("id", "string"), ("limit", "shop.Money"), name="shop.Card")
    schema = record(("card", "shop.Card"), ("total", "shop.Money"), ("timestamp", MILLIS), name="shop.Payment")
    whole = json.loads(json.dumps(schema).replace('"type": "shop.Card"', f'"type": {json.dumps(card)}'))
    whole = json.loads(json.dumps(whole).replace('"type": "shop.Money"', f'"type": {json.dumps(money)}', 1))
    value = {"card": {"id": "c1", "limit": {"units": Decimal(1)}}, "total": {"units": Decimal("3.50")}, "timestamp": AT}
    references = (("m", json.dumps(money)), ("c", json.dumps(card)))
    mapping = {"transaction_id": "card.id", "amount": "total.units"}
    assert [f"c1 {AT} 3.5"] == become([framed(whole, value)], schema, references=references, **mapping)


def test_a_type_that_contains_itself() -> None:
    node = record(("transaction_id", "string"), ("next", ["null", "Payment"]), ("timestamp", "long"), ("amount", "int"))
    inner = {"transaction_id": "tx2", "next": None, "timestamp": AT, "amount": 6}
    value = {"transaction_id": "tx1", "next": inner, "timestamp": AT, "amount": 5}
    assert [f"tx2 {AT} 5.0"] == become([framed(node, value)], node, transaction_id="next.transaction_id")


def test_bytes_are_no_text_and_records_are_no_numbers() -> None:
    schema = plain(amount=record(("x", "bytes"), name="X"), identity="bytes")
    assert ["schema: transaction_id: Expected `str`, got `object` - at `$.transaction_id` (schema id 1)"] == become(
        [framed(schema, pay({"x": b""}, identity=b"id"))], schema
    )
    schema = plain(amount=record(("x", "bytes"), name="X"))
    assert ["schema: amount: expected a number, got an object (schema id 1)"] == become(
        [framed(schema, pay({"x": b""}))], schema
    )


def test_what_is_not_framed_or_not_of_the_schema_is_rejected() -> None:
    good = framed(plain(), pay())
    assert good.held is not None
    found = become(
        [In(b""), In(b'{"a":1}'), In(b"\0\0\0"), In(good.held[:-20]), good, In(None)], plain(), ignore_tombstones=True
    )
    unframed = "schema: no schema id: the value does not begin with byte 0 and four more"
    assert ["empty_value: the record has no value", unframed, unframed] == found[:3]
    assert found[3].startswith("schema: the data are not those of the schema: they end within a value")
    assert [f"tx1 {AT} 9000.5", "left out"] == found[4:]


def test_bytes_from_anywhere_are_rejected_and_never_raise() -> None:
    rng = random.Random(7)  # noqa: S311 - the same each time
    schema = plain(["null", DECIMAL, "string"])
    start = framed(schema, pay(Decimal("12.50"))).held or b""
    records = []
    for _ in range(2_000):
        value = bytearray(start)
        for _ in range(rng.randint(1, 4)):
            value[rng.randrange(5, len(value))] = rng.randrange(256)
        records.append(In(bytes(value[: rng.randint(5, len(value))])))
    found = become(records, schema)
    assert len(records) == len(found)
    assert any(one.startswith("schema: the data are not") for one in found)


def test_the_id_may_be_a_guid_in_a_header() -> None:
    guid = UUID("01234567-89ab-cdef-0123-456789abcdef")
    known = Known(InputMapping(), {guid: plain()})
    decoder = RegisteredDecoder(known, known.inner)
    value = data_of(plain(), pay())
    headers: Any = [("__value_schema_id", b"rubbish"), ("__value_schema_id", b"\x01" + guid.bytes)]
    (found,) = outcomes(decoder, [In(value, more=headers)])
    assert f"tx1 {AT} 9000.5" == shown(found)
    (found,) = outcomes(decoder, [In(value, more=headers[:1])])
    assert shown(found).startswith("schema: no schema id: the header __value_schema_id holds neither")


PLAIN_TYPES = ("null", "boolean", "int", "long", "string", "double")


def has_bytes(kind: Any) -> bool:  # noqa: ANN401
    """Whether a value of this type has bytes, always."""
    if isinstance(kind, dict) and kind["type"] == "record":
        return any(has_bytes(one["type"]) for one in kind["fields"])
    return bool(kind != "null")


@st.composite
def types(draw: st.DrawFn, depth: int = 3) -> Any:  # noqa: ANN401
    """A type of Avro, whose values JSON shows as they are."""
    kinds = [*PLAIN_TYPES, "enum", *(("array", "map", "record", "union") if depth else ())]
    kind = draw(st.sampled_from(kinds))
    inner = types(depth=depth - 1)
    name = "T"
    match kind:
        case "enum":
            return {"type": "enum", "name": name, "symbols": ["A", "B"]}
        case "array":
            return {"type": "array", "items": draw(inner.filter(has_bytes))}
        case "map":
            return {"type": "map", "values": draw(inner)}
        case "record":
            return record(*((f"f{n}", one) for n, one in enumerate(draw(st.lists(inner, max_size=4)))), name=name)
        case "union":
            return ["null", draw(inner.filter(lambda one: one != "null" and not isinstance(one, list)))]
    return kind


@given(kind=types(), seed=st.integers(0, 10**6), cut=st.integers(1, 50))
def test_any_type_is_read_as_fastavro_reads_it_and_skipped_by_as_much(kind: Any, seed: int, cut: int) -> None:  # noqa: ANN401
    number = count()
    numbered = json.loads(re.sub('"T"', lambda _: f'"T{next(number)}"', json.dumps(kind)))  # each type has its own name
    schema = record(("first", numbered), ("last", "string"))
    random.seed(seed)  # fastavro's values are of it
    value = {**next(fastavro.utils.generate_many(schema, 1)), "last": f"behind {seed}"}
    data = data_of(schema, value)
    expected = json.loads(msgspec.json.encode(fastavro.schemaless_reader(io.BytesIO(data), schema, None)))
    text = SchemaText("AVRO", json.dumps(schema))
    whole = compile_avro(text, [("first",), ("last",)], TimestampFormat.EPOCH_MS)
    assert expected == json.loads(whole(data))
    assert {"last": f"behind {seed}"} == json.loads(compile_avro(text, [("last",)], TimestampFormat.EPOCH_MS)(data))
    with pytest.raises(Rejection, match="they end within a value"):
        whole(data[: -min(cut, len(data))])


@pytest.mark.parametrize(
    ("kind", "data", "why"),
    [
        ("long", b"\xff" * 10 + b"\x01", "a number has more than 64 bits"),
        ("string", b"\x01", "a value has the length -1"),
        ("bytes", b"\x01", "a value has the length -1"),
        (["null", "long"], b"\x04", "a union or an enum has no number 2"),
        (["null", "long"], b"\x01", "a union or an enum has no number -1"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, b"\x02", "a union or an enum has no number 1"),
        ({"type": "array", "items": "int"}, b"\xfe\xff\xff\xff\x0f", "they end within a value"),
        ({"type": "array", "items": "double"}, b"\x04" + b"\0" * 15, "they end within a value"),
        ({"type": "map", "values": "null"}, b"\x04\0", "they end within a value"),
        ("string", b"\x02\xff", "invalid start byte"),
        ("long", b"\x80", "they end within a value"),
    ],
)
def test_data_that_no_writer_makes_are_refused_at_once(kind: Any, data: bytes, why: str) -> None:  # noqa: ANN401
    schema = SchemaText("AVRO", json.dumps(record(("x", kind), ("y", "null"))))
    with pytest.raises(Rejection) as refused:
        compile_avro(schema, [("x",)], TimestampFormat.EPOCH_MS)(data)
    assert why in refused.value.why


FIXED = {"type": "fixed", "name": "F", "size": 0}
DOUBLED = [
    record(("a", f"R{n - 1}" if n else "double"), ("b", f"R{n - 1}" if n else "null"), name=f"R{n}") for n in range(40)
]


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (FIXED | {"size": -1}, "a fixed type has the size -1"),
        (FIXED | {"size": "x"}, "a fixed type has the size 'x'"),
        (FIXED | {"size": True}, "a fixed type has the size True"),
        ({"type": "array", "items": "null"}, "the items of an array can have no bytes"),
        ({"type": "array", "items": FIXED}, "the items of an array can have no bytes"),
        ({"type": "array", "items": record(name="E")}, "the items of an array can have no bytes"),
        ({"type": "map", "values": {"type": "array", "items": record(("e", "null"))}}, "can have no bytes"),
        (["null", *DOUBLED], "has more than 10000 values"),
    ],
)
@pytest.mark.parametrize("path", ["x", "y"])
def test_a_schema_whose_data_could_be_read_for_ever_is_refused(kind: Any, why: str, path: str) -> None:  # noqa: ANN401
    schema = SchemaText("AVRO", json.dumps(record(("x", kind), ("y", "int"), name="Outer")))
    with pytest.raises(SchemaFault, match=why):
        compile_avro(schema, [(path,)], TimestampFormat.EPOCH_MS)


def test_unions_of_many_records_are_searched_once() -> None:
    names = [f"R{n}" for n in range(30)]
    schema = [record(("a", ["null", *names]), name=name) for name in names]
    compile_avro(SchemaText("AVRO", json.dumps(schema)), [("a",) * 30], TimestampFormat.EPOCH_MS)


def test_blocks_with_their_sizes_are_read_and_skipped() -> None:
    items = {"type": "array", "items": "int"}
    schema = SchemaText("AVRO", json.dumps(record(("x", items), ("y", {"type": "map", "values": "int"}), ("z", "int"))))
    data = b"\x03\x04\x02\x04" + b"\x02\x06" + b"\x00" + b"\x01\x06\x02a\x0a" + b"\x00" + b"\x0c"
    read = compile_avro(schema, [("x",), ("y",), ("z",)], TimestampFormat.EPOCH_MS)
    assert {"x": [1, 2, 3], "y": {"a": 5}, "z": 6} == json.loads(read(data))
    assert {"z": 6} == json.loads(compile_avro(schema, [("z",)], TimestampFormat.EPOCH_MS)(data))


LINE = record(("price", "int"), ("tags", {"type": "array", "items": "string"}), name="Line")
LINES = {"type": "map", "values": ["null", LINE]}
MANY = {"a": {"price": 1, "tags": ["x", "y", "z"]}, "b": None, "c": {"price": 3, "tags": ["u"]}}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([("x", "a", "price")], {"a": {"price": 1}}),
        ([("x", "b"), ("x", "missing")], {"b": None}),
        ([("x", "a", "tags", 1)], {"a": {"tags": ["x", "y"]}}),
        (
            [("x", "c", "tags", 0), ("x", "a", "price")],
            {"a": {"price": 1, "tags": ["x"]}, "c": {"price": 3, "tags": ["u"]}},
        ),
        ([("x", "a"), ("x", "c", "tags", 0)], {"a": MANY["a"], "c": MANY["c"]}),
        ([("x",), ("x", "a", "price")], MANY),
        ([("x", 0)], {}),
        ([("x", "a", "tags", "y")], {"a": {"tags": []}}),
    ],
)
@pytest.mark.parametrize("sized", [False, True])
def test_of_maps_and_arrays_only_what_a_path_needs_is_read(paths: Any, expected: Any, *, sized: bool) -> None:  # noqa: ANN401
    schema = record(("x", LINES), ("y", "int"))
    data = data_of(schema, {"x": MANY, "y": 7})
    if sized:  # the block's length is written before it
        data = b"\x05" + bytes([2 * (len(data) - 3)]) + data[1:]
    read = compile_avro(SchemaText("AVRO", json.dumps(schema)), [*paths, ("y",)], TimestampFormat.EPOCH_MS)
    assert {"x": expected, "y": 7} == json.loads(read(data))


@pytest.mark.parametrize(
    "text",
    ["", "7", "[]x", '{"type":"record"}', '{"type":"record","name":"A","fields":[{"name":"x","type":"Missing"}]}',
     '{"type":"bytes","logicalType":"decimal","scale":-1}', '{"type":"bytes","logicalType":"decimal","scale":"x"}',
     '{"type":"bytes","logicalType":"decimal","scale":"1e400"}', '"\ud800"', '["\\ud800"]',
 '{"type":"record","name":"A","fields":5}'],
)  # fmt: skip
def test_a_text_that_is_no_schema_is_a_fault_of_the_schema(text: str) -> None:
    with pytest.raises(SchemaFault):
        compile_avro(SchemaText("AVRO", text), [("x",)], TimestampFormat.EPOCH_MS)


def test_a_schema_of_another_kind_rejects_its_records() -> None:
    found = _checked("AVRO", lambda _: bytes)(SchemaText("JSON", "{}"))
    assert isinstance(found, Rejection)
    assert (Reason.SCHEMA, "the schema is of JSON, not of AVRO") == (found.reason, found.why)
