"""Turns an amount's text into the text of a JSON number, digit for digit, without a float in between. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Final

from producer.reading.errors import BadCellError, BadFormatError, shown

MEMO_LIMIT: Final = 100_000
"""A memo with this many entries is emptied, so that a long file does not use more memory."""
AMOUNT_CHARS_MAX: Final = 64
EXPONENT_MAX: Final = 308
"""The greatest decimal exponent of an amount, positive or negative. Beyond it, a double cannot hold the amount."""
SPACES: Final = " \u00a0\u2009\u202f"
"""What the thousands separator ``space`` matches: space, no-break space, thin space, narrow no-break space."""
APOSTROPHES: Final = "'\u2019"

_EXACT: Final = Context(prec=1_000)
_PLAIN_AMOUNT: Final = r"-?(?:0|[1-9][0-9]{0,29})(?:\.[0-9]{1,30})?"
_PLAIN_AMOUNTS: Final = re.compile(rf"(?:{_PLAIN_AMOUNT}\n)*+")
_AMOUNT: Final = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:\.(?P<part>[0-9]*))?(?:[eE](?P<exponent>[+-]?[0-9]+))?"
)
_NOT_FINITE: Final = frozenset({"nan", "inf", "infinity"})
_CURRENCY: Final = r"(?:[A-Z]{1,2}[$]|[A-Z]{3}|[\u0024\u00a2-\u00a5\u09f2\u09f3\u0e3f\u20a0-\u20cf])"
"""A currency sign (with letters as in US$ or R$), or a code of three letters."""
_CURRENCY_BEFORE: Final = re.compile(rf"{_CURRENCY}[{SPACES}]*")
_CURRENCY_AFTER: Final = re.compile(rf"[{SPACES}]*{_CURRENCY}\Z")
_MINUS: Final = "-\u2212"
_HINT_SEPARATORS: Final = ((".", ","), (",", ""), (".", " "), (".", "'"), (",", "."), (",", " "), (",", "'"))
"""Pairs of decimal and thousands separators that files have. Pairs that need one option come first."""
_HINT_NAMES: Final = {" ": "space"}


def are_plain(amounts: Sequence[str]) -> bool:
    """Whether every text already is a JSON number without an exponent. One match is faster than one for each row."""
    joined = "\n".join(amounts) + "\n"
    # A quoted cell may hold a line break; without the count, "1\n2" would pass as two amounts.
    return joined.count("\n") == len(amounts) and _PLAIN_AMOUNTS.fullmatch(joined) is not None


def json_number(text: str) -> str:
    """Return an amount as a JSON number, digit for digit.

    It drops outer spaces, a plus sign, leading zeros and a bare point: ``+05.`` is ``5``, ``.5`` is ``0.5``.

    Raises:
        BadCellError: not a number, not finite, too long, or with an exponent beyond `EXPONENT_MAX`.
    """
    text = text.strip(" \t")
    if len(text) > AMOUNT_CHARS_MAX:
        raise BadCellError(f"amount {shown(text)} has more than {AMOUNT_CHARS_MAX} characters")
    found = _AMOUNT.fullmatch(text)
    if found is None or not (found["whole"] or found["part"]):
        kind = "not finite" if text.lstrip("+-").lower() in _NOT_FINITE else "not a number"
        raise BadCellError(f"amount {shown(text)} is {kind}")
    exponent = found["exponent"]
    if exponent is not None and (len(exponent) > len("+308") or abs(Decimal(text).adjusted()) > EXPONENT_MAX):
        raise BadCellError(f"amount {shown(text)} is out of range")
    sign = "-" if found["sign"] == "-" else ""
    part = f".{found['part']}" if found["part"] else ""
    return f"{sign}{found['whole'].lstrip('0') or '0'}{part}{f'e{exponent}' if exponent is not None else ''}"


def difference(minuend: str, subtrahend: str) -> str:
    """Subtract one JSON number from another, exactly."""
    if not Decimal(subtrahend):
        return minuend
    if not Decimal(minuend):
        return subtrahend[1:] if subtrahend.startswith("-") else f"-{subtrahend}"
    exact = _EXACT.subtract(Decimal(minuend), Decimal(subtrahend))
    return json_number(str(exact or abs(exact)))


class Amounts(dict[str, str]):
    """Maps an amount's text to a JSON number. A text that is not in the dict yet is read and added.

    A text that is no amount raises `BadCellError`, which names the options that would read it.
    """

    def __init__(self, decimal: str = ".", thousands: str = "", *, accounting: bool = False) -> None:
        """Choose the decimal separator, the thousands separator (empty: none is allowed), and the style.

        With ``accounting``, currency signs, three-letter codes, ``(5.00)`` and ``5.00-`` are read, too.

        Raises:
            BadFormatError: a separator is a digit, a letter or a sign, or both are the same.
        """
        super().__init__()
        for separator in (decimal, *thousands):
            if len(separator) != 1 or separator.isalnum() or separator in '+-()"\r\n\0':
                raise BadFormatError(f"{separator!r} must be one character that can separate digits")
        if decimal == thousands or (thousands == " " and decimal in SPACES):
            raise BadFormatError(f"{decimal!r} cannot separate both decimals and thousands")
        self._decimal = decimal
        self._accounting = accounting
        between = f"[{re.escape(_kinds(thousands))}]" if thousands else ""
        grouped = f"|[0-9]{{1,3}}(?:{between}[0-9]{{3}})+" if thousands else ""
        self._number = re.compile(
            rf"(?P<sign>[+-]?)(?P<whole>[0-9]+{grouped}|)"
            rf"(?P<part>{re.escape(decimal)}[0-9]*)?(?P<exponent>[eE][+-]?[0-9]+)?"
        )
        self._separators = re.compile(between) if thousands else None
        self.plain = decimal == "." and not thousands and not accounting
        """Whether amounts are JSON numbers, apart from the small differences that `json_number` removes."""
        self._hints: dict[str, str] = {}

    def __missing__(self, text: str) -> str:
        try:
            number = self.read(text)
        except BadCellError as error:
            raise BadCellError(f"{error}{self._hint(text)}") from None
        if len(self) >= MEMO_LIMIT:
            self.clear()
        self[text] = number
        return number

    def read(self, text: str) -> str:
        """Read one amount; raises BadCellError."""
        if self.plain:
            return json_number(text)
        bare = text.strip(SPACES + "\t")
        negative = False
        if self._accounting:
            bare, negative = _bare(bare)
        found = self._number.fullmatch(bare)
        if found is None or len(text) > AMOUNT_CHARS_MAX:
            if bare.lstrip("+-").lower() in _NOT_FINITE or len(text) > AMOUNT_CHARS_MAX:
                return json_number(text)  # which raises its own message
            raise BadCellError(f"amount {shown(text)} is not a number")
        whole = self._separators.sub("", found["whole"]) if self._separators else found["whole"]
        part = f".{found['part'][1:]}" if found["part"] else ""
        try:
            number = json_number(f"{found['sign']}{whole}{part}{found['exponent'] or ''}")
        except BadCellError as error:
            if str(error).endswith("out of range"):
                raise BadCellError(f"amount {shown(text)} is out of range") from None
            raise BadCellError(f"amount {shown(text)} is not a number") from None
        return f"-{number}" if negative else number

    def _hint(self, text: str) -> str:
        """Name other options that would read the text; empty where none would."""
        shape = re.sub("[0-9]", "9", text[:AMOUNT_CHARS_MAX])
        if shape not in self._hints:
            if len(self._hints) >= MEMO_LIMIT:
                self._hints.clear()
            self._hints[shape] = self._options_for(text)
        return self._hints[shape]

    def _options_for(self, text: str) -> str:
        for accounting in sorted({self._accounting, True}):
            found: list[list[str]] = []
            for decimal, thousands in ((".", ""), *_HINT_SEPARATORS):
                if self._reads(text, decimal, thousands, accounting=accounting):
                    options = [f"--decimal {decimal}"] if decimal != "." or self._decimal != "." else []
                    options += [f"--thousands {_HINT_NAMES.get(thousands, thousands)}"] if thousands else []
                    options += ["--amount-style accounting"] if accounting else []
                    if not any(set(fewer) <= set(options) for fewer in found):
                        found.append(options)
            if found:
                return f"; {' or '.join(map(' '.join, found))} reads it"
        return ""

    @staticmethod
    def _reads(text: str, decimal: str, thousands: str, *, accounting: bool) -> bool:
        try:
            Amounts(decimal, thousands, accounting=accounting).read(text)
        except BadCellError:
            return False
        return True


def _kinds(thousands: str) -> str:
    if thousands in SPACES:
        return SPACES
    return APOSTROPHES if thousands in APOSTROPHES else thousands


def _bare(text: str) -> tuple[str, bool]:
    """Remove one currency, and one minus in an accountant's form; returns the rest and whether it is negative.

    A second sign makes the rest empty: ``(-5)`` or ``-5-`` is no amount.
    """
    text, currency = _without_currency(text)
    negative = False
    if text.startswith("(") and text.endswith(")"):
        text, negative = text[1:-1].strip(SPACES), True
    elif text[-1:] in _MINUS and text[:-1]:
        text, negative = text[:-1].rstrip(SPACES), True
    elif text[:1] in _MINUS and text[1:]:
        text, negative = text[1:].lstrip(SPACES), True
    elif text.endswith("+"):
        text = "+" + text[:-1].rstrip(SPACES)
    if not currency:
        text, _ = _without_currency(text)
    return ("" if negative and text[:1] in ("+", "-") else text), negative


def _without_currency(text: str) -> tuple[str, bool]:
    bare = _CURRENCY_AFTER.sub("", _CURRENCY_BEFORE.sub("", text, count=1) if _CURRENCY_BEFORE.match(text) else text)
    return bare, bare != text
