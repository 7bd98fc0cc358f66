"""A topic behind a schema registry: a real one, which is killed, with evolved schemas, secured as people do it."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import fastavro
import pytest
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient

from brokerkit.broker import Broker
from brokerkit.client import Rec, create_topics, produce, read_all
from brokerkit.registry import Registry
from brokerkit.service_process import Names, payloads, running, wait_until
from histories.oracle import headers_of
from service.kafka.registry import Registry as Client
from service.kafka.registry import RegistryError
from service.loop.errors import Retriable
from tests.forked import Forked
from tests.integration.doorkeeper import OWNER, Doorkeeper
from tests.replay_process import run
from tests.token_server import SECRET, TokenServer
from tests.unit.test_protobuf import message

AT: Final = 1_715_392_800_000
DECIMAL: Final = {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2}
MICROS: Final = {"type": "long", "logicalType": "timestamp-micros"}
CARD: Final = {"type": "record", "name": "shop.Card", "fields": [{"name": "id", "type": ["null", "string"]}]}
EVENT_TIME: Final = {"WINDOW_CLOCK": "event", "LATE_POLICY": "divert"}


FORKED: Final = Forked("service", "service.cli.main", os.environ)


class Done(NamedTuple):
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        """Its output without line breaks."""
        return " ".join(self.stdout.split())


def command(broker: Broker, names: Names, *arguments: str, **settings: str) -> Done:
    """Run a command of the service to its end. A fork is quicker than a start of Python, and there are many."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("KAFKA_", "TOPICS_"))}
    servers = {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers}
    ended = FORKED.run(arguments, {**kept, **names.environment(), **servers, **settings})
    return Done(ended.code, ended.out.decode(), ended.err.decode())


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    """One for all of them."""
    with Registry() as running_one:
        yield running_one


def first(**changed: Any) -> dict[str, Any]:  # noqa: ANN401
    """A schema of payments, with the card by reference."""
    fields = {"note": "string", "card": "shop.Card", "amount": DECIMAL, "at": MICROS, **changed}
    return {"type": "record", "name": "Payment", "fields": [{"name": n, "type": kind} for n, kind in fields.items()]}


def register(registry: Registry, subject: str, schema: dict[str, Any], *references: SchemaReference) -> int:
    """Register a schema of Avro; returns its id."""
    with SchemaRegistryClient({"url": registry.url}) as client:
        number: int = client.register_schema(subject, Schema(json.dumps(schema), "AVRO", list(references)))
        return number


def card(registry: Registry, name: str) -> SchemaReference:
    """Register the card's schema; returns what refers to it."""
    register(registry, name, CARD)
    return SchemaReference("shop.Card", name, 1)


def avro(number: int, schema: dict[str, Any], value: dict[str, Any]) -> bytes:
    """A record's value, framed."""
    names: dict[str, Any] = {}
    fastavro.parse_schema(CARD, named_schemas=names)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema, named_schemas=names), value)
    return b"\0" + number.to_bytes(4) + out.getvalue()


def pay(identity: str | None, amount: str, at_ms: int, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """The fields of a payment."""
    return {"note": "n", "card": {"id": identity}, "amount": Decimal(amount), "at": (AT + at_ms) * 1_000 + 999, **more}


MAPPING: Final = {
    "INPUT_FORMAT": "avro",
    "INPUT_TRANSACTION_ID": "card.id",
    "INPUT_TIMESTAMP": "at",
    "INPUT_TOMBSTONES": "ignore",
}


def test_the_registry_is_killed_while_records_of_old_and_new_schemas_come(
    broker: Broker, registry: Registry, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=2)
    reference = card(registry, unique("card"))
    old, new = first(), first(reason=["null", "string"])
    subject = f"{names.transactions}-value"
    ids = [register(registry, subject, old, reference), register(registry, unique("new"), new, reference)]
    without = register(registry, unique("other"), CARD)

    def put(*records: tuple[int, dict[str, Any], dict[str, Any]] | bytes | None, partition: int = 0) -> None:
        values = [avro(*one) if isinstance(one, tuple) else one for one in records]
        produce(broker, names.transactions, [Rec("k", value, partition=partition) for value in values])

    settings = {**MAPPING, **EVENT_TIME, "REGISTRY_URL": f"http://127.0.0.1:9,{registry.url}"}
    with running(broker, names, settings) as service:
        service.wait_ready(2)
        put(
            (ids[0], old, pay("c1", "7999.99", 0)),
            (without, CARD, {"id": "c1"}),
            (ids[0], old, pay(None, "1", 0)),
            (2**31, old, pay("c1", "1", 0)),
            b"{}",
            None,
        )
        wait_until(lambda: len(read_all(broker, names.dead_letter)) >= 4)
        refused = [headers_of(one) for one in read_all(broker, names.dead_letter)]
        assert [
            f"card.id: Object missing required field `card` (schema id {without})",
            f"card.id: Expected `int | str`, got `null` - at `$.card.id` (schema id {ids[0]})",
            f"the schema registry does not know the schema (schema id {2**31})",
            "no schema id: the value does not begin with byte 0 and four more",
        ] == [one["__connect.errors.exception.message"].decode() for one in refused]
        assert {b"schema"} == {one["txwatch.reason"] for one in refused}

        registry.kill()
        put(
            (ids[0], old, pay("c1", "0.01", 1)),  # a known schema needs no registry
            (ids[1], new, pay("c1", "0.01", 2, reason="r")),
            (ids[0], old, pay("c1", "0.00", 3)),
        )
        put((ids[0], old, pay("c9", "9000.10", 0)), (ids[0], old, pay("c9", "1", 60_000)), partition=1)
        # The other partition goes on, and nothing is set aside.
        assert wait_until(lambda: payloads(broker, names.alerts))
        assert wait_until(lambda: service.get("/readyz")[0] == 503)
        assert "the schema registry does not answer" in service.get("/readyz")[1]
        assert 4 == len(read_all(broker, names.dead_letter))
        service.wait_for_event("schema_registry_awaited")

        registry.start()
        service.wait_ready(2)
        put((ids[1], new, pay("c2", "1", 60_000, reason=None)))
        assert wait_until(lambda: len(payloads(broker, names.alerts)) == 2)
        assert service.stop() == 0
    alerts = {one["transaction_id"]: one for one in payloads(broker, names.alerts)}
    assert Decimal("8000.01") == alerts["c1"]["amount"]
    assert (4, AT) == (alerts["c1"]["count"], alerts["c1"]["timestamp"])
    assert 4 == len(read_all(broker, names.dead_letter))

    done = command(broker, names, "try-input", "--max", "20", **{**MAPPING, "REGISTRY_URL": registry.url})
    assert 0 == done.returncode, done.stderr
    assert "7999.99  c1" in done.stdout
    assert f"(schema id {without})" in done.text
    explained = command(broker, names, "explain", alerts["c1"]["alert_id"], **settings)
    assert 0 == explained.returncode, explained
    assert "8000.01" in explained.stdout


def test_json_schema_is_the_mapping_of_json_behind_the_frame(
    broker: Broker, registry: Registry, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=1)
    with SchemaRegistryClient({"url": registry.url}) as client:
        number = client.register_schema(
            unique("json"), Schema('{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}', "JSON")
        )
    frame = b"\0" + number.to_bytes(4)
    good = b'{"transaction_id":"tx1","timestamp":%d,"amount":9000.000000000000000001}' % AT
    avro_id = register(registry, unique("card"), CARD)
    values = [frame + good, good, frame + b"{", b"\0" + avro_id.to_bytes(4) + good]
    produce(broker, names.transactions, [Rec("k", value) for value in values])
    mapping = {"INPUT_FORMAT": "json-schema", "REGISTRY_URL": registry.url}
    text = command(broker, names, "try-input", **mapping).text
    assert "9000.000000000000000001 tx1" in text
    assert "rejected (schema): no schema id: the value does not begin with byte 0" in text
    assert f"rejected (not_json): Input data was truncated (schema id {number})" in text
    assert f"the schema is of AVRO, not of JSON (schema id {avro_id})" in text


def test_user_and_password_a_token_tls_and_a_clients_certificate(registry: Registry, tmp_path: Path) -> None:
    number = register(registry, "secured", CARD)
    tokens = TokenServer(life_s=60)
    tokens.start()
    with closing(tokens), Doorkeeper(registry.url, tmp_path) as door:
        tls = {"ssl.ca.location": door.ca}
        mutual = {"ssl.certificate.location": door.certificate, "ssl.key.location": door.key}
        basic = {"basic.auth.user.info": "user:pass"}
        token = {
            "bearer.auth.credentials.source": "STATIC_TOKEN",
            "bearer.auth.token": "secret",
            "bearer.auth.logical.cluster": "lsrc-1",
            "bearer.auth.identity.pool.id": "pool-1",
        }
        oauth = {
            "bearer.auth.credentials.source": "OAUTHBEARER",
            "bearer.auth.issuer.endpoint.url": tokens.url,
            "bearer.auth.client.id": OWNER,
            "bearer.auth.client.secret": SECRET,
            "bearer.auth.scope": "schemas",
            "bearer.auth.logical.cluster": "lsrc-1",
            "bearer.auth.identity.pool.id": "pool-1",
        }
        for properties in ({**tls, **mutual, **basic}, {**tls, **mutual, **token}, {**tls, **mutual, **oauth}):
            with closing(Client(door.url, properties)) as client:
                found = client.fetch(number)
                assert found is not None
                assert '"name":"Card"' in found.text
                assert None is client.fetch(987_654)
        refused: list[tuple[dict[str, str], str]] = [
            ({**tls, **mutual}, "the schema registry answers 401"),
            ({**tls, **mutual, "basic.auth.user.info": "user:wrong"}, "the schema registry answers 401"),
            ({**tls, **mutual, **oauth, "bearer.auth.client.id": "other"}, "the schema registry answers 401"),
            (
                {**tls, **mutual, **oauth, "bearer.auth.client.secret": "wrong"},
                "the schema registry does not answer",
            ),
            ({**tls, **basic}, "the schema registry does not answer"),
            ({**mutual, **basic}, "the schema registry does not answer"),
        ]
        for properties, why in refused:
            with closing(Client(door.url, properties)) as client, pytest.raises(Retriable) as problem:
                client.fetch(number)
            assert str(problem.value).startswith(why)
            assert "\n" not in str(problem.value)
    with pytest.raises(RegistryError):
        Client(registry.url, {"ssl.ca.location": str(tmp_path / "missing")})
    with pytest.raises(RegistryError):
        Client(registry.url, {"no.such.property": "x"})
    with pytest.raises(RegistryError):
        Client(registry.url, {"basic.auth.user.info": "user"})


def test_settings_that_do_not_fit_stop_the_start(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    done = command(broker, names, "try-input", INPUT_FORMAT="avro")
    assert (2, "txwatch: REGISTRY_URL: is empty, but INPUT_FORMAT avro needs a schema registry\n") == (
        done.returncode,
        done.stderr,
    )
    wrong = {"INPUT_FORMAT": "avro", "REGISTRY_URL": "http://127.0.0.1:9", "REGISTRY_PROPERTIES": '{"x":"y"}'}
    done = command(broker, names, "try-input", **wrong)
    assert (2, "txwatch: REGISTRY_PROPERTIES: Unrecognized properties: x\n") == (done.returncode, done.stderr)


CARD_PROTO: Final = 'syntax = "proto3"; package shop; message Card { string id = 1; }'


def payment(fields: str) -> str:
    """A schema of Protobuf whose payment is the second message, with the card by reference."""
    return (
        'syntax = "proto3"; package shop; import "shop/card.proto"; import "google/protobuf/timestamp.proto";'
        'import "google/type/money.proto"; import "confluent/type/decimal.proto";'
        f"message Other {{ string note = 1; }} message Payment {{ Card card = 1; {fields} }}"
    )


PROTOS: Final = (
    payment("google.protobuf.Timestamp at = 2; google.type.Money price = 3; State state = 5;")
    + "enum State { SETTLED = 0; DECLINED = 1; }",
    payment("google.protobuf.Timestamp at = 2; confluent.type.Decimal price = 4; bool test = 6; string state = 7;"),
    payment("google.protobuf.Timestamp at = 2; string state = 7;"),
)


def test_each_command_reads_protobuf_of_several_schemas(
    broker: Broker, registry: Registry, unique: Callable[[str], str], tmp_path: Path
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, names.aggregates, names.alerts, partitions=1)
    with SchemaRegistryClient({"url": registry.url}) as client:
        client.register_schema(unique("shop"), Schema(CARD_PROTO, "PROTOBUF"))
        reference = SchemaReference("shop/card.proto", unique("shop"), 1)
        ids = [
            client.register_schema(unique(f"proto{number}"), Schema(text, "PROTOBUF", [reference]))
            for number, text in enumerate(PROTOS)
        ]

    def pay_by(which: int, at_ms: int, **fields: Any) -> bytes:  # noqa: ANN401
        built = message(PROTOS[which], "shop.Payment", (("shop/card.proto", CARD_PROTO),))
        at = {"seconds": (AT + at_ms) // 1_000, "nanos": 999}
        data = built(card={"id": "c1"}, at=at, **{"state": "SETTLED", **fields}).SerializeToString()
        return b"".join([b"\0", ids[which].to_bytes(4), b"\x02\x02", data])

    good = [
        pay_by(0, 0, price={"units": 7_999, "nanos": 990_000_000}),
        pay_by(1, 0, price={"value": (2).to_bytes(), "scale": 2}),
        pay_by(0, 60_000, price={"units": 1}),
    ]
    values = [*good, pay_by(0, 0, price={}, state="DECLINED"), pay_by(2, 0), good[0][:5] + b"\x02\x08", good[0][:-1]]
    produce(broker, names.transactions, [Rec("k", value) for value in values])
    mapping = {
        "INPUT_FORMAT": "protobuf",
        "REGISTRY_URL": registry.url,
        "INPUT_TRANSACTION_ID": "card.id",
        "INPUT_TIMESTAMP": "at",
        "INPUT_AMOUNT": "price",
        "INPUT_WHERE": "state=SETTLED",
    }
    shown = command(broker, names, "try-input", **mapping)
    assert (0, "") == (shown.returncode, shown.stderr)
    for expected in (
        "2024-05-11T02:00:00.000Z 7999.99 c1",
        "2024-05-11T02:00:00.000Z 0.02 c1",
        f"price: Object missing required field `price` (schema id {ids[2]})",
        f"LookupError the schema has no message with the indexes [4] (schema id {ids[0]})",
        "DecodeError",
        "3 taken, 1 filtered, 3 rejected",
    ):
        assert expected in shown.text, shown.stdout

    settings = {**mapping, **EVENT_TIME}
    report = json.loads(command(broker, names, "backtest", "--from", "0", "--format", "json", **settings).stdout)
    assert (1, 1, 7) == (report["alerts"], report["keys"], report["records"])
    output = tmp_path / "timeline.svg"
    drawn = command(broker, names, "timeline", "--output", str(output), **settings)
    assert (0, f"{output}: 3 transactions, 0 windows\n") == (drawn.returncode, drawn.stdout), drawn
    target = f"{names.transactions}.by-id"
    with running(broker, names, mapping, arguments=["rekey", "--to", target]) as rekey:
        rekey.wait_ready(1)
        assert wait_until(lambda: len(read_all(broker, target)) == 3)
        assert rekey.stop() == 0
    assert [(b"c1", value) for value in good] == [(one.key(), one.value()) for one in read_all(broker, target)]


@pytest.mark.parametrize("form", ["avro", "protobuf", "json-schema", "a schema of one's own", "a message of one's own"])
def test_a_replay_goes_the_whole_way_round(
    broker: Broker, registry: Registry, unique: Callable[[str], str], tmp_path: Path, form: str
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=1)
    arguments = ["--format", form]
    if form == "a schema of one's own":
        fields = {"timestamp": MICROS, "merchant": ["null", "string"], "amount": DECIMAL, "transaction_id": "string"}
        own = {"type": "record", "name": "Own", "fields": [{"name": n, "type": t} for n, t in fields.items()]}
        (tmp_path / "own.avsc").write_text(json.dumps(own))
        arguments = ["--format", "avro", "--schema", str(tmp_path / "own.avsc")]
    if form == "a message of one's own":
        (tmp_path / "own.proto").write_text(
            'syntax = "proto3"; import "google/type/money.proto"; message Own { string transaction_id = 1;'
            "google.type.Money amount = 2; int64 timestamp = 3; optional string merchant = 4; }"
        )
        arguments = ["--format", "protobuf", "--schema", str(tmp_path / "own.proto")]
    rows = ["tx1,2024-05-11 02:00:00,12345678901234567.89,shop", "tx1,2024-05-11 02:00:01,0.1,"]
    rows += ["tx2,2024-05-11 02:00:02,0.001,shop"]
    done = run(
        *("replay", "-", "--pace", "max", "--extra", "merchant", "--registry-url", registry.url, *arguments),
        text="\n".join(["transaction_id,timestamp,amount,merchant", *rows, ""]),
        KAFKA_BOOTSTRAP_SERVERS=broker.bootstrap_servers,
        TOPICS_TRANSACTIONS=names.transactions,
    )
    fits = form != "a schema of one's own"  # two places cannot hold 0.001
    assert (0 if fits else 1) == done.code, done.err
    mapping = {"INPUT_FORMAT": arguments[1], "REGISTRY_URL": registry.url}
    if form in {"avro", "protobuf"}:
        mapping["INPUT_AMOUNT_FORMAT"] = "text"
    text = command(broker, names, "try-input", **mapping).text
    assert "2024-05-11T02:00:00.000Z 12345678901234567.89 tx1" in text
    assert ("0.001 tx2" in text) == fits
    if not fits:
        assert "1 rows undelivered: the schema of Avro cannot hold one of its values" in done.err
    filtered = command(broker, names, "try-input", **mapping, INPUT_WHERE="merchant=shop").text
    assert f"{2 if fits else 1} taken, 1 filtered" in filtered
