"""Answers in the wire format of Chat Completions, streamed and whole, from strict servers and from lenient ones."""

from typing import Any

from pydantic_core import from_json

from assistant_kit.entries import FinishReason
from assistant_kit.errors import ModelBroke
from assistant_kit.events import ReasoningToken, RefusalToken, Token
from assistant_kit.messages import AssistantMessage, OutputItem, Reasoning
from assistant_kit.models._openai.chat_calls import CallPieces
from assistant_kit.models._openai.failures import Source, reported
from assistant_kit.models._openai.lenient import as_count, as_list, as_object, as_text
from assistant_kit.models._openai.sse import data_of
from assistant_kit.models._openai.template import DeltaTemplate
from assistant_kit.protocols.model import Emit, ModelResponse
from assistant_kit.usage import Usage

_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "content_filter": "content_filter",
}


class ChatAnswer:
    """Gathers one answer; `emit` takes the deltas of a streamed one, None when nobody reads along.

    An answer is whole when its finish reason has come, or `[DONE]`: some servers leave out one of them.
    """

    def __init__(self, source: Source, emit: Emit | None) -> None:
        self.request_id: str | None = None
        self.over = False
        self._source = source
        self._emit = emit
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._thoughts: list[str] = []
        self._calls = CallPieces()
        self._finish = ""
        self._model = ""
        self._usage: dict[str, Any] = {}
        self._template = DeltaTemplate(b"content", _content_delta)

    def event(self, block: bytes) -> None:
        """Read the next event. Raises ModelError."""
        text = self._template.text_of(block)
        if text is None:
            self._parsed(block)
            return
        self._texts.append(text)
        if self._emit is not None:
            self._emit(Token(text))

    def body(self, data: bytes) -> None:
        """Read a whole body. Raises ModelError."""
        completion = self._object(data)
        choices = completion.get("choices")
        if type(choices) is not list or not choices:
            raise self._broke(f"what came back is no chat completion: {self._quote(data)}")
        self._envelope(completion)
        choice = as_object(as_list(choices)[0])
        self._finish = as_text(choice.get("finish_reason")) or "stop"
        self._delta(as_object(choice.get("message")))
        self.over = True

    def response(self) -> ModelResponse:
        """Return the whole answer. Raises ModelBroke when its end has not come."""
        if not self.over and not self._finish:
            raise self._broke("the stream ended early, without a finish reason or [DONE]")
        items: list[OutputItem] = []
        if self._thoughts:
            items.append(Reasoning(text="".join(self._thoughts)))
        if self._texts or self._refusals:
            items.append(AssistantMessage(text="".join(self._texts), refusal="".join(self._refusals) or None))
        calls = self._calls.calls()
        finish = _FINISH.get(self._finish, "other") if self._finish else "stop"
        if finish in ("stop", "tool_calls"):
            finish = "tool_calls" if calls else "stop"
        return ModelResponse(
            items=(*items, *calls),
            usage=_usage(self._usage),
            model=self._model or self._source.model.partition(":")[2],
            finish=finish,
        )

    def _parsed(self, block: bytes) -> None:
        data = data_of(block)
        if not data:
            return
        if data.strip() == b"[DONE]":
            self.over = True
            return
        chunk = self._object(data)
        self._envelope(chunk)
        for choice in map(as_object, as_list(chunk.get("choices"))):
            if as_count(choice.get("index")):
                continue  # one answer was asked for, unless by `extra`
            self._finish = as_text(choice.get("finish_reason")) or self._finish
            delta = as_object(choice.get("delta"))
            content = delta.get("content")
            if type(content) is str:
                self._template.learn(block, content)
            self._delta(delta)

    def _envelope(self, value: dict[str, Any]) -> None:
        if error := value.get("error"):
            raise reported(as_object(error) or {"message": as_text(error)}, self._source, self.request_id)
        self._model = as_text(value.get("model")) or self._model
        self._usage = as_object(value.get("usage")) or self._usage

    def _delta(self, delta: dict[str, Any]) -> None:
        emit = self._emit
        if thought := as_text(delta.get("reasoning_content")) or as_text(delta.get("reasoning")):
            self._thoughts.append(thought)
            if emit is not None:
                emit(ReasoningToken(thought))
        if text := _text(delta.get("content")):
            self._texts.append(text)
            if emit is not None:
                emit(Token(text))
        if refusal := as_text(delta.get("refusal")):
            self._refusals.append(refusal)
            if emit is not None:
                emit(RefusalToken(refusal))
        if pieces := delta.get("tool_calls"):
            self._calls.add(pieces)

    def _object(self, data: bytes) -> dict[str, Any]:
        try:
            value = from_json(data)
        except ValueError as error:
            raise self._broke(f"what came back is not JSON: {self._quote(data)}") from error
        if type(value) is not dict:
            raise self._broke(f"what came back is no JSON object: {self._quote(data)}")
        return as_object(value)

    def _quote(self, data: bytes) -> str:
        return self._source.quote(data.decode(errors="replace"))

    def _broke(self, message: str) -> ModelBroke:
        return ModelBroke(message, model=self._source.model, request_id=self.request_id)


def _text(content: object) -> str:
    """Return the text of content, which some servers send as a list of parts."""
    return as_text(content) or "".join(as_text(as_object(part).get("text")) for part in as_list(content))


def _content_delta(block: bytes) -> str | None:
    choices = as_list(as_object(from_json(data_of(block))).get("choices"))
    delta = as_object(as_object(choices[0]).get("delta")) if choices else {}
    return as_text(delta.get("content")) if delta.keys() <= {"content", "role"} else None


def _usage(usage: dict[str, Any]) -> Usage:
    return Usage(
        requests=1,
        input_tokens=as_count(usage.get("prompt_tokens")),
        output_tokens=as_count(usage.get("completion_tokens")),
        cached_tokens=as_count(as_object(usage.get("prompt_tokens_details")).get("cached_tokens")),
        reasoning_tokens=as_count(as_object(usage.get("completion_tokens_details")).get("reasoning_tokens")),
        reported=bool(usage),
    )
