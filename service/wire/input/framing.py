"""Confluent's framing: which schema a record was written with, and where its data begin."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from service.core.model import Reason
from service.wire.decoder import Rejection
from service.wire.records import InRecord

SchemaId = int | UUID
"""The number that a registry gave a schema; in a header, the schema's GUID."""

HEADER: Final = "__value_schema_id"
ID_BYTES: Final = 5
"""The magic byte 0 and a number of four bytes."""
GUID_BYTES: Final = 17
"""The magic byte 1 and a GUID."""


def split_frame(record: InRecord, value: bytes, *, indexed: bool = False) -> tuple[SchemaId, bytes]:
    """The schema's id, and the data without it. The header comes first, as in Confluent's own clients.

    ``indexed``: what follows the id in the header are indexes, which Protobuf's data begin with; none are those of the
    first message.

    Raises:
        Rejection: there is no such id.
    """
    try:
        headers = record.headers()
    except (SystemError, UnicodeDecodeError):  # a name is not UTF-8, so the client returns no header at all
        headers = None
    if headers:
        found = next((content for name, content in reversed(headers) if name == HEADER), None)
        if isinstance(found, bytes) and found:
            schema, size = _of_header(found)
            return schema, ((found[size:] or b"\0") + value) if indexed else value
    if value[0] or len(value) < ID_BYTES:
        raise Rejection(Reason.SCHEMA, "no schema id: the value does not begin with byte 0 and four more")
    return int.from_bytes(value[:ID_BYTES]), value[ID_BYTES:]


def _of_header(content: bytes) -> tuple[SchemaId, int]:
    """The schema's id, and where it ends."""
    if content[0] == 1 and len(content) >= GUID_BYTES:
        return UUID(bytes=content[1:GUID_BYTES]), GUID_BYTES
    if content[0] == 0 and len(content) >= ID_BYTES:
        return int.from_bytes(content[1:ID_BYTES]), ID_BYTES
    raise Rejection(
        Reason.SCHEMA, f"no schema id: the header {HEADER} holds neither byte 1 and a GUID nor 0 and a number"
    )
