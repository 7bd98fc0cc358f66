"""Writes docs/reference.md from the code: commands, settings, payloads, headers, reasons, metrics, log events.

    .venv/bin/python -m tools.reference

What the code only names has a sentence in tools/reference_words.py. tests/unit/test_reference.py fails where the page
is not what this program writes.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
from prometheus_client import CollectorRegistry

from producer.cli import cli as replay_cli
from service.cli.main import cli as service_cli
from service.core.model import Reason, ResetReason
from service.forward.verdicts import Undelivered
from tools import log_events, reference_samples, reference_words
from tools.reference_payloads import committed, headers, payloads
from tools.reference_settings import settings
from tools.reference_tables import MissingWordsError, check_words, code, table, worded

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "reference.md"
WIDTH: Final = 100
_INTRODUCTION: Final = """\
# Reference

`python -m tools.reference` writes this page from the code, and a test compares the two.

[Commands](#commands) · [Exit codes](#exit-codes) · [Settings](#settings) · [Payloads](#payloads) ·
[Headers](#headers) · [Committed offsets](#committed-offsets) · [Reasons](#reasons) · [Pages](#pages) ·
[Metrics](#metrics) · [Log events](#log-events)
"""


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
        table(("field", "meaning"), worded(reference_samples.summary(), reference_words.SUMMARY, "a summary's field")),
        "## Exit codes\n",
        table(("program", "code", "meaning"), reference_words.EXIT_CODES),
        "## Settings\n",
        *settings(),
        "## Payloads\n",
        *payloads(),
        "## Headers\n",
        *headers(),
        "## Committed offsets\n",
        *committed(),
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


def _commands(program: str, group: click.Command) -> Iterator[str]:
    outer = _context(group, program)
    yield f"### {program}\n"
    yield code(group.get_help(outer))
    assert isinstance(group, click.Group), "a program has commands"  # noqa: S101
    for name in group.list_commands(outer):
        command = group.get_command(outer, name)
        assert command is not None, "a listed command is there"  # noqa: S101
        yield f"### {program} {name}\n"
        yield code(command.get_help(_context(command, name, outer)))


def _context(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    names = command.context_settings.get("help_option_names")
    return click.Context(
        command, parent, info_name=name, terminal_width=WIDTH, max_content_width=WIDTH, help_option_names=names
    )


def _reasons() -> Iterator[str]:
    yield "Why a record was set aside: the header `txwatch.reason`, the label of `txwatch_records_rejected_total`.\n"
    rows = worded([one.value for one in Reason], reference_words.REASONS, "a reason")
    yield table(("reason", "meaning"), rows)
    yield "Why `forward` gave an alert up: the same header in `TOPICS_UNDELIVERED`.\n"
    rows = worded([one.value for one in Undelivered], reference_words.UNDELIVERED_REASONS, "a reason of `forward`")
    yield table(("reason", "meaning"), rows)
    yield "Why a partition starts at its earliest record: the label of `txwatch_offset_resets_total`.\n"
    rows = worded([one.value for one in ResetReason], reference_words.RESET_REASONS, "a reset's reason")
    yield table(("reason", "meaning"), rows)


def _pages() -> Iterator[str]:
    pages = (
        ("`/metrics`", "The metrics, as Prometheus text or OpenMetrics, as the `Accept` header asks."),
        ("`/healthz`", "200 while the loop turns and no partition is stuck; otherwise 503 with the reason."),
        ("`/readyz`", "200 while records are read and could be committed; otherwise 503 with the reason."),
        ("`/status`", "A JSON object with the fields below."),
        ("`/`", "With `HTTP_PAGE=true` the [live page](page.md); otherwise a list of these paths."),
        (
            "`/events`",
            "With `HTTP_PAGE=true` [committed alerts](page.md#events) as server-sent events; otherwise 404.",
        ),
        ("`/live`", "With `HTTP_PAGE=true` what the page itself reads. Its form may change."),
    )
    yield "Only GET and HEAD are answered.\n"
    yield table(("path", "answer"), pages)
    body = reference_samples.status()
    names = list(dict.fromkeys([*body, *(name for one in body["partitions"] for name in one)]))
    yield table(("field of /status", "meaning"), worded(names, reference_words.STATUS, "a field of /status"))


def _metrics() -> Iterator[str]:
    yield "Counters end in `_total`. A partition's gauges end with its assignment.\n"
    yield table(("metric", "type", "labels", "meaning"), _families(reference_samples.registry()))
    yield "`txwatch forward` serves:\n"
    yield table(("metric", "type", "labels", "meaning"), _families(reference_samples.forward_registry()))
    yield "`txwatch-replay replay --metrics-port` serves:\n"
    yield table(("metric", "type", "labels", "meaning"), _families(reference_samples.replay_registry()))


def _families(registry: CollectorRegistry) -> Iterator[tuple[str, str, str, str]]:
    for family in sorted(registry.collect(), key=lambda one: one.name):
        if not family.samples:
            raise MissingWordsError(
                f"tools/reference_samples.py makes no sample of {family.name}, which shows its labels"
            )
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        name = f"{family.name}_total" if family.type == "counter" else family.name
        yield f"`{name}`", family.type, ", ".join(f"`{label}`" for label in labels), family.documentation


def _events() -> Iterator[str]:
    yield "The service logs to standard error, one line an event: JSON on a pipe, text on a terminal (`LOG_FORMAT`)."
    yield "A line has `event`, `level`, `timestamp` (ISO 8601, UTC) and the event's own fields:\n"
    yield code(json.dumps(reference_samples.log_line()), "json")
    yield "A library's line has the library's name as its `event` (`librdkafka`), its level, and its text in `line`."
    yield "`exception` is the traceback of a fault in txwatch itself. `LOG_LEVEL` is the least level that is written.\n"
    yield table(("level", "when"), ((f"`{level}`", words) for level, words in reference_words.LEVELS))
    events = log_events.find(ROOT / "service")
    check_words(
        {level for event in events.values() for level in event.levels},
        dict(reference_words.LEVELS),
        "a level",
    )
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
    yield table(("event", "level", "fields", "meaning"), rows)
    fields = sorted({one for event in events.values() for one in event.fields})
    yield table(("field", "meaning"), worded(fields, reference_words.EVENT_FIELDS, "a field of a log event"))


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE.relative_to(ROOT))


if __name__ == "__main__":
    main()
