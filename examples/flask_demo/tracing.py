"""Traces through all services: a span for each request, under the caller's, and `traceparent` for those we call."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import httpx2
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import EventDict

from examples.flask_demo.request_ids import HEADER, current_request_id

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("examples.flask_demo")


@contextmanager
def exporting(service: str, endpoint: str | None) -> Generator[None]:
    """Send spans to a collector while the process runs; without an endpoint none are made.

    The exporter reads its other settings from the environment, as OpenTelemetry names them.
    """
    if endpoint is None:
        yield
        return
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()


class Traces:
    """Stands around an application: what is done for a request is part of its caller's trace."""

    def __init__(self, app: ASGIApp) -> None:
        """Take the application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request within a span."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        above = _PROPAGATOR.extract(Headers(scope=scope))
        with _tracer.start_as_current_span(scope["method"], above, trace.SpanKind.SERVER) as span:

            async def noted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            await self._app(scope, receive, noted)
            route = getattr(scope.get("route"), "path", None)
            if route is not None:  # the pattern: paths have ids in them
                span.update_name(f"{scope['method']} {route}")
                span.set_attribute("http.route", route)


def with_request(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Say to which request and which trace a log record belongs."""
    if chosen := current_request_id():
        event["request_id"] = chosen
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = trace.format_trace_id(span.trace_id)
    return event


def outgoing_headers() -> dict[str, str]:
    """Return the headers by which others tell that they work for the same request."""
    headers: dict[str, str] = {}
    _PROPAGATOR.inject(headers)
    if chosen := current_request_id():
        headers[HEADER] = chosen
    return headers


async def stamp(request: httpx2.Request) -> None:
    """Put these headers on a request: a hook for clients."""
    request.headers.update(outgoing_headers())
