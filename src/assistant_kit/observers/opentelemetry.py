"""Show runs and calls as spans and metrics of OpenTelemetry, by its conventions for generative AI."""

from collections.abc import Mapping
from contextvars import Token
from dataclasses import dataclass
from importlib.metadata import version
from threading import Lock
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from opentelemetry import context as tracing
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram, Meter, MeterProvider, get_meter
from opentelemetry.trace import (
    Span,
    SpanKind,
    StatusCode,
    TracerProvider,
    get_current_span,
    get_tracer,
    set_span_in_context,
)

from assistant_kit.observers import _conventions as names
from assistant_kit.observers._facts import facts_of
from assistant_kit.protocols.observer import (
    ConditionNoted,
    ModelCallBegan,
    ModelCallEnded,
    Notice,
    RunBegan,
    RunEnded,
    ToolCallBegan,
    ToolCallEnded,
)

_NAME: Final = "assistant_kit"
_Attributes: TypeAlias = dict[str, str | int | float | bool | tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    """A span that has begun, and what ends its being the current one."""

    span: Span
    token: Token[Context]


class OpenTelemetryObserver:
    """Makes spans `invoke_agent`, `chat` and `execute_tool`, and the metrics that go with them.

    A span is the current one while its work goes on: what a tool does, and an assistant inside a tool, stands below
    it, and `traceparent` goes along to servers. Retries, fallbacks and the like are events of the span that they happen
    in. Without providers those of the process are used; without an SDK nothing happens. With `users=True` spans name
    the user, with `content=True` they have what users, models and tools say. Nothing is read from the environment.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        users: bool = False,
        content: bool = False,
    ) -> None:
        """Make the tracer and the instruments."""
        release = version("assistant-kit")
        self._tracer = get_tracer(_NAME, release, tracer_provider, names.SCHEMA_URL)
        meter = get_meter(_NAME, release, meter_provider, names.SCHEMA_URL)
        self._calls = _seconds(meter, names.CALL_DURATION, "How long a request to a model took.")
        self._first_chunks = _seconds(meter, names.CALL_FIRST_CHUNK, "Until a streamed answer began.")
        self._tools = _seconds(meter, names.TOOL_DURATION, "How long a call of a tool took.")
        self._agents = _seconds(meter, names.AGENT_DURATION, "How long a turn took.")
        self._tokens = meter.create_histogram(
            names.TOKEN_USAGE,
            unit="{token}",
            description="Tokens of a request to a model.",
            explicit_bucket_boundaries_advisory=names.TOKENS,
        )
        self._users = users
        self._content = content
        self._open: dict[int, _Open] = {}
        self._lock = Lock()

    @property
    def reads_content(self) -> bool:
        """Whether spans have content."""
        return self._content

    def observe(self, notice: Notice) -> None:
        """Begin or end a span, or add an event to the current one."""
        match notice:
            case RunBegan():
                self._begin_run(notice)
            case ModelCallBegan():
                self._begin_model_call(notice)
            case ToolCallBegan():
                self._begin_tool_call(notice)
            case RunEnded():
                self._end_run(notice)
            case ModelCallEnded():
                self._end_model_call(notice)
            case ToolCallEnded():
                self._end_tool_call(notice)
            case ConditionNoted():
                pass  # it belongs to no run; logs and metrics have it
            case _:
                self._add_event(notice)

    def _begin_run(self, notice: RunBegan) -> None:
        attributes: _Attributes = {names.OPERATION: "invoke_agent", **_model(notice.model)}
        if notice.assistant:
            attributes[names.AGENT] = notice.assistant
        if notice.conversation is not None:
            attributes[names.CONVERSATION] = notice.conversation
        if notice.messages is not None:
            attributes[names.INPUT_MESSAGES] = names.messages_json(notice.messages)
        name = f"invoke_agent {notice.assistant}".rstrip()
        self._begin(notice.span, name, SpanKind.INTERNAL, attributes, notice.user)

    def _begin_model_call(self, notice: ModelCallBegan) -> None:
        attributes: _Attributes = {
            names.OPERATION: "chat",
            names.REQUEST_STREAM: notice.streams,
            **_model(notice.model),
            **_server(notice.upstream),
        }
        if notice.output_tokens:
            attributes[names.REQUEST_MAX_TOKENS] = notice.output_tokens
        name = f"chat {attributes[names.REQUEST_MODEL]}"
        self._begin(notice.span, name, SpanKind.CLIENT, attributes, notice.user)

    def _begin_tool_call(self, notice: ToolCallBegan) -> None:
        attributes: _Attributes = {
            names.OPERATION: "execute_tool",
            names.TOOL: notice.tool,
            names.TOOL_TYPE: "extension" if notice.upstream else "function",
        }
        if notice.call_id:
            attributes[names.TOOL_CALL] = notice.call_id
        self._begin(notice.span, f"execute_tool {notice.tool}", SpanKind.INTERNAL, attributes, notice.user)

    def _begin(self, number: int, name: str, kind: SpanKind, attributes: _Attributes, user: str | None) -> None:
        if self._users and user is not None:
            attributes[names.USER] = user
        span = self._tracer.start_span(name, kind=kind, attributes=attributes)
        token = tracing.attach(set_span_in_context(span))
        with self._lock:
            self._open[number] = _Open(span=span, token=token)

    def _end_run(self, notice: RunEnded) -> None:
        began, usage = notice.began, notice.usage
        attributes: _Attributes = {
            names.INPUT_TOKENS: usage.input_tokens,
            names.OUTPUT_TOKENS: usage.output_tokens,
            "assistant_kit.status": notice.status,
        }
        if notice.messages is not None:
            attributes[names.OUTPUT_MESSAGES] = names.messages_json(notice.messages)
        self._end(began.span, attributes, notice.error)
        known: _Attributes = {names.OPERATION: "invoke_agent", **_model(began.model)}
        if began.assistant:
            known[names.AGENT] = began.assistant
        self._agents.record(notice.seconds, known | _error(notice.error))

    def _end_model_call(self, notice: ModelCallEnded) -> None:
        attributes = _answer(notice)
        if notice.messages is not None:
            attributes[names.OUTPUT_MESSAGES] = names.messages_json(notice.messages)
        self._end(notice.began.span, attributes, notice.error)
        self._measure(notice)

    def _measure(self, notice: ModelCallEnded) -> None:
        began, usage = notice.began, notice.usage
        known: _Attributes = {names.OPERATION: "chat", **_model(began.model), **_server(began.upstream)}
        if notice.response_model is not None:
            known[names.RESPONSE_MODEL] = notice.response_model
        self._calls.record(notice.seconds, known | _error(notice.error))
        if notice.first_token is not None:
            self._first_chunks.record(notice.first_token, known)
        if usage is not None and usage.reported:
            self._tokens.record(usage.input_tokens, known | {names.TOKEN_TYPE: "input"})
            self._tokens.record(usage.output_tokens, known | {names.TOKEN_TYPE: "output"})

    def _end_tool_call(self, notice: ToolCallEnded) -> None:
        error = notice.error or ("tool_error" if notice.outcome == "error" else "")
        attributes: _Attributes = {"assistant_kit.outcome": notice.outcome}
        if notice.content is not None:
            attributes[names.TOOL_RESULT] = names.parts_json(notice.content)
        self._end(notice.began.span, attributes, error)
        known: _Attributes = {names.OPERATION: "execute_tool", names.TOOL: notice.began.tool}
        self._tools.record(notice.seconds, known | _error(error))

    def _end(self, number: int, attributes: _Attributes, error: str) -> None:
        with self._lock:
            opened = self._open.pop(number)
        tracing.detach(opened.token)
        opened.span.set_attributes(attributes | _error(error))
        if error:
            opened.span.set_status(StatusCode.ERROR)
        opened.span.end()

    def _add_event(self, notice: Notice) -> None:
        facts: Mapping[str, object] = facts_of(notice, users=self._users)
        shown = {f"assistant_kit.{name}": fact for name, fact in facts.items() if isinstance(fact, str | int | float)}
        get_current_span().add_event(notice.kind, shown)


def _seconds(meter: Meter, name: str, description: str) -> Histogram:
    return meter.create_histogram(
        name, unit="s", description=description, explicit_bucket_boundaries_advisory=names.SECONDS
    )


def _model(name: str) -> _Attributes:
    provider, model = names.provider_and_model(name)
    return {names.PROVIDER: provider, names.REQUEST_MODEL: model}


def _server(upstream: str) -> _Attributes:
    """Return the address of a server, where `upstream` names one (`openai:gpt-5.6-luna at https://…`)."""
    address = urlsplit(upstream.rpartition(" at ")[2])
    if not address.hostname:
        return {}
    port = address.port or {"https": 443, "http": 80}.get(address.scheme)
    found: _Attributes = {names.SERVER: address.hostname}
    return found if port is None else {**found, names.PORT: port}


def _error(error: str) -> _Attributes:
    return {names.ERROR: error} if error else {}


def _answer(notice: ModelCallEnded) -> _Attributes:
    attributes: _Attributes = {}
    if notice.response_model is not None:
        attributes[names.RESPONSE_MODEL] = notice.response_model
    if notice.finish is not None:
        attributes[names.FINISH_REASONS] = (notice.finish,)
    if notice.first_token is not None:
        attributes[names.FIRST_CHUNK] = notice.first_token
    if notice.usage is not None and notice.usage.reported:
        attributes[names.INPUT_TOKENS] = notice.usage.input_tokens
        attributes[names.OUTPUT_TOKENS] = notice.usage.output_tokens
        attributes[names.CACHED_TOKENS] = notice.usage.cached_tokens
        attributes[names.REASONING_TOKENS] = notice.usage.reasoning_tokens
    return attributes
