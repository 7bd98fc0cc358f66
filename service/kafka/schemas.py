"""The schemas that are known, and questions to the registry for the others, on a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Final

from service.core.model import Reason
from service.kafka.background import Background
from service.loop.errors import Retriable
from service.wire.decoder import Rejection, SchemasPending
from service.wire.input.framing import SchemaId
from service.wire.input.registered import SchemaText, ToJson

ASK_AGAIN_S: Final = 60.0
"""An unknown id is asked for at most once in this time."""
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 15.0

Fetch = Callable[[SchemaId], SchemaText | None]
Compile = Callable[[SchemaText], ToJson | Rejection]
_Found = tuple[dict[SchemaId, ToJson | Rejection | None], str | None]


class FetchedSchemas:
    """Implements the wire's port with a registry. Schemas never change, so what is known stays known.

    A registry that does not answer is asked again after a pause, each one twice as long as the last.
    """

    def __init__(
        self, fetch: Fetch, compile_schema: Compile, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Both functions run on a thread. They raise Retriable where they must be called again."""
        self._fetch = fetch
        self._compile = compile_schema
        self._monotonic_s = monotonic_s
        self._known: dict[SchemaId, ToJson | Rejection] = {}
        self._unknown_until_s: dict[SchemaId, float] = {}
        self._question: Background[tuple[SchemaId, ...], _Found] = Background("schemas", self._ask)
        self._trouble: str | None = None
        self._pause_s = FIRST_PAUSE_S
        self._not_before_s = float("-inf")

    def find(self, ids: Collection[SchemaId]) -> Mapping[SchemaId, ToJson | Rejection]:
        """How records of these ids become JSON; a Rejection where they cannot.

        Raises:
            SchemasPending: the registry has not answered yet.
            Fatal: the process cannot start another thread.
        """
        if not self._missing(ids):
            return self._known
        self._take_answer()
        if missing := self._missing(ids):
            if self._monotonic_s() >= self._not_before_s:
                self._question.ask(tuple(missing))
            raise SchemasPending(self._trouble)
        return self._known

    def _missing(self, ids: Collection[SchemaId]) -> list[SchemaId]:
        if not self._unknown_until_s:
            return [one for one in ids if one not in self._known]
        now_s = self._monotonic_s()
        return [one for one in ids if one not in self._known or self._unknown_until_s.get(one, now_s) < now_s]

    def _take_answer(self) -> None:
        answer = self._question.answer()
        if answer is None:
            return
        found, self._trouble = answer
        now_s = self._monotonic_s()
        for schema, to_json in found.items():
            self._unknown_until_s.pop(schema, None)
            if to_json is None:
                self._unknown_until_s[schema] = now_s + ASK_AGAIN_S
                self._known[schema] = Rejection(Reason.SCHEMA, "the schema registry does not know the schema")
            else:
                self._known[schema] = to_json
        if self._trouble is None:
            self._pause_s, self._not_before_s = FIRST_PAUSE_S, float("-inf")
        else:
            self._not_before_s = now_s + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _ask(self, ids: tuple[SchemaId, ...]) -> _Found:
        """Ask for each; returns what was found before the registry stopped answering, and why it did."""
        found: dict[SchemaId, ToJson | Rejection | None] = {}
        for schema in ids:
            try:
                text = self._fetch(schema)
                found[schema] = None if text is None else self._compile(text)
            except Retriable as problem:
                return found, str(problem)
        return found, None
