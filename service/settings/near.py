"""Finds the setting that a misspelt name means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from service.process.environment import SUFFIX
from service.settings.model import GROUPS, LIST_NAMES, NAMES

LONG: Final = 6
"""A word with at least this many letters may differ by two edits, a shorter one by one."""
FOREIGN_GROUPS: Final = ("HTTPS_", "SMTP_", "SFTP_")
"""Prefixes of other programs' variables that are one or two edits away from HTTP_."""
UNMISTAKABLE: Final = (
    "KAFKA_BOOTSTRAP_SERVERS",
    "TOPICS_DEAD_LETTER",
    "WATERMARK_LATENESS_MS",
    "WATERMARK_IDLE_AFTER_MS",
    "WATERMARK_MAX_FUTURE_MS",
    "WINDOW_INGESTION_MARGIN_MS",
    "WINDOW_EVENT_FLUSH_AFTER_MS",
    "DETECT_FORGET_AFTER_MS",
)
"""Settings whose field alone says what is meant. PORT, INSTANCE_ID, GROUP_ID and others may be another program's."""


def misspelt(variable: str) -> str | None:
    """The variable that a misspelt name means; None where the name may be another program's.

    The group, the field or both differ by few edits, or a field of `UNMISTAKABLE` has no group. An edit adds, drops or
    replaces a letter, or swaps two neighbours. Names that end with ``_FILE`` are compared in the same way.
    """
    upper = variable.upper()
    if upper.startswith(FOREIGN_GROUPS):
        return None
    stem = upper.removesuffix(SUFFIX)
    suffix = upper[len(stem) :]
    found = [
        (edits, f"{name}{suffix}") for name in UNMISTAKABLE if (edits := _edits(stem, _field(name), 1)) is not None
    ]
    found += [
        (edits, f"{name}{suffix}") for name in LIST_NAMES if (edits := _edits(stem, name, _most(name))) is not None
    ]
    parts = upper.split("_")
    for end in range(1, len(parts)):
        group, field = "_".join(parts[:end]), "_".join(parts[end:])
        for known in GROUPS:
            in_group = _edits(group, known.upper(), _most(known))
            if in_group is None:
                continue
            for name in NAMES:
                if not name.startswith(f"{known.upper()}_"):
                    continue
                for meant in (name, f"{name}{SUFFIX}"):
                    in_field = _edits(field, _field(meant), _most(_field(meant)))
                    if in_field is not None:
                        found.append((in_group + in_field, meant))
    return min(found)[1] if found else None


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of ``names`` that is most like ``name``, which is wrong; None where none is like it."""
    import difflib  # noqa: PLC0415 - needed only after a mistake

    return next(iter(difflib.get_close_matches(name, list(names), 1)), None)


def _field(name: str) -> str:
    return name.partition("_")[2]


def _most(word: str) -> int:
    return 2 if sum(letter.isalpha() for letter in word) >= LONG else 1


def _edits(word: str, meant: str, most: int) -> int | None:
    """How many edits turn ``word`` into ``meant`` (optimal string alignment); None where it is more than ``most``."""
    if abs(len(word) - len(meant)) > most:
        return None
    before, above = [0] * (len(meant) + 1), list(range(len(meant) + 1))
    for row, letter in enumerate(word, 1):
        here = [row]
        for column, other in enumerate(meant, 1):
            edits = min(above[column] + 1, here[-1] + 1, above[column - 1] + (letter != other))
            if row > 1 and column > 1 and (letter, word[row - 2]) == (meant[column - 2], other):
                edits = min(edits, before[column - 2] + 1)
            here.append(edits)
        before, above = above, here
    return above[-1] if above[-1] <= most else None
