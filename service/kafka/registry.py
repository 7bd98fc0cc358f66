"""The client of the schema registry. It is Confluent's, of the extra `registry`, and imported only where it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from service.loop.errors import Retriable
from service.wire.input.framing import SchemaId
from service.wire.input.registered import SchemaText, are_addresses

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import Schema

DEFAULTS: Final = {"timeout": 5, "max.retries": 0}
"""The caller tries again, with a back-off, and says so meanwhile; the client's own retries would be silent."""
UNKNOWN_SCHEMA: Final = 40403
MAX_REFERENCES: Final = 1_000
MAX_DEPTH: Final = 100
"""So many schemas refer to one another in a row; what is deeper is left out, so the schema cannot be compiled."""
_NO_SCHEMA: Final = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What the client raises where the answer is not one of a registry."""


class RegistryError(Exception):
    """The client cannot be made of these properties, or a library is missing; the text is one line."""


class Registry:
    """Fetches schemas. Its methods wait for the network, so they run on a thread of their own."""

    def __init__(self, url: str, properties: Mapping[str, Any]) -> None:
        """Connect to nothing yet. ``url`` may be several, joined by commas: they are tried in their order.

        Raises:
            RegistryError: a property is wrong, a file cannot be read, or the extra is not installed.
        """
        try:
            from confluent_kafka.schema_registry import SchemaRegistryClient  # noqa: PLC0415
        except ImportError as error:
            raise RegistryError(f"needs the extra registry: pip install 'txwatch[registry]' ({error})") from None
        if not are_addresses(url):
            raise RegistryError("an address of the registry does not begin with http:// or https://")
        try:
            self._client: Any = SchemaRegistryClient({**DEFAULTS, "url": url, **properties})
        except (ValueError, TypeError, OSError) as error:
            raise RegistryError(" ".join(str(error).split()) or type(error).__name__) from None

    def fetch(self, schema: SchemaId) -> SchemaText | None:
        """A schema with those that it refers to; None where the registry does not know it.

        Raises:
            Retriable: the registry does not answer, or not with a schema.
        """
        import httpx2  # noqa: PLC0415
        from confluent_kafka.schema_registry.error import OAuthTokenError, SchemaRegistryError  # noqa: PLC0415

        try:
            if isinstance(schema, UUID):
                return self._with_references(self._client.get_schema_by_guid(str(schema)))
            return self._with_references(self._client.get_schema(schema))
        except SchemaRegistryError as error:
            if error.error_code == UNKNOWN_SCHEMA:
                return None
            raise Retriable(_line(f"the schema registry answers {error.http_status_code}", error)) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OAuthTokenError, OSError, *_NO_SCHEMA) as error:
            raise Retriable(_line("the schema registry does not answer", error)) from None

    def close(self) -> None:
        """Close its connections."""
        self._client.__exit__(None, None, None)

    def _with_references(self, schema: Schema) -> SchemaText:
        texts: dict[str, str] = {}
        self._collect(schema, texts, set())
        return SchemaText(schema.schema_type or "AVRO", schema.schema_str or "", tuple(texts.items()))

    def _collect(self, schema: Schema, texts: dict[str, str], met: set[str], depth: int = 0) -> None:
        for reference in schema.references or ():
            name = reference.name or ""
            if name in met or len(met) >= MAX_REFERENCES or depth >= MAX_DEPTH:
                continue
            met.add(name)
            inner = self._client.get_version(reference.subject, reference.version).schema
            self._collect(inner, texts, met, depth + 1)
            texts[name] = inner.schema_str or ""


def _line(doing: str, error: Exception) -> str:
    return f"{doing}: {' '.join(str(error).split()) or type(error).__name__}"
