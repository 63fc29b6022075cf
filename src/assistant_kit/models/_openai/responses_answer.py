"""Answers in the wire format of the Responses API, streamed and whole, from strict servers and from lenient ones."""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic_core import from_json

from assistant_kit.entries import FinishReason
from assistant_kit.events import ReasoningToken, RefusalToken, Token
from assistant_kit.messages import AssistantMessage, Item, OutputItem, ProviderItem, Reasoning, ToolCall
from assistant_kit.models._openai.body import dump
from assistant_kit.models._openai.call_ids import CallIds
from assistant_kit.models._openai.failures import Source, broke, parsed, reported, shown
from assistant_kit.models._openai.lenient import as_count, as_list, as_object, as_text
from assistant_kit.models._openai.sse import data_of
from assistant_kit.models._openai.text_stream import TextStream
from assistant_kit.protocols.model import Emit, ModelResponse
from assistant_kit.usage import RateLimits, Usage

_TEXT_DELTA = "response.output_text.delta"
_BEFORE = frozenset({"response.created", "response.in_progress", "response.queued", ""})
"""Events that say nothing but that an answer will come."""
_INCOMPLETE: dict[str, FinishReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}


class ResponsesAnswer:
    """Gathers the answer to the items `asked`; `emit` takes its deltas, or all of its text when it comes at once.

    Items are taken when they are done, else from the end of the answer, else the text from its deltas: servers differ
    in what they send.
    """

    def __init__(self, source: Source, asked: Sequence[Item], emit: Emit) -> None:
        self.request_id: str | None = None
        self.limits: RateLimits | None = None
        self.over = False
        self.begun = False
        self._source = source
        self._asked = asked
        self._emit = emit
        self._stream = TextStream(b"delta", emit=emit, parse=self._event, read=_text_delta)
        self.feed = self._stream.feed
        self._done: list[dict[str, Any]] = []
        self._end: dict[str, Any] = {}
        self._status = ""
        self._handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "response.refusal.delta": self._refusal_delta,
            "response.reasoning_summary_part.added": self._reasoning_part,
            "response.reasoning_summary_text.delta": self._reasoning_delta,
            "response.reasoning_text.delta": self._reasoning_delta,
            "response.output_item.done": self._item_done,
            "response.completed": self._finished,
            "response.incomplete": self._finished,
            "response.failed": self._finished,
            "error": self._error,
        }

    def end(self) -> None:
        """Take note that the stream has ended. Raises ModelError."""
        self._stream.end()

    def body(self, data: bytes) -> None:
        """Read a whole body. Raises ModelError."""
        response = parsed(data, self._source, self.request_id)
        if "output" not in response and (error := as_object(response.get("error"))):
            raise reported(error, self._source, self.request_id)
        if type(response.get("output")) is not list and response.get("status") != "failed":
            raise broke(f"what came back is no response: {shown(data, self._source)}", self._source, self.request_id)
        self._finished({"response": response})
        for item in map(as_object, as_list(self._end.get("output"))):
            if item.get("type") == "message" and (text := _message(item).text):
                self._emit(Token(text))

    def response(self) -> ModelResponse:
        """Return the whole answer. Raises ModelBroke when its end has not come."""
        if not self.over:
            raise broke("the stream ended early, without an event that ends the answer", self._source, self.request_id)
        items = self._items()
        return ModelResponse(
            items=items,
            usage=_usage(self._end),
            model=as_text(self._end.get("model")) or self._source.model.partition(":")[2],
            finish=self._finish(items),
            limits=self.limits,
        )

    def _event(self, block: bytes) -> None:
        data = data_of(block)
        if not data or data == b"[DONE]":
            return
        event = parsed(data, self._source, self.request_id)
        kind = as_text(event.get("type"))
        self.begun = self.begun or kind not in _BEFORE
        if kind == _TEXT_DELTA:
            self._stream.add(as_text(event.get("delta")), block)
        elif (handler := self._handlers.get(kind)) is not None:
            handler(event)
        elif not kind and "error" in event:
            self._error(event)

    def _refusal_delta(self, event: dict[str, Any]) -> None:
        text = as_text(event.get("delta"))
        if text:
            self._emit(RefusalToken(text))

    def _reasoning_delta(self, event: dict[str, Any]) -> None:
        text = as_text(event.get("delta"))
        if text:
            self._emit(ReasoningToken(text))

    def _reasoning_part(self, event: dict[str, Any]) -> None:
        if as_count(event.get("summary_index")):
            self._emit(ReasoningToken("\n\n"))

    def _item_done(self, event: dict[str, Any]) -> None:
        self._done.append(as_object(event.get("item")))

    def _finished(self, event: dict[str, Any]) -> None:
        response = self._end = as_object(event.get("response"))
        status = as_text(response.get("status")) or as_text(event.get("type")).removeprefix("response.")
        self._status = status
        if status == "failed":
            raise reported(as_object(response.get("error")), self._source, self.request_id)
        if status not in ("completed", "incomplete", ""):
            raise broke(f"the answer is {status!r}, which is no end", self._source, self.request_id)
        self.over = True

    def _error(self, event: dict[str, Any]) -> None:
        raise reported(as_object(event.get("error")) or event, self._source, self.request_id)

    def _items(self) -> tuple[OutputItem, ...]:
        raw = self._done or [as_object(item) for item in as_list(self._end.get("output"))]
        ids = CallIds(self._asked)
        items = tuple(_item(item, ids) for item in raw if item)
        text = "".join(self._stream.texts)
        if text and not any(isinstance(item, AssistantMessage) for item in items):
            return (AssistantMessage(text=text), *items)
        return items

    def _finish(self, items: tuple[OutputItem, ...]) -> FinishReason:
        if self._status == "incomplete":
            reason = as_text(as_object(self._end.get("incomplete_details")).get("reason"))
            return _INCOMPLETE.get(reason, "other")
        return "tool_calls" if any(isinstance(item, ToolCall) for item in items) else "stop"


def _text_delta(block: bytes) -> str | None:
    event = as_object(from_json(data_of(block)))
    return as_text(event.get("delta")) if event.get("type") == _TEXT_DELTA else None


def _item(item: dict[str, Any], ids: CallIds) -> OutputItem:
    match item.get("type"):
        case "message":
            return _message(item)
        case "function_call":
            return _call(item, ids)
        case "reasoning":
            parts = as_list(item.get("summary")) or as_list(item.get("content"))
            text = "\n\n".join(as_text(as_object(part).get("text")) for part in parts)
            return Reasoning(text=text, raw=dump(item).decode())
        case kind:
            return ProviderItem(type=as_text(kind), raw=dump(item).decode())


def _message(item: dict[str, Any]) -> AssistantMessage:
    content = item.get("content")
    parts = [as_object(part) for part in as_list(content)]
    refusal = "".join(as_text(part.get("refusal")) for part in parts)
    text = as_text(content) or "".join(as_text(part.get("text")) for part in parts)
    return AssistantMessage(text=text, refusal=refusal or None, raw=dump(item).decode())


def _call(item: dict[str, Any], ids: CallIds) -> ToolCall:
    call_id = ids.own(as_text(item.get("call_id")))
    arguments = item.get("arguments")
    if type(arguments) is not str:
        arguments = "" if arguments is None else dump(arguments).decode()
    whole = {**item, "call_id": call_id, "arguments": arguments}
    return ToolCall(call_id=call_id, name=as_text(item.get("name")), arguments=arguments, raw=dump(whole).decode())


def _usage(response: dict[str, Any]) -> Usage:
    usage = as_object(response.get("usage"))
    return Usage(
        requests=1,
        input_tokens=as_count(usage.get("input_tokens")),
        output_tokens=as_count(usage.get("output_tokens")),
        cached_tokens=as_count(as_object(usage.get("input_tokens_details")).get("cached_tokens")),
        reasoning_tokens=as_count(as_object(usage.get("output_tokens_details")).get("reasoning_tokens")),
        reported=bool(usage),
    )
