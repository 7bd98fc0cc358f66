"""The states of one detector for the keys of one partition, packed, with what the present txn changes."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import msgspec

from service.core.memory.episodes import Episode

VERSION: Final = 1
"""The first byte of each packed state."""
StateT = TypeVar("StateT")
_PREFIX: Final = bytes([VERSION])


class Entry(msgspec.Struct, Generic[StateT], array_like=True, gc=False, frozen=True):
    """What is remembered of one key."""

    kind: int
    """A checksum of the detector's state_kind."""
    seen_ms: int
    """The greatest event time of this key, epoch milliseconds."""
    state: StateT
    episode: Episode | None = None


class UnknownStateError(ValueError):
    """A packed state cannot be read: another version has written it, or it is damaged."""


class UnwritableStateError(TypeError):
    """A detector's state cannot be packed."""


class States:
    """States by id. A million of them fit into memory because they are the bytes that the state topic holds.

    put() and forget() stage a change, and get() returns what is staged first.
    """

    __slots__ = ("_decode", "_encode", "_kept", "_kind", "_opened", "open_episodes", "staged")

    def __init__(self, state_type: type[Any] | None, state_kind: str) -> None:
        """``state_type`` and ``state_kind`` as in Detector."""
        self._kind = zlib.crc32(state_kind.encode()) & 0xFFFF
        self._decode = msgspec.msgpack.Decoder(Entry[state_type]).decode  # type: ignore[valid-type]
        self._encode = msgspec.msgpack.Encoder().encode
        self._kept: dict[str, bytes] = {}
        self.staged: dict[str, bytes | None] = {}
        """What the present txn changes; None: forgotten."""
        self.open_episodes: set[str] = set()
        """The ids with an open episode, as committed."""
        self._opened: set[str] = set()
        """The ids with an open episode among the staged ones."""

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str) -> Entry[Any] | None:
        """What is remembered of a key."""
        packed = self.staged[key] if key in self.staged else self._kept.get(key)
        # It was checked at restore(), or this process has made it.
        return None if packed is None else self._decode(packed[1:])

    def unpack(self, packed: bytes) -> Entry[Any]:
        """Decode a packed state of this detector.

        Raises:
            UnknownStateError: another version has written it, or it is damaged.
        """
        return _decoded(packed, self._decode)

    def put(self, key: str, seen_ms: int, state: Any, episode: Episode | None) -> None:  # noqa: ANN401 - the detector's
        """Stage what is remembered of a key from now on.

        Raises:
            UnwritableStateError: the state has something that msgpack cannot hold.
        """
        if episode is not None:
            self._opened.add(key)
        elif self._opened:
            self._opened.discard(key)
        try:
            packed = _PREFIX + self._encode(Entry(self._kind, seen_ms, state, episode))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise UnwritableStateError(f"its state cannot be written: {error}") from error
        if self._kept.get(key) != packed:
            self.staged[key] = packed
        elif self.staged:
            self.staged.pop(key, None)

    def forget(self, key: str) -> None:
        """Stage that nothing is remembered of a key."""
        self._opened.discard(key)
        if key in self._kept:
            self.staged[key] = None
        else:
            self.staged.pop(key, None)

    def restore(self, key: str, packed: bytes) -> Entry[Any] | None:
        """Keep a state as it is in the state topic; returns None, and keeps nothing, if it is of another kind.

        Raises:
            UnknownStateError: another version has written it, or it is damaged.
        """
        try:
            entry = self.unpack(packed)
        except UnknownStateError:
            if any_entry(packed).kind != self._kind:
                return None
            raise
        if entry.kind != self._kind:
            return None
        self._kept[key] = packed
        if entry.episode is not None:
            self.open_episodes.add(key)
        return entry

    def committed(self) -> None:
        """Make what was staged the state."""
        for key, packed in self.staged.items():
            if packed is None:
                del self._kept[key]
            else:
                self._kept[key] = packed
        if self.open_episodes:
            self.open_episodes.difference_update(self.staged)
        self.open_episodes.update(self._opened)
        self.dropped()

    def dropped(self) -> None:
        """Forget what was staged."""
        self.staged = {}
        self._opened = set()


_decode_any = msgspec.msgpack.Decoder(Entry[Any]).decode


def any_entry(packed: bytes) -> Entry[Any]:
    """Decode the state of a detector that is not known any more.

    Raises:
        UnknownStateError: another version has written it, or it is damaged.
    """
    return _decoded(packed, _decode_any)


def _decoded(packed: bytes, decode: Callable[[bytes], Entry[Any]]) -> Entry[Any]:
    if not packed.startswith(_PREFIX):
        raise UnknownStateError(f"its version is {packed[0] if packed else 'missing'}, known is {VERSION}")
    try:
        return decode(packed[1:])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UnknownStateError(f"it is damaged: {error}") from None
