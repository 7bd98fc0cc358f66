"""Logging to standard error: structlog for this project, and the libraries' lines through the same formatter."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from service.process.stderr import Stderr

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure(level: str, log_format: Literal["json", "console"]) -> None:
    """Write everything from ``level`` up to standard error, one line each. To be called once."""
    renderer: Processor
    if log_format == "json":
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_SHARED, _name_event],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("librdkafka").addFilter(_is_news)
    if isinstance(sys.stderr, Stderr):

        def gap_line(lines: int) -> str:
            event: EventDict = {"event": "log_lines_dropped", "lines": lines}
            for processor in [*_SHARED, renderer]:
                event = processor(None, "warning", event)  # type: ignore[assignment]
            return f"{event}\n"

        sys.stderr.gap_line = gap_line
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level.lower()),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _is_news(record: logging.LogRecord) -> bool:
    """Whether to keep a line of librdkafka: its GETPID line repeats our ``waiting_for_transaction_coordinator``."""
    line = record.getMessage()
    return not (line.startswith("GETPID ") and line.endswith(": retrying"))


def _name_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Use the logger's name as a library's event: librdkafka's lines become ``event=librdkafka`` with a ``line``."""
    event["line"] = event["event"]
    event["event"] = event["_record"].name
    return event


def get(name: str) -> FilteringBoundLogger:
    """Make a logger; ``name`` is its name in the standard library's tree."""
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger
