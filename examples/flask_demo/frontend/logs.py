"""Logs: one JSON object a line on stderr, with the request's id; and traces, where they are wanted."""

import logging
from typing import Final

from flask import g, has_request_context
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from structlog.typing import EventDict

from examples.flask_demo.telemetry import set_up_logging

SERVICE: Final = "frontend"
_FORMED: Final = ("engineio.server", "socketio.server")
"""They write in a form of their own unless they have a level."""


def set_up_logs(level: str) -> None:
    """Write the records of this process, and of the libraries it uses, as JSON."""
    set_up_logging(SERVICE, level, more=[_with_request_id])
    for name in _FORMED:
        logging.getLogger(name).setLevel(logging.WARNING)


def set_up_traces(endpoint: str | None) -> None:
    """Send spans to a collector; the exporter reads its address from the standard variables."""
    if endpoint is not None:
        provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(provider)


def _with_request_id(_: object, __: str, event: EventDict) -> EventDict:
    if has_request_context() and "request_id" in g:
        event["request_id"] = g.request_id
    return event
