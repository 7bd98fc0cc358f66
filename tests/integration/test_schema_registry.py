"""A topic behind a schema registry: a real one, which is killed, with evolved schemas, secured as people do it."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

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
from tests.integration.doorkeeper import Doorkeeper
from tests.integration.test_try_input import try_input
from tests.replay_process import run

AT: Final = 1_715_392_800_000
DECIMAL: Final = {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2}
MICROS: Final = {"type": "long", "logicalType": "timestamp-micros"}
CARD: Final = {"type": "record", "name": "shop.Card", "fields": [{"name": "id", "type": ["null", "string"]}]}
EVENT_TIME: Final = {"WINDOW_CLOCK": "event", "LATE_POLICY": "divert"}


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

    def put(number: int, schema: dict[str, Any], value: dict[str, Any], partition: int = 0) -> None:
        produce(broker, names.transactions, [Rec("k", avro(number, schema, value), partition=partition)])

    settings = {**MAPPING, **EVENT_TIME, "REGISTRY_URL": f"http://127.0.0.1:9,{registry.url}"}
    with running(broker, names, settings) as service:
        service.wait_ready(2)
        put(ids[0], old, pay("c1", "7999.99", 0))
        put(without, CARD, {"id": "c1"})
        put(ids[0], old, pay(None, "1", 0))
        put(2**31, old, pay("c1", "1", 0))
        produce(broker, names.transactions, [Rec("k", b"{}", partition=0), Rec("k", None, partition=0)])
        assert wait_until(lambda: len(read_all(broker, names.dead_letter)) == 4)
        whys = [
            headers_of(one)["__connect.errors.exception.message"].decode()
            for one in read_all(broker, names.dead_letter)
        ]
        assert [
            f"card.id: Object missing required field `card` (schema id {without})",
            f"card.id: Expected `int | str`, got `null` - at `$.card.id` (schema id {ids[0]})",
            f"the schema registry does not know the schema (schema id {2**31})",
            "no schema id: the value does not begin with byte 0 and four more",
        ] == whys
        assert {b"schema"} == {headers_of(one)["txwatch.reason"] for one in read_all(broker, names.dead_letter)}

        registry.kill()
        put(ids[0], old, pay("c1", "0.01", 1))  # a known schema needs no registry
        put(ids[1], new, pay("c1", "0.01", 2, reason="r"))
        put(ids[0], old, pay("c1", "0.00", 3))
        put(ids[0], old, pay("c9", "9000.10", 0), partition=1)
        put(ids[0], old, pay("c9", "1", 60_000), partition=1)
        # The other partition goes on, and nothing is set aside.
        assert wait_until(lambda: payloads(broker, names.alerts))
        assert wait_until(lambda: service.get("/readyz")[0] == 503)
        assert "the schema registry does not answer" in service.get("/readyz")[1]
        assert 4 == len(read_all(broker, names.dead_letter))
        service.wait_for_event("schema_registry_awaited")

        registry.start()
        service.wait_ready(2)
        put(ids[1], new, pay("c2", "1", 60_000, reason=None))
        assert wait_until(lambda: len(payloads(broker, names.alerts)) == 2)
        assert service.stop() == 0
    alerts = {one["transaction_id"]: one for one in payloads(broker, names.alerts)}
    assert Decimal("8000.01") == alerts["c1"]["amount"]
    assert (4, AT) == (alerts["c1"]["count"], alerts["c1"]["timestamp"])
    assert 4 == len(read_all(broker, names.dead_letter))

    done = try_input(broker, names, "--max", "20", **{**MAPPING, "REGISTRY_URL": registry.url})
    assert 0 == done.returncode, done.stderr
    assert "7999.99  c1" in done.stdout
    assert f"(schema id {without})" in " ".join(done.stdout.split())


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
    done = try_input(broker, names, **mapping)
    text = " ".join(done.stdout.split())
    assert "9000.000000000000000001 tx1" in text
    assert "rejected (schema): no schema id: the value does not begin with byte 0" in text
    assert f"rejected (not_json): Input data was truncated (schema id {number})" in text
    assert f"the schema is of AVRO, not of JSON (schema id {avro_id})" in text


def test_user_and_password_a_token_tls_and_a_clients_certificate(registry: Registry, tmp_path: Path) -> None:
    number = register(registry, "secured", CARD)
    with Doorkeeper(registry.url, tmp_path) as door:
        tls = {"ssl.ca.location": door.ca}
        mutual = {"ssl.certificate.location": door.certificate, "ssl.key.location": door.key}
        basic = {"basic.auth.user.info": "user:pass"}
        token = {
            "bearer.auth.credentials.source": "STATIC_TOKEN",
            "bearer.auth.token": "secret",
            "bearer.auth.logical.cluster": "lsrc-1",
            "bearer.auth.identity.pool.id": "pool-1",
        }
        for properties in ({**tls, **mutual, **basic}, {**tls, **mutual, **token}):
            with closing(Client(door.url, properties)) as client:
                found = client.fetch(number)
                assert found is not None
                assert '"name":"Card"' in found.text
                assert None is client.fetch(987_654)
        refused: list[tuple[dict[str, str], str]] = [
            ({**tls, **mutual}, "the schema registry answers 401"),
            ({**tls, **mutual, "basic.auth.user.info": "user:wrong"}, "the schema registry answers 401"),
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
    done = try_input(broker, names, INPUT_FORMAT="avro")
    assert (2, "txwatch: REGISTRY_URL: is empty, but INPUT_FORMAT avro needs a schema registry\n") == (
        done.returncode,
        done.stderr,
    )
    wrong = {"INPUT_FORMAT": "avro", "REGISTRY_URL": "http://127.0.0.1:9", "REGISTRY_PROPERTIES": '{"x":"y"}'}
    done = try_input(broker, names, **wrong)
    assert (2, "txwatch: REGISTRY_PROPERTIES: Unrecognized properties: x\n") == (done.returncode, done.stderr)


@pytest.mark.parametrize("form", ["avro", "json-schema", "a schema of one's own"])
def test_a_replay_goes_the_whole_way_round(
    broker: Broker, registry: Registry, unique: Callable[[str], str], tmp_path: Path, form: str
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=1)
    arguments = ["--format", form]
    if form.startswith("a schema"):
        fields = {"timestamp": MICROS, "merchant": ["null", "string"], "amount": DECIMAL, "transaction_id": "string"}
        own = {"type": "record", "name": "Own", "fields": [{"name": n, "type": t} for n, t in fields.items()]}
        (tmp_path / "own.avsc").write_text(json.dumps(own))
        arguments = ["--format", "avro", "--schema", str(tmp_path / "own.avsc")]
    rows = ["tx1,2024-05-11 02:00:00,12345678901234567.89,shop", "tx1,2024-05-11 02:00:01,0.1,"]
    rows += ["tx2,2024-05-11 02:00:02,0.001,shop"]
    done = run(
        *("replay", "-", "--pace", "max", "--extra", "merchant", "--registry-url", registry.url, *arguments),
        text="\n".join(["transaction_id,timestamp,amount,merchant", *rows, ""]),
        KAFKA_BOOTSTRAP_SERVERS=broker.bootstrap_servers,
        TOPICS_TRANSACTIONS=names.transactions,
    )
    fits = not form.startswith("a schema")  # two places cannot hold 0.001
    assert (0 if fits else 1) == done.code, done.err
    mapping = {"INPUT_FORMAT": arguments[1], "REGISTRY_URL": registry.url}
    if form == "avro":
        mapping["INPUT_AMOUNT_FORMAT"] = "text"
    text = " ".join(try_input(broker, names, **mapping).stdout.split())
    assert "2024-05-11T02:00:00.000Z 12345678901234567.89 tx1" in text
    assert ("0.001 tx2" in text) == fits
    if not fits:
        assert "1 rows undelivered: the schema of Avro cannot hold one of its values" in done.err
    filtered = " ".join(try_input(broker, names, **mapping, INPUT_WHERE="merchant=null").stdout.split())
    assert "1 taken" in filtered
