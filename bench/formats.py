"""What a record's format costs: each decoder on the same payments, without Kafka, beside the default in each round."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

import fastavro
from confluent_kafka import Message
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from bench.report import Figure
from bench.stand import Stand
from service.process import protoc
from service.wire.decoder import Decoder, Rejection
from service.wire.input.avro import compile_avro
from service.wire.input.columns import TimestampFormat
from service.wire.input.decoder import InputMapping, MappedJsonDecoder
from service.wire.input.framing import SchemaId
from service.wire.input.paths import Path
from service.wire.input.protobuf import compile_protobuf
from service.wire.input.registered import RegisteredDecoder, SchemaText, ToJson
from service.wire.records import InRecord
from service.wire.transactions import JsonDecoder

BATCH = 500
"""About what one poll of a busy partition returns."""
AT_MS = 1_715_392_810_000
COLUMNS = [("us", "decoding a record, µs", ".2f"), ("ratio", "÷ the default", ".1f"), ("size", "bytes", ".0f")]
FRAME = b"\0\0\0\0\1"
NOTES = {"merchant": "Corner Shop 12", "city": "Lisbon", "channel": "pos"}
"""Fields that no path needs."""
TYPED = {
    "amount": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2},
    "timestamp": {"type": "long", "logicalType": "timestamp-micros"},
}
PROTO = (
    'syntax = "proto3"; import "google/protobuf/timestamp.proto"; import "google/type/money.proto";'
    "message Payment { string merchant = 1; string transaction_id = 2; string city = 3; double amount = 4;"
    " int64 timestamp = 5; string channel = 6; google.protobuf.Timestamp at = 7; google.type.Money price = 8;"
    " Card card = 9; string text = 10; message Card { string id = 1; } }"
)
Compiled = Callable[[Sequence[Path], TimestampFormat], ToJson]


@dataclass
class Case:
    """A format: how records are written, and the decoder that reads them."""

    name: str
    write: Callable[[str, int, str], bytes]
    decoder: Decoder
    messages: list[Any] = field(default_factory=list)


def formats(stand: Stand) -> Figure:
    """Each format, in turns with the others."""
    note = (
        f"{BATCH} records a batch, {len(NOTES)} fields that no path needs; the fastest of many batches in each round."
    )
    figure = Figure("formats", "What a format costs", COLUMNS, note)
    values = [
        (f"tx-{number % 100:06d}", AT_MS + number, f"{number * 7 % 9_000}.{number % 100:02d}")
        for number in range(BATCH)
    ]
    expected = [(identity, time_ms, Decimal(amount)) for identity, time_ms, amount in values]
    cases = make_cases()
    for case in cases:
        case.messages = [Message(topic="t", partition=0, value=case.write(*one), key=b"k") for one in values]
        decoded = case.decoder.decode(case.messages).transactions
        if [(one.transaction_id, one.timestamp, Decimal(str(one.amount))) for one in decoded] != expected:
            raise AssertionError(f"{case.name}: it was not decoded to what was written")
    for number in range(stand.rounds):
        stand.say(f"formats: round {number + 1}")
        best = {case.name: float("inf") for case in cases}
        for _ in range(20 if stand.quick else 200):
            for case in cases:
                best[case.name] = min(best[case.name], _seconds(case.decoder, case.messages))
        for case in cases:
            seconds, size = best[case.name], sum(len(one.value() or b"") for one in case.messages)
            ratio = seconds / best[cases[0].name]
            figure.row(case.name).add(us=seconds / BATCH * 1e6, ratio=ratio, size=size / BATCH)
    return figure


def _seconds(decoder: Decoder, messages: Sequence[InRecord]) -> float:
    begin = time.perf_counter()
    decoder.decode(messages)
    return time.perf_counter() - begin


class _Known:
    """The one schema, as the registry would have served it."""

    def __init__(self, to_json: ToJson) -> None:
        self._found: dict[SchemaId, ToJson | Rejection] = {1: to_json}

    def find(self, ids: Collection[SchemaId]) -> Mapping[SchemaId, ToJson | Rejection]:
        del ids
        return self._found


def make_cases() -> list[Case]:
    """The default first."""
    found = [
        Case("JSON, txwatch's own", _json, JsonDecoder()),
        Case("JSON, mapped", _nested_json, MappedJsonDecoder(InputMapping("card.id", amount="card.amount"))),
        Case("JSON Schema", lambda *one: FRAME + _json(*one), _registered(InputMapping(), lambda *_: bytes)),
    ]
    for name, types in (("Avro, double and long", {}), ("Avro, decimal and timestamp", TYPED)):
        schema = SchemaText("AVRO", _avro_schema(types))
        found.append(Case(name, _avro(schema.text, types), _registered(InputMapping(), partial(compile_avro, schema))))
    descriptors = protoc.descriptors(PROTO)
    read = partial(compile_protobuf, descriptors)
    for name, mapping in (
        ("Protobuf, double and int64", InputMapping()),
        ("Protobuf, text and Timestamp", InputMapping("card.id", "at", amount="text", amount_format="text")),
        ("Protobuf, Money and Timestamp", InputMapping("card.id", "at", amount="price")),
    ):
        found.append(Case(name, _protobuf(descriptors), _registered(mapping, read, indexed=True)))
    return found


def _registered(mapping: InputMapping, compiled: Compiled, *, indexed: bool = False) -> Decoder:
    inner = MappedJsonDecoder(mapping)
    return RegisteredDecoder(_Known(compiled(inner.paths, mapping.timestamp_format)), inner, indexed=indexed)


def _json(identity: str, time_ms: int, amount: str) -> bytes:
    notes = json.dumps(NOTES)[1:-1]
    return f'{{"transaction_id":"{identity}","timestamp":{time_ms},"amount":{float(amount)},{notes}}}'.encode()


def _nested_json(identity: str, time_ms: int, amount: str) -> bytes:
    notes = json.dumps(NOTES)[1:-1]
    return f'{{"card":{{"id":"{identity}","amount":{float(amount)}}},"timestamp":{time_ms},{notes}}}'.encode()


def _avro_schema(types: Mapping[str, Any]) -> str:
    kinds = {
        "merchant": "string",
        "transaction_id": "string",
        "city": ["null", "string"],
        "amount": "double",
        "timestamp": "long",
        "channel": "string",
    }
    return json.dumps(
        {
            "type": "record",
            "name": "Payment",
            "fields": [{"name": name, "type": types.get(name, kind)} for name, kind in kinds.items()],
        }
    )


def _avro(text: str, types: Mapping[str, Any]) -> Callable[[str, int, str], bytes]:
    parsed = fastavro.parse_schema(json.loads(text))

    def write(identity: str, time_ms: int, amount: str) -> bytes:
        out = io.BytesIO()
        typed = (
            {"timestamp": time_ms * 1_000, "amount": Decimal(amount)}
            if types
            else {"timestamp": time_ms, "amount": float(amount)}
        )
        fastavro.schemaless_writer(out, parsed, {**NOTES, "transaction_id": identity, **typed})
        return FRAME + out.getvalue()

    return write


def _protobuf(descriptors: bytes) -> Callable[[str, int, str], bytes]:
    pool: Any = DescriptorPool()
    for file in FileDescriptorSet.FromString(descriptors).file:
        pool.AddSerializedFile(file.SerializeToString())
    get: Any = GetMessageClass
    message = get(pool.FindMessageTypeByName("Payment"))

    def write(identity: str, time_ms: int, amount: str) -> bytes:
        whole, _, part = amount.partition(".")
        at = {"seconds": time_ms // 1_000, "nanos": time_ms % 1_000 * 1_000_000}
        price = {"units": int(whole), "nanos": int(part) * 10_000_000}
        return b"".join(
            [
                FRAME,
                b"\0",
                message(
                    transaction_id=identity,
                    timestamp=time_ms,
                    amount=float(amount),
                    at=at,
                    price=price,
                    card={"id": identity},
                    text=amount,
                    **NOTES,
                ).SerializeToString(),
            ]
        )

    return write
