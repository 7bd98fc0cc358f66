"""Makes the decoder of the input from the settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

from service.core.model import Reason
from service.kafka.registry import Registry, RegistryError
from service.kafka.schemas import Compile, FetchedSchemas
from service.loop.errors import Retriable
from service.process import protoc
from service.settings import Settings, SettingsError
from service.wire.decoder import Decoder, Rejection
from service.wire.input.avro import compile_avro
from service.wire.input.decoder import OWN, InputMapping, MappedJsonDecoder
from service.wire.input.paths import MappingError, Path
from service.wire.input.protobuf import compile_protobuf
from service.wire.input.registered import RegisteredDecoder, SchemaFault, SchemaText, ToJson
from service.wire.transactions import JsonDecoder

MAX_ENDED: Final = 3
"""After as many attempts at one schema that protoc did not finish, its records are set aside."""
_LONGEST: Final = 400
"""Characters of a schema's fault that a dead letter has."""
_KINDS = {"avro": "AVRO", "protobuf": "PROTOBUF", "json-schema": "JSON"}


def make_decoder(settings: Settings) -> Decoder:
    """The decoder of the input topic's records.

    Raises:
        SettingsError: the settings of the input do not fit together; the text names the variable.
    """
    values = settings.input
    mapping = InputMapping(
        transaction_id=values.transaction_id,
        timestamp=values.timestamp,
        timestamp_format=values.timestamp_format,
        amount=values.amount,
        amount_format=values.amount_format,
        where=values.where,
        ignore_tombstones=values.tombstones == "ignore",
    )
    if values.format != "json":
        return _registered(settings, mapping)
    return JsonDecoder() if mapping == OWN else _mapped(settings, mapping)


def _mapped(settings: Settings, mapping: InputMapping) -> MappedJsonDecoder:
    try:
        return MappedJsonDecoder(mapping)
    except MappingError as error:
        value = getattr(settings.input, error.field)
        raise SettingsError(f"INPUT_{error.field.upper()}: {value!a} {error}") from None


def _registered(settings: Settings, mapping: InputMapping) -> RegisteredDecoder:
    form = settings.input.format
    if not settings.registry.url:
        raise SettingsError(f"REGISTRY_URL: is empty, but INPUT_FORMAT {form} needs a schema registry")
    inner = _mapped(settings, mapping)
    try:
        registry = Registry(settings.registry.url, settings.registry.properties)
        to_json = _COMPILERS[form](mapping, inner.paths)
    except RegistryError as error:
        raise SettingsError(f"REGISTRY_PROPERTIES: {error}") from None
    except ImportError as error:
        raise SettingsError(
            f"INPUT_FORMAT: {form} needs the extra registry: pip install 'txwatch[registry]' ({error})"
        ) from None
    schemas = FetchedSchemas(registry.fetch, _checked(_KINDS[form], to_json))
    return RegisteredDecoder(schemas, inner, indexed=form == "protobuf")


def _checked(kind: str, to_json: Callable[[SchemaText], ToJson]) -> Compile:
    def checked(schema: SchemaText) -> ToJson | Rejection:
        if schema.kind != kind:
            return Rejection(Reason.SCHEMA, f"the schema is of {schema.kind}, not of {kind}")
        try:
            return to_json(schema)
        except SchemaFault as fault:
            return Rejection(Reason.SCHEMA, _line(str(fault)))
        except protoc.ProtocError as error:
            raise Retriable(_line(str(error))) from None
        except (ValueError, TypeError, ArithmeticError, RecursionError) as error:  # whatever the text, the loop goes on
            return Rejection(Reason.SCHEMA, _line(f"the schema cannot be used: {type(error).__name__} {error}"))

    return checked


def _line(text: str) -> str:
    """One line that fits into a header and is UTF-8, which names from a registry need not be."""
    line = " ".join(text.encode(errors="backslashreplace").decode().split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def _avro(mapping: InputMapping, paths: tuple[Path, ...]) -> Callable[[SchemaText], ToJson]:
    import fastavro  # noqa: F401, PLC0415 - so that a missing extra stops the start

    return partial(compile_avro, paths=paths, form=mapping.timestamp_format)


def _protobuf(mapping: InputMapping, paths: tuple[Path, ...]) -> Callable[[SchemaText], ToJson]:
    protoc.check_installed()
    ended: Counter[SchemaText] = Counter()

    def to_json(schema: SchemaText) -> ToJson:
        try:
            descriptors = protoc.descriptors(schema.text, schema.references)
        except protoc.ProtoFault as fault:
            raise SchemaFault(f"no schema of Protobuf: {fault}") from None
        except protoc.ProtocEndedError as error:
            ended[schema] += 1
            if ended[schema] < MAX_ENDED:
                raise
            raise SchemaFault(f"{error}, in each of {MAX_ENDED} attempts") from None
        return compile_protobuf(descriptors, paths, mapping.timestamp_format)

    return to_json


def _json(_: InputMapping, __: tuple[Path, ...]) -> Callable[[SchemaText], ToJson]:
    return lambda _: bytes


_COMPILERS = {"avro": _avro, "protobuf": _protobuf, "json-schema": _json}
