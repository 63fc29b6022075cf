"""Log records as JSON, one a line."""

import logging
import sys
from collections.abc import Sequence
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor

_NOISY = ("authlib", "httpcore2", "httpx2", "mcp", "pypdf", "urllib3", "werkzeug")
"""Loggers with a line for each request, which says no more than ours."""


def set_up_logging(
    service: str, level: str, *, more: Sequence[Processor] = (), stream: TextIO | None = None
) -> logging.Handler:
    """Let all loggers of this process write to standard error, or to `stream`; return what writes.

    Each record names the service; `more` adds what else is to be known of it.
    """

    def named(_logger: object, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    found: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        named,
        *more,
    ]
    written: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=written, foreign_pre_chain=found))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    return handler
