"""Runs protoc, Protobuf's own compiler, on the text of a schema. It is of the extra `registry`.

It runs as a process of its own: it writes its errors to standard error, and bad text cannot harm this one.
"""

from __future__ import annotations

import errno
import re
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Final

TIMEOUT_S: Final = 60
_MAIN: Final = "schema.proto"
_NO_ERROR: Final = re.compile(r": warning: |^WARNING: |^[IW]\d{4} ")
"""A line of its output that says nothing of the schema's faults: a warning, or one of its own log."""
_UNREAD: Final = "File not found."
"""Its error about a file that is not there, or that it could not open."""
_NO_FILE: Final = frozenset({errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG})
"""Errors of a file's name, which the next attempt would meet again."""
_LONGEST: Final = 300
"""Characters of its errors that are shown."""


class ProtoFault(ValueError):  # noqa: N818
    """The text is no schema of Protobuf; one line says why."""


class ProtocError(Exception):
    """protoc could not run; one line says why. It may run the next time."""


class ProtocEndedError(ProtocError):
    """protoc took too long, or a signal ended it: for want of memory, or because of the text."""


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
        ProtocError: protoc could not run. It is a ProtocEndedError where protoc ran and did not finish.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="txwatch-") as name:
            return _compile(Path(name), text, references)
    except subprocess.TimeoutExpired:
        raise ProtocEndedError(f"protoc cannot run: it took more than {TIMEOUT_S} s") from None
    except (OSError, subprocess.SubprocessError) as error:
        raise ProtocError(f"protoc cannot run: {_line(str(error))}") from None


def _compile(folder: Path, text: str, references: Sequence[tuple[str, str]]) -> bytes:
    import google.type  # noqa: PLC0415

    sources = folder / "sources"
    own = _MAIN
    while any(PurePosixPath(name).parts[:1] == (own,) for name, _ in references):
        own = f"_{own}"
    for name, content in (*references, (own, text)):
        _write(sources / _checked(name), name, content)
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
        raise ProtocEndedError(f"protoc cannot run: it was ended by signal {-done.returncode}")
    if done.returncode:
        errors = [line.removeprefix(f"{sources}/") for line in done.stderr.splitlines() if not _NO_ERROR.search(line)]
        what = _line(" ".join(errors)) or f"it ended with {done.returncode}"
        if _blames({own, *(name for name, _ in references)}, errors):
            raise ProtoFault(what)
        raise ProtocError(f"protoc cannot run: {what}")
    return (folder / "out").read_bytes()


def _blames(names: Collection[str], errors: Sequence[str]) -> bool:
    """Whether these errors are of one of the files. A file that is there and yet is not found is no fault of its."""
    own = [re.escape(name) for name in names if name == str(PurePosixPath(name))]  # it finds no other names
    begins = re.compile(rf"(?:{'|'.join(own)}):(?:\d+:\d+:)? ")
    said = [line[match.end() :] for line in errors if (match := begins.match(line))]
    return bool(said) and _UNREAD not in said


def _write(target: Path, name: str, content: str) -> None:
    """Write a schema's text where protoc finds it.

    Raises:
        ProtoFault: the text is not UTF-8, or no file can have the name next to the others.
        OSError: anything else.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
    except UnicodeEncodeError:
        raise ProtoFault(f"the text of {name!a} is not UTF-8") from None
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        raise ProtoFault(f"{error.strerror}: a schema that it refers to has the name {name!a}") from None


def _checked(name: str) -> str:
    """The name of a file below the folder.

    Raises:
        ProtoFault: it is none.
    """
    path = PurePosixPath(name)
    utf8 = name.encode(errors="ignore").decode() == name
    if not utf8 or not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name or "\\" in name:
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
