"""How error lines name the files that the user gives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

PIECE_BYTES: Final = 16_384


def read_up_to(most: int, path: Path) -> bytes:
    """What a file holds, up to one byte more than ``most``: the caller refuses that.

    It reads in pieces. One read of ``most`` bytes would need that much memory for the smallest file.

    Raises:
        OSError, ValueError: the file cannot be opened or read.
    """
    data = b""
    with path.open("rb") as file:
        while len(data) <= most and (piece := file.read(PIECE_BYTES)):
            data += piece
    return data[: most + 1]


def shown(path: str) -> str:
    """The path as it is, or with escapes where a line cannot hold it."""
    return path if path.isprintable() else ascii(path)


def why(error: OSError | ValueError) -> str:
    """Why a file cannot be opened."""
    return getattr(error, "strerror", None) or str(error)


def name_file(message: str, properties: Mapping[str, object]) -> str:
    """Add to the client's line about a property the file that the property names, and why it cannot be opened.

    The client itself gives the property and a code of OpenSSL: "ssl.ca.location failed: error:05880020:…".
    """
    for name, path in properties.items():
        if not isinstance(path, str) or not path or name not in message or not name.endswith((".location", ".file")):
            continue
        try:
            with Path(path).open("rb"):
                pass
        except IsADirectoryError:
            pass
        except (OSError, ValueError) as error:
            return f"{name}: {shown(path)}: {why(error)}"
        return message.replace(f"{name} failed", f"{name}: {shown(path)}")
    return message
