"""Schemas are asked for once, again after pauses if the registry does not answer, never on the caller's thread."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from confluent_kafka.schema_registry import Schema, SchemaReference

from producer.registered import Registration, RegistryFault, encoder
from service.core.model import Reason
from service.kafka.registry import MAX_DEPTH, Registry, RegistryError
from service.kafka.schemas import ASK_AGAIN_S, FIRST_PAUSE_S, LONGEST_PAUSE_S, FetchedSchemas
from service.loop.errors import Retriable
from service.wire.decoder import Rejection, SchemasPending
from service.wire.input.framing import SchemaId
from service.wire.input.registered import SchemaText, ToJson

DOWN = Retriable("the schema registry does not answer: connection refused")


@dataclass
class Asked:
    """A registry that answers as the test says, and a clock that the test moves."""

    answers: dict[SchemaId, SchemaText | Retriable | None] = field(default_factory=dict)
    asked: list[tuple[SchemaId, bool]] = field(default_factory=list)
    """Each question, and whether the caller's thread asked it."""
    now_s: float = 0.0
    caller: threading.Thread = field(default_factory=threading.current_thread)

    def __post_init__(self) -> None:
        self.schemas = FetchedSchemas(self.fetch, lambda text: lambda _: text.text.encode(), lambda: self.now_s)

    def fetch(self, schema: SchemaId) -> SchemaText | None:
        self.asked.append((schema, threading.current_thread() is self.caller))
        answer = self.answers[schema]
        if isinstance(answer, Retriable):
            raise answer
        return answer

    def find(self, *ids: SchemaId) -> list[str]:
        """What is known of these, once the question that is under way has its answer."""
        try:
            return self._find(ids)
        except SchemasPending:
            self.settle()
            return self._find(ids)

    def _find(self, ids: Collection[SchemaId]) -> list[str]:
        found = self.schemas.find(ids)
        return [_shown(found[one]) for one in ids]

    def settle(self) -> None:
        """Wait for the thread."""
        for _ in range(1_000):
            if not any(one.name == "schemas" for one in threading.enumerate()):
                return
            time.sleep(0.005)
        raise AssertionError("the question has no end")


def _shown(found: ToJson | Rejection) -> str:
    return str(found) if isinstance(found, Rejection) else found(b"").decode()


def texts(*numbers: int) -> dict[SchemaId, SchemaText | Retriable | None]:
    return {number: SchemaText("AVRO", f"schema {number}") for number in numbers}


def pauses(asked: Asked, count: int) -> Iterable[float]:
    """After how long each next question is asked."""
    for _ in range(count):
        begun_s, before = asked.now_s, len(asked.asked)
        while len(asked.asked) == before:
            asked.now_s += 0.25
            with pytest.raises(SchemasPending):
                asked.schemas.find({1})
            asked.settle()
        with pytest.raises(SchemasPending):  # takes the answer
            asked.schemas.find({1})
        yield asked.now_s - begun_s


def test_each_schema_is_asked_for_once_and_on_another_thread() -> None:
    asked = Asked(texts(1, 2))
    with pytest.raises(SchemasPending) as pending:
        asked.schemas.find({1, 2})
    assert pending.value.why is None
    assert [["schema 1", "schema 2"]] * 3 == [asked.find(1, 2) for _ in range(3)]
    assert [(1, False), (2, False)] == sorted(asked.asked)


def test_what_is_known_is_known_while_the_registry_is_down() -> None:
    asked = Asked(texts(1))
    assert ["schema 1"] == asked.find(1)
    asked.answers = {1: DOWN, 2: DOWN}
    asked.now_s = 1e6
    assert ["schema 1"] == asked.find(1)
    with pytest.raises(SchemasPending) as pending:
        asked.find(1, 2)
    assert str(DOWN) == pending.value.why
    assert ["schema 1"] == asked.find(1)


def test_a_registry_that_does_not_answer_is_asked_again_after_longer_and_longer_pauses() -> None:
    asked = Asked({1: DOWN})
    with pytest.raises(SchemasPending):
        asked.find(1)
    found = list(pauses(asked, 8))
    assert [FIRST_PAUSE_S, 1, 2, 4, 8, LONGEST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_PAUSE_S] == found
    asked.answers = texts(1)
    asked.now_s += LONGEST_PAUSE_S
    assert ["schema 1"] == asked.find(1)
    asked.answers = {2: DOWN}
    with pytest.raises(SchemasPending):
        asked.find(2)
    asked.now_s += FIRST_PAUSE_S
    asked.answers = texts(2)
    assert ["schema 2"] == asked.find(2), "the pauses begin again"


def test_an_unknown_id_is_rejected_and_asked_for_at_most_once_a_minute() -> None:
    asked = Asked(texts(1) | {7: None})
    unknown = str(Rejection(Reason.SCHEMA, "the schema registry does not know the schema"))
    assert [unknown, "schema 1"] == asked.find(7, 1)
    asked.now_s = ASK_AGAIN_S
    assert [unknown] == asked.find(7)
    assert 1 == asked.asked.count((7, False))
    asked.now_s += 0.1
    assert [unknown] == asked.find(7)
    assert 2 == asked.asked.count((7, False))
    asked.answers = texts(7)
    asked.now_s += ASK_AGAIN_S + 0.1
    assert ["schema 7"] == asked.find(7)
    asked.now_s += 10 * ASK_AGAIN_S
    assert ["schema 7"] == asked.find(7)
    assert 3 == asked.asked.count((7, False))


def test_what_was_found_before_the_registry_stopped_answering_is_kept() -> None:
    asked = Asked(texts(1) | {2: DOWN})
    with pytest.raises(SchemasPending):
        asked.find(1, 2)
    assert ["schema 1"] == asked.find(1)


def test_a_schema_that_could_not_be_compiled_now_is_asked_for_again() -> None:
    asked = Asked(texts(1, 2))
    troubles: list[Exception] = [Retriable("protoc cannot run: no memory")]

    def compile_schema(text: SchemaText) -> ToJson:
        if text.text == "schema 2" and troubles:
            raise troubles.pop()
        return lambda _: text.text.encode()

    asked.schemas = FetchedSchemas(asked.fetch, compile_schema, lambda: asked.now_s)
    assert ["schema 1"] == asked.find(1)
    with pytest.raises(SchemasPending, match="protoc cannot run: no memory"):
        asked.find(2)
    asked.now_s += FIRST_PAUSE_S
    assert ["schema 2"] == asked.find(2)


class _Chain:
    """A client of a registry in which each schema refers to the next."""

    def __init__(self, length: int) -> None:
        self.length = length

    def get_schema(self, number: int) -> Schema:
        more = [SchemaReference(f"{number + 1}.proto", "s", number + 1)] if number < self.length else []
        return Schema(f"schema {number}", "PROTOBUF", more)

    def get_version(self, _: str, version: int) -> SimpleNamespace:
        return SimpleNamespace(schema=self.get_schema(version))


def registry_of(client: object) -> Registry:
    """The client of a registry at no address."""
    registry = Registry("http://127.0.0.1:9", {})
    registry._client = client
    return registry


def test_a_long_chain_of_references_is_cut_off() -> None:
    found = registry_of(_Chain(5_000)).fetch(0)
    assert found is not None
    assert (MAX_DEPTH, "1.proto") == (len(found.references), found.references[-1][0])


@pytest.mark.parametrize("error", [AttributeError, KeyError, RecursionError, ValueError])
def test_an_answer_that_is_not_of_a_registry_is_asked_for_again(error: type[Exception]) -> None:
    def get_schema(_: int) -> Schema:
        raise error

    with pytest.raises(Retriable, match=f"the schema registry does not answer: {error.__name__}"):
        registry_of(SimpleNamespace(get_schema=get_schema)).fetch(1)


@pytest.mark.parametrize("url", ["ftp://me:S3CRET@x", "http://x,me:S3CRET@x", "http://me:S3CRET@[::1"])
def test_the_error_of_a_wrong_address_does_not_show_its_password(url: str) -> None:
    with pytest.raises(RegistryError, match="http://") as fault:
        Registry(url, {})
    with pytest.raises(RegistryFault, match="--registry-url") as produced:
        encoder("json-schema", Registration("t", url, {}), None, ())
    assert "S3CRET" not in f"{fault.value} {produced.value}"
