"""One id for a request from the browser to the tool server, in every log record and, as the trace's, in every span."""

import re
import secrets
from typing import Final, cast

from flask import Flask, Response, g, has_request_context, request
from opentelemetry import propagate, trace
from opentelemetry.context import Context

HEADER: Final = "X-Request-ID"
_FORM: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")
_tracer = trace.get_tracer("examples.flask_demo.frontend")


def current_request_id() -> str:
    """Return the id of the request that is being answered; outside of one, a new one."""
    if not has_request_context():
        return secrets.token_hex(16)
    if "request_id" not in g:
        given = request.headers.get(HEADER, "")
        g.request_id = given if _FORM.fullmatch(given) else secrets.token_hex(16)
    return cast("str", g.request_id)


def onward(request_id: str) -> dict[str, str]:
    """Return the headers that let another service go on under this id and in this trace."""
    headers = {HEADER: request_id}
    span = _span() if has_request_context() else trace.INVALID_SPAN
    if span.get_span_context().is_valid:
        propagate.inject(headers, trace.set_span_in_context(span))
    else:
        headers["traceparent"] = f"00-{request_id}-{secrets.token_hex(8)}-01"
    return headers


def follow_requests(app: Flask) -> None:
    """Let an application name each request and tell of it in a span."""

    def begin() -> None:
        name = f"{request.method} {request.url_rule.rule if request.url_rule else 'unknown'}"
        g.span = _tracer.start_span(name, context=_caller(current_request_id()), kind=trace.SpanKind.SERVER)

    def answered(response: Response) -> Response:
        response.headers[HEADER] = current_request_id()
        _span().set_attribute("http.response.status_code", response.status_code)
        return response

    def end(_: BaseException | None) -> None:
        _span().end()

    app.before_request(begin)
    app.after_request(answered)
    app.teardown_request(end)


def _span() -> trace.Span:
    return cast("trace.Span", g.get("span", trace.INVALID_SPAN))


def _caller(request_id: str) -> Context:
    """Return where our span belongs: under the caller's, or in a trace that has the request's id."""
    given = propagate.extract({name.lower(): value for name, value in request.headers.items()})
    if trace.get_current_span(given).get_span_context().is_valid:
        return given
    parent = trace.SpanContext(
        trace_id=int(request_id, 16),
        span_id=int(request_id[16:], 16) or 1,
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(parent))
