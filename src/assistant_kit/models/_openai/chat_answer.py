"""Answers in the wire format of Chat Completions, streamed and whole, from strict servers and from lenient ones."""

from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json

from assistant_kit.entries import FinishReason
from assistant_kit.events import ReasoningToken, RefusalToken
from assistant_kit.messages import AssistantMessage, Item, OutputItem, Reasoning
from assistant_kit.models._openai.call_ids import CallIds
from assistant_kit.models._openai.chat_calls import CallPieces
from assistant_kit.models._openai.failures import Source, broke, parsed, reported, shown
from assistant_kit.models._openai.lenient import as_count, as_list, as_object, as_text
from assistant_kit.models._openai.sse import data_of
from assistant_kit.models._openai.text_stream import TextStream
from assistant_kit.protocols.model import Emit, ModelResponse
from assistant_kit.usage import RateLimits, Usage

_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "content_filter": "content_filter",
}


class ChatAnswer:
    """Gathers the answer to the items `asked`; `emit` takes its deltas, or all of it when it comes at once.

    An answer is whole when its finish reason has come, or `[DONE]`: some servers leave out one of them.
    """

    def __init__(self, source: Source, asked: Sequence[Item], emit: Emit) -> None:
        self.request_id: str | None = None
        self.limits: RateLimits | None = None
        self.over = False
        self.begun = False
        self._source = source
        self._asked = asked
        self._emit = emit
        self._stream = TextStream(b"content", emit=emit, parse=self._event, read=_content_delta)
        self.feed = self._stream.feed
        self._refusals: list[str] = []
        self._thoughts: list[str] = []
        self._calls = CallPieces()
        self._finish = ""
        self._model = ""
        self._usage: dict[str, Any] = {}

    def end(self) -> None:
        """Take note that the stream has ended. Raises ModelError."""
        self._stream.end()

    def body(self, data: bytes) -> None:
        """Read a whole body. Raises ModelError."""
        completion = parsed(data, self._source, self.request_id)
        self._envelope(completion)
        choices = as_list(completion.get("choices"))
        if not choices:
            message = f"what came back is no chat completion: {shown(data, self._source)}"
            raise broke(message, self._source, self.request_id)
        choice = as_object(choices[0])
        self._finish = as_text(choice.get("finish_reason")) or "stop"
        message = as_object(choice.get("message"))
        # Whole calls, not pieces: some servers give two of them one id, or none.
        calls = [{**as_object(call), "index": index} for index, call in enumerate(as_list(message.get("tool_calls")))]
        self._delta({**message, "tool_calls": calls}, b"")
        self.over = True

    def response(self) -> ModelResponse:
        """Return the whole answer. Raises ModelBroke when its end has not come."""
        if not self.over and not self._finish:
            raise broke("the stream ended early, without a finish reason or [DONE]", self._source, self.request_id)
        items: list[OutputItem] = []
        if self._thoughts:
            items.append(Reasoning(text="".join(self._thoughts)))
        if self._stream.texts or self._refusals:
            items.append(AssistantMessage(text="".join(self._stream.texts), refusal="".join(self._refusals) or None))
        calls = self._calls.calls(CallIds(self._asked))
        finish = _FINISH.get(self._finish, "other") if self._finish else "stop"
        if finish in ("stop", "tool_calls"):
            finish = "tool_calls" if calls else "stop"
        return ModelResponse(
            items=(*items, *calls),
            usage=_usage(self._usage),
            model=self._model or self._source.model.partition(":")[2],
            finish=finish,
            limits=self.limits,
        )

    def _event(self, block: bytes) -> None:
        data = data_of(block)
        if not data:
            return
        if data.strip() == b"[DONE]":
            self.over = True
            return
        chunk = parsed(data, self._source, self.request_id)
        self._envelope(chunk)
        for choice in map(as_object, as_list(chunk.get("choices"))):
            if as_count(choice.get("index")):
                continue  # one answer was asked for, unless by `extra`
            self._finish = as_text(choice.get("finish_reason")) or self._finish
            delta = as_object(choice.get("delta"))
            self.begun = self.begun or any(value for name, value in delta.items() if name != "role")
            self._delta(delta, block)

    def _envelope(self, value: dict[str, Any]) -> None:
        if error := value.get("error"):
            raise reported(as_object(error) or {"message": as_text(error)}, self._source, self.request_id)
        self._model = as_text(value.get("model")) or self._model
        self._usage = as_object(value.get("usage")) or self._usage

    def _delta(self, delta: dict[str, Any], block: bytes) -> None:
        if thought := as_text(delta.get("reasoning_content")) or as_text(delta.get("reasoning")):
            self._thoughts.append(thought)
            self._emit(ReasoningToken(thought))
        self._stream.add(_text(delta.get("content")), block)
        if refusal := as_text(delta.get("refusal")):
            self._refusals.append(refusal)
            self._emit(RefusalToken(refusal))
        if pieces := delta.get("tool_calls"):
            self._calls.add(pieces)


def _text(content: object) -> str:
    """Return the text of content, which some servers send as a list of parts."""
    return as_text(content) or "".join(as_text(as_object(part).get("text")) for part in as_list(content))


def _content_delta(block: bytes) -> str | None:
    """Return the text of a chunk that holds nothing else."""
    choices = as_list(as_object(from_json(data_of(block))).get("choices"))
    choice = as_object(choices[0])
    delta = as_object(choice.get("delta"))
    alone = len(choices) == 1 and not choice.get("index") and not choice.get("finish_reason")
    return as_text(delta.get("content")) if alone and delta.keys() <= {"content", "role"} else None


def _usage(usage: dict[str, Any]) -> Usage:
    return Usage(
        requests=1,
        input_tokens=as_count(usage.get("prompt_tokens")),
        output_tokens=as_count(usage.get("completion_tokens")),
        cached_tokens=as_count(as_object(usage.get("prompt_tokens_details")).get("cached_tokens")),
        reasoning_tokens=as_count(as_object(usage.get("completion_tokens_details")).get("reasoning_tokens")),
        reported=bool(usage),
    )
