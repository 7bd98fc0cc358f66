"""Writes docs/reference.md from the code: commands, settings, payloads, headers, reasons, metrics, log events.

    .venv/bin/python -m tools.reference

What the code only names has a sentence in tools/reference_words.py. tests/unit/test_reference.py fails where the page
is not what this program writes.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal, get_args

import click
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from producer.cli import cli as replay_cli
from service.cli.main import cli as service_cli
from service.core.model import Reason, ResetReason
from service.settings import PROTECTED_PROPERTIES, Settings
from service.wire.schemas import json_schema
from tools import log_events, reference_samples, reference_words

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "reference.md"
WIDTH: Final = 100
NO_BOUND: Final = 10**15
_INTRODUCTION: Final = """\
# Reference

`python -m tools.reference` writes this page from the code, and a test compares the two.

[Commands](#commands) · [Exit codes](#exit-codes) · [Settings](#settings) · [Payloads](#payloads) ·
[Headers](#headers) · [Committed offsets](#committed-offsets) · [Reasons](#reasons) · [Pages](#pages) ·
[Metrics](#metrics) · [Log events](#log-events)
"""
_SETTINGS: Final = """\
A setting has one name: `WINDOW_SIZE_MS` in the environment is `[window] size_ms` in the TOML file. The environment wins
over the file, and the file over the default. The file is `--config FILE`, or `config/service.toml` where that exists.
A name that does not exist stops the start. `txwatch config` prints what is in force and where it came from.

`txwatch-replay` reads `KAFKA_BOOTSTRAP_SERVERS`, `KAFKA_PROPERTIES`, `TOPICS_TRANSACTIONS`, `HTTP_HOST` (for
`--metrics-port`) and `WINDOW_SIZE_MS` (for `--align`) from the environment, and no file.
"""


class MissingWordsError(Exception):
    """Something has no sentence, or a sentence has no thing; the text names them."""


def page() -> str:
    """The whole page.

    Raises:
        MissingWordsError: code and words do not fit together.
    """
    parts = [
        _INTRODUCTION,
        "## Commands\n",
        *_commands("txwatch", service_cli),
        *_commands("txwatch-replay", replay_cli),
        "The replay's last line on standard output is a JSON object:\n",
        _table(
            ("field", "meaning"), _worded(reference_samples.summary(), reference_words.SUMMARY, "a summary's field")
        ),
        "## Exit codes\n",
        _table(("program", "code", "meaning"), reference_words.EXIT_CODES),
        "## Settings\n",
        _SETTINGS,
        *_settings(),
        "## Payloads\n",
        *_payloads(),
        "## Headers\n",
        *_headers(),
        "## Committed offsets\n",
        *_committed(),
        "## Reasons\n",
        *_reasons(),
        "## Pages\n",
        *_pages(),
        "## Metrics\n",
        *_metrics(),
        "## Log events\n",
        *_events(),
    ]
    return "\n".join(parts)


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


def _worded(things: Iterable[str], words: Mapping[str, str], what: str) -> list[tuple[str, str]]:
    names = list(things)
    check_words(names, words, what)
    return [(f"`{name}`", words[name]) for name in names]


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [titles, ("---",) * len(titles), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _commands(program: str, group: click.Command) -> Iterator[str]:
    outer = _context(group, program)
    yield f"### {program}\n"
    yield _code(group.get_help(outer))
    for name, command in sorted(group.commands.items() if isinstance(group, click.Group) else ()):
        yield f"### {program} {name}\n"
        yield _code(command.get_help(_context(command, name, outer)))


def _context(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    return click.Context(command, parent, info_name=name, terminal_width=WIDTH, max_content_width=WIDTH)


def _code(text: str, language: str = "text") -> str:
    return f"```{language}\n{text.rstrip()}\n```\n"


def _settings() -> Iterator[str]:
    for group, info in Settings.model_fields.items():
        model = info.annotation
        assert isinstance(model, type)  # noqa: S101
        assert issubclass(model, BaseModel)  # noqa: S101
        rows = [
            (
                f"`{group}_{name}`".upper(),
                _default(one),
                _values(group, one),
                _described(f"{group}.{name}", one.description),
            )
            for name, one in model.model_fields.items()
        ]
        yield f"### [{group}]\n"
        yield _table(("variable", "default", "values", "meaning"), rows)
        if group == "kafka":
            names = ", ".join(f"`{name}`" for name in sorted(PROTECTED_PROPERTIES))
            yield "The guarantees rest on these properties, or they have a setting, so `KAFKA_PROPERTIES` refuses them:"
            yield f"{names}.\n"


def _described(name: str, text: str | None) -> str:
    if not text:
        raise MissingWordsError(f"the setting {name} has no description")
    return text


def _default(info: FieldInfo) -> str:
    value = info.default
    if value is PydanticUndefined:
        return "`{}`" if info.default_factory is dict else "the host name"
    if value is None:
        return "none"
    if value == "":
        return "empty"
    shown = value.value if isinstance(value, Enum) else value
    return f"`{str(shown).lower() if isinstance(shown, bool) else shown}`"


def _values(group: str, info: FieldInfo) -> str:
    """What may be set, by type and bounds."""
    kind = info.annotation
    options = [one for part in (kind, *get_args(kind)) for one in get_args(part) if isinstance(one, str)]
    if isinstance(kind, type) and issubclass(kind, Enum):
        options = [one.value for one in kind]
    if options:
        return ", ".join(f"`{one}`" for one in dict.fromkeys(options))
    if kind is bool:
        return "`true`, `false`"
    bounds = {name: getattr(one, name) for one in info.metadata for name in ("ge", "le") if hasattr(one, name)}
    if bounds.get("ge") == 0 and bounds.get("le", 0) >= NO_BOUND:
        return "0 or more"
    if "ge" in bounds and "le" in bounds:
        return f"{bounds['ge']:,} to {bounds['le']:,}"
    if group == "topics" and kind is str:
        return "a topic's name"
    return "a number" if kind is Decimal else "text" if kind is str else "an object"


def _payloads() -> Iterator[str]:
    alert = json.loads(reference_samples.alert().value or b"", parse_float=Decimal)
    names: tuple[Literal["transaction", "alert", "aggregate"], ...] = ("transaction", "alert", "aggregate")
    for name in names:
        schema = json_schema(name)
        yield f"### {name}\n"
        yield f"`txwatch schema {name}` prints the JSON Schema. {schema['description']}\n"
        yield _table(("field", "type", "meaning"), _fields(schema, schema.get("$defs", {})))
        if name == "alert":
            yield "The first alert of the example, as its record's value:\n"
            yield _code(json.dumps(alert, indent=2, default=float), "json")


def _fields(schema: dict[str, Any], definitions: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for name, one in schema["properties"].items():
        reference = one.get("$ref") or next((part["$ref"] for part in one.get("allOf", ()) if "$ref" in part), "")
        inner = definitions.get(reference.rpartition("/")[2], {})
        kind = one.get("type") or inner.get("type", "")
        if options := inner.get("enum"):
            kind = ", ".join(f"`{option}`" for option in options)
        if "maxLength" in one:
            kind += f", {one['minLength']} to {one['maxLength']:,} characters"
        if "minimum" in one:
            kind += f", at least {one['minimum']:,}"
        yield f"`{prefix}{name}`", kind, _described(f"{prefix}{name}", one.get("description"))
        if "properties" in inner:
            yield from _fields(inner, definitions, f"{prefix}{name}.")


def _headers() -> Iterator[str]:
    alert = [(name, reference_samples.text(value)) for name, value in reference_samples.alert().headers or []]
    aside = [one for one in reference_samples.set_aside_headers() if one[0] != "own"]
    check_words([name for name, _ in alert + aside], reference_words.HEADERS, "a header")
    for title, headers in (("an alert, which make it a CloudEvent", alert), ("a late or dead-letter record", aside)):
        yield f"Of {title}:\n"
        rows = [(f"`{name}`", f"`{value}`", reference_words.HEADERS[name]) for name, value in headers]
        yield _table(("header", "example", "meaning"), rows)
    yield "A late or dead-letter record keeps its key, its value and its own headers, which come first."
    yield "Its Kafka timestamp is the time of writing.\n"


def _committed() -> Iterator[str]:
    plain, ahead = reference_samples.committed()
    yield "The metadata of a committed offset is JSON. By `processing`, and where no window is open:\n"
    yield _code(plain, "json")
    yield "By `ingestion` and `event`, with what was read beyond the offset and the rules of that time:\n"
    yield _code(ahead, "json")


def _reasons() -> Iterator[str]:
    yield "Why a record was set aside: the header `txwatch.reason`, the label of `txwatch_records_rejected_total`.\n"
    rows = _worded([one.value for one in Reason], reference_words.REASONS, "a reason")
    yield _table(("reason", "meaning"), rows)
    yield "Why a partition starts at its earliest record: the label of `txwatch_offset_resets_total`.\n"
    rows = _worded([one.value for one in ResetReason], reference_words.RESET_REASONS, "a reset's reason")
    yield _table(("reason", "meaning"), rows)


def _pages() -> Iterator[str]:
    pages = (
        ("`/metrics`", "The metrics, as Prometheus text or OpenMetrics, as the `Accept` header asks."),
        ("`/healthz`", "200 while the loop turns and no partition is stuck; otherwise 503 with the reason."),
        ("`/readyz`", "200 while records are read and could be committed; otherwise 503 with the reason."),
        ("`/status`", "A JSON object with the fields below."),
    )
    yield "Only GET and HEAD are answered.\n"
    yield _table(("path", "answer"), pages)
    body = reference_samples.status()
    names = list(dict.fromkeys([*body, *(name for one in body["partitions"] for name in one)]))
    yield _table(("field of /status", "meaning"), _worded(names, reference_words.STATUS, "a field of /status"))


def _metrics() -> Iterator[str]:
    yield "Counters end in `_total`. A partition's gauges end with its assignment.\n"
    yield _table(("metric", "type", "labels", "meaning"), _families(reference_samples.registry()))
    yield "`txwatch-replay replay --metrics-port` serves:\n"
    yield _table(("metric", "type", "labels", "meaning"), _families(reference_samples.replay_registry()))


def _families(registry: CollectorRegistry) -> Iterator[tuple[str, str, str, str]]:
    for family in sorted(registry.collect(), key=lambda one: one.name):
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        name = f"{family.name}_total" if family.type == "counter" else family.name
        yield f"`{name}`", family.type, ", ".join(f"`{label}`" for label in labels), family.documentation


def _events() -> Iterator[str]:
    yield "The service logs to standard error. A line has `event`, `level`, `timestamp` and the fields below."
    yield "A library's line has the library's name as its `event` (`librdkafka`) and its text in `line`.\n"
    events = log_events.find(ROOT / "service")
    check_words(events, reference_words.EVENTS, "a log event")
    rows = [
        (
            f"`{name}`",
            ", ".join(sorted(event.levels)),
            ", ".join(f"`{one}`" for one in event.fields),
            reference_words.EVENTS[name],
        )
        for name, event in events.items()
    ]
    yield _table(("event", "level", "fields", "meaning"), rows)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE.relative_to(ROOT))


if __name__ == "__main__":
    main()
