"""The Chat Completions format: bodies and chunks in the shapes OpenAI and compatible servers send."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from .replies import JSON, Answer, Failed, Incomplete, Usage, cut_into
from .wire import EventStream, Ids, Outcome, Quirk, arguments_text, dump, error_body, without_changes

DONE = b"data: [DONE]\n\n"


class ChatWire:
    """`POST /v1/chat/completions`."""

    def __init__(self, ids: Ids, quirk: Quirk = without_changes) -> None:
        self._ids = ids
        self._quirk = quirk

    def body(self, answer: Answer, request: Mapping[str, Any], outcome: Outcome = None) -> JSON:
        """A whole completion; a `Failed` outcome is for the caller to make a status of."""
        calls = self._calls(answer)
        message: JSON = {
            "role": "assistant",
            "content": answer.full_text or None,
            "refusal": answer.refusal or None,
            "annotations": [],
        }
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning
        if calls:
            message["tool_calls"] = calls
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(answer, outcome)}
        body = {**self._envelope(request, "chat.completion"), "choices": [choice]}
        if answer.usage is not None:
            body["usage"] = _usage(answer.usage)
        return self._quirk(body)

    def stream(self, answer: Answer, request: Mapping[str, Any], outcome: Outcome = None) -> EventStream:
        """The chunks of a completion, with the usage chunk if the request asks for it."""
        envelope = self._envelope(request, "chat.completion.chunk")
        options: Mapping[str, Any] = request.get("stream_options") or {}
        with_usage = bool(options.get("include_usage")) and answer.usage is not None
        if with_usage:
            envelope["usage"] = None

        def chunk(delta: JSON, finish_reason: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
            return _frame(self._quirk({**envelope, "choices": [choice]}))

        events = [chunk(delta) for delta in self._deltas(answer)]
        if isinstance(outcome, Failed):
            return EventStream(events, [self.error_event(outcome.code, outcome.message, 0)])
        ending = [chunk({}, _finish_reason(answer, outcome))]
        if with_usage and answer.usage is not None:
            ending.append(_frame(self._quirk({**envelope, "choices": [], "usage": _usage(answer.usage)})))
        return EventStream(events, ending, DONE)

    def error_event(self, code: str, message: str, sequence_number: int) -> bytes:  # noqa: ARG002 - only Responses counts
        """An error object in place of a chunk."""
        return _frame(error_body(message, kind="server_error", code=code))

    def _envelope(self, request: Mapping[str, Any], kind: str) -> JSON:
        return {
            "id": self._ids.new("chatcmpl"),
            "object": kind,
            "created": int(time.time()),
            "model": request.get("model", "unknown"),
            "service_tier": "default",
            "system_fingerprint": "fp_test",
        }

    def _calls(self, answer: Answer) -> list[JSON]:
        return [
            {
                "id": call.call_id or self._ids.new("call"),
                "type": "function",
                "function": {"name": call.name, "arguments": arguments_text(call)},
            }
            for call in answer.tool_calls
        ]

    def _deltas(self, answer: Answer) -> Iterator[JSON]:
        yield {"role": "assistant", "content": "" if answer.full_text else None, "refusal": None}
        for piece in cut_into(answer.reasoning, 2):
            yield {"reasoning_content": piece}
        for piece in cut_into(answer.full_text, answer.pieces):
            yield {"content": piece}
        for piece in cut_into(answer.refusal, 3):
            yield {"refusal": piece}
        for index, call in enumerate(self._calls(answer)):
            function = call["function"]
            yield {"tool_calls": [{"index": index, **call, "function": {**function, "arguments": ""}}]}
            for piece in cut_into(function["arguments"], answer.argument_pieces):
                yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _frame(value: JSON) -> bytes:
    return b"data: " + dump(value) + b"\n\n"


def _finish_reason(answer: Answer, outcome: Outcome) -> str:
    if isinstance(outcome, Incomplete):
        return "length" if outcome.reason == "max_output_tokens" else "content_filter"
    return "tool_calls" if answer.tool_calls else "stop"


def _usage(usage: Usage) -> JSON:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": 0},
    }
