"""Runs protoc, Protobuf's own compiler, on the text of a schema. It is of the extra `registry`.

It runs as a process of its own: it writes its errors to standard error, and bad text cannot harm this one.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Final

TIMEOUT_S: Final = 60
_MAIN: Final = "schema.proto"
_NO_ERROR: Final = re.compile(r": warning: |^WARNING: |^[IW]\d{4} ")
"""A line of its output that says nothing of the schema's faults: a warning, or one of its own log."""
_LONGEST: Final = 300
"""Characters of its errors that are shown."""


class ProtoFault(ValueError):  # noqa: N818
    """The text is no schema of Protobuf; one line says why."""


class ProtocError(Exception):
    """protoc could not run; one line says why. It may run the next time."""


def check_installed() -> None:
    """Check that what `descriptors` needs is there.

    Raises:
        ImportError: the extra is not installed.
    """
    for name in ("google.type", "confluent_kafka.schema_registry.confluent.meta_pb2", "grpc_tools.protoc"):
        import_module(name)


def descriptors(text: str, references: Sequence[tuple[str, str]] = ()) -> bytes:
    """A serialized FileDescriptorSet of the schema and of all that it imports; its own file is the last.

    ``references`` are the names, as they are imported, and the texts of other schemas. What Confluent's registry has
    built in needs none: google/protobuf, google/type and confluent.

    Raises:
        ProtoFault: a text is no schema, or imports what is not there.
        ProtocError: protoc could not run.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="txwatch-") as name:
            return _compile(Path(name), text, references)
    except (OSError, subprocess.SubprocessError) as error:
        raise ProtocError(f"protoc cannot run: {_line(str(error))}") from None


def _compile(folder: Path, text: str, references: Sequence[tuple[str, str]]) -> bytes:
    import google.type  # noqa: PLC0415

    sources = folder / "sources"
    own = _MAIN
    while any(own == name for name, _ in references):
        own = f"_{own}"
    for name, content in (*references, (own, text)):
        target = sources / _checked(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
    (folder / "built-in").write_bytes(_confluents())
    # Where several packages have the folder `google`, the one of google/type need not be the first.
    shared = [str(Path(path).parents[1]) for path in google.type.__path__]
    command = [
        *(sys.executable, "-P", "-m", "grpc_tools.protoc", f"--descriptor_set_in={folder / 'built-in'}"),
        *(f"-I{path}" for path in (sources, *shared)),
        *("--include_imports", f"--descriptor_set_out={folder / 'out'}", own),
    ]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False)  # noqa: S603
    if done.returncode < 0:
        raise ProtocError(f"protoc cannot run: it was ended by signal {-done.returncode}")
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if not _NO_ERROR.search(line)]
        raise ProtoFault(_line(" ".join(errors).replace(f"{sources}/", "")))
    return (folder / "out").read_bytes()


def _checked(name: str) -> str:
    """The name of a file below the folder.

    Raises:
        ProtoFault: it is none.
    """
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name or "\\" in name:
        raise ProtoFault(f"a schema that it refers to has the name {name!a}")
    return name


def _confluents() -> bytes:
    from confluent_kafka.schema_registry.confluent import meta_pb2  # noqa: PLC0415
    from confluent_kafka.schema_registry.confluent.type import decimal_pb2  # noqa: PLC0415
    from google.protobuf.descriptor_pb2 import FileDescriptorSet  # noqa: PLC0415

    found = FileDescriptorSet()
    for module in (meta_pb2, decimal_pb2):
        module.DESCRIPTOR.CopyToProto(found.file.add())
    content: bytes = found.SerializeToString()
    return content


def _line(text: str) -> str:
    """The text on one line, not too long."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
