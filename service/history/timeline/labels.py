"""Turns keys into labels. Characters that no installed font has are escaped."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Final

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

LABEL_CHARS: Final = 24
"""A longer label is shortened to this."""
FAMILY: Final = "DejaVu Sans"
"""Comes with matplotlib."""
MORE_FAMILIES: Final = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Microsoft YaHei",
    "PingFang SC",
    "Hiragino Sans",
    "Yu Gothic",
    "Malgun Gothic",
    "Apple SD Gothic Neo",
    "Noto Sans",
)
"""Fonts of systems, used where they are installed and FAMILY lacks a character."""
REPLACED: Final = "\N{REPLACEMENT CHARACTER}"


def families() -> list[str]:
    """The fonts to draw with, in the order in which a character is looked for."""
    return [FAMILY, *(name for name in MORE_FAMILIES if _font(name) is not None)]


def label(key: str) -> str:
    r"""The key as a label.

    Control characters are replaced: no program reads an SVG that contains one. A character that no font has is
    written as ``\uXXXX``.
    """
    parts = [_shown(one) for one in key[: LABEL_CHARS + 1]]
    if len(key) <= LABEL_CHARS and sum(map(len, parts)) <= LABEL_CHARS:
        return "".join(parts)
    return _shortened(parts)


def _shortened(parts: Iterable[str]) -> str:
    text = ""
    for part in parts:
        if len(text) + len(part) >= LABEL_CHARS:
            break
        text += part
    return f"{text}…"


def _shown(character: str) -> str:
    if not character.isprintable():
        return REPLACED
    if any(_has(family, character) for family in families()):
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - as in Python


def _has(family: str, character: str) -> bool:
    font = _font(family)
    return font is not None and font.get_char_index(ord(character)) != 0


@cache
def _font(family: str) -> FT2Font | None:
    """The font of a family; None where it is not installed."""
    try:
        return font_manager.get_font(font_manager.findfont(family, fallback_to_default=False))
    except ValueError:
        return None
