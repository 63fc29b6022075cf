"""Log records as JSON, one a line, each with the id of the request it belongs to."""

import logging
from typing import TextIO

from examples.flask_demo import telemetry
from examples.flask_demo.tracing import with_request


def set_up_logging(level: str, stream: TextIO | None = None) -> logging.Handler:
    """Let all loggers of this process write to standard error, or to `stream`; return what writes."""
    return telemetry.set_up_logging("orchestrator", level, more=[with_request], stream=stream)
