"""Environment variables, and files with their values: ``NAME_FILE`` names a file that holds the value of ``NAME``.

Docker and Kubernetes hand over secrets as files. No error text shows what such a file holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.process.files import read_up_to, shown, why

SUFFIX: Final = "_FILE"
MOST_BYTES: Final = 1_048_576
"""More than any value has. Without a limit, /dev/zero would fill the memory."""


class VariableError(ValueError):
    """A variable cannot be read; the text is one line that names the variable, and the file if there is one."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable's value and where it came from."""

    text: str
    name: str
    """``NAME``, or ``NAME_FILE`` where the value is from a file."""
    path: str | None = None
    """The file."""

    @property
    def where(self) -> str:
        """How an error line names it."""
        return self.name if self.path is None else f"{self.name} ({shown(self.path)})"


def variable(name: str, environment: Mapping[str, str]) -> Variable | None:
    """The value of a variable, or of the file that ``NAME_FILE`` names; None where neither is set.

    Raises:
        VariableError: both are set, the file cannot be read, or the value is no text.
    """
    in_file = f"{name}{SUFFIX}"
    if in_file not in environment:
        if name not in environment:
            return None
        return Variable(_text(name, environment[name]), name)
    if name in environment:
        raise VariableError(f"{name} and {in_file} are both set: unset one of them")
    path = environment[in_file]
    return Variable(_content(in_file, path), in_file, path)


def _text(name: str, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:  # the interpreter keeps other bytes as half characters, which nothing can print
        raise VariableError(f"{name}: is not UTF-8") from None
    return value


def _content(name: str, path: str) -> str:
    if not path.strip():
        raise VariableError(f"{name}: is blank; it must be the path of a file")
    where = f"{name}: {shown(path)}"
    try:
        data = read_up_to(MOST_BYTES, Path(path))
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        raise VariableError(f"{where}: {why(error)}") from None
    if len(data) > MOST_BYTES:
        raise VariableError(f"{where}: has more than {MOST_BYTES} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise VariableError(f"{where}: is not UTF-8") from None
    if text.startswith("\ufeff"):
        raise VariableError(f"{where}: begins with a byte order mark; save it without one")
    if "\0" in text:
        raise VariableError(f"{where}: has a NUL character in it")
    return text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")
