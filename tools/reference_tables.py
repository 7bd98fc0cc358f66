"""Pieces of Markdown that docs/reference.md is made of, and the check that each thing has its sentence."""

from collections.abc import Iterable, Mapping


class MissingWordsError(Exception):
    """Something has no sentence, or a sentence has no thing; the text names them."""


def check_words(things: Iterable[str], words: Mapping[str, str], what: str) -> None:
    """Each thing has its sentence, and each sentence its thing.

    Raises:
        MissingWordsError: that is not so.
    """
    names = set(things)
    if missing := sorted(names - set(words)):
        raise MissingWordsError(f"tools/reference_words.py does not say what {what} means: {', '.join(missing)}")
    if unused := sorted(set(words) - names):
        raise MissingWordsError(f"tools/reference_words.py explains {what} that does not exist: {', '.join(unused)}")


def worded(things: Iterable[str], words: Mapping[str, str], what: str) -> list[tuple[str, str]]:
    """Rows of a thing and its sentence; errors as for `check_words`."""
    names = list(things)
    check_words(names, words, what)
    return [(f"`{name}`", words[name]) for name in names]


def table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table; titles and rows have as many cells."""
    lines = [titles, ("---",) * len(titles), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def code(text: str, language: str = "text") -> str:
    """A block of code."""
    return f"```{language}\n{text.rstrip()}\n```\n"


def described(name: str, text: str | None) -> str:
    """The description that the code has of a field.

    Raises:
        MissingWordsError: it has none.
    """
    if not text:
        raise MissingWordsError(f"the setting {name} has no description")
    return text
