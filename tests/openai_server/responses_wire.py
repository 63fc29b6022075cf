"""The Responses format: bodies and events in the shapes OpenAI sends."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from .replies import JSON, Answer, Failed, Incomplete, Usage, cut_into
from .wire import EventStream, Ids, Outcome, Quirk, arguments_text, dump, without_changes

_ECHOED: JSON = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
}
"""Settings that a response repeats, with their values when the request does not set them."""


def seal(thinking: str) -> str:
    """What this server takes for encrypted reasoning."""
    return "gAAAAA" + base64.urlsafe_b64encode(thinking.encode()).decode()


class ResponsesWire:
    """`POST /v1/responses`."""

    def __init__(self, ids: Ids, quirk: Quirk = without_changes) -> None:
        self._ids = ids
        self._quirk = quirk

    def body(self, answer: Answer, request: Mapping[str, Any], outcome: Outcome = None) -> JSON:
        """A whole response."""
        output = [item for item, _ in self._items(answer)]
        return self._quirk(_finished(self._envelope(request), answer, output, outcome))

    def stream(self, answer: Answer, request: Mapping[str, Any], outcome: Outcome = None) -> EventStream:
        """The events of a response; the last one is the terminal event."""
        envelope = self._envelope(request)
        output: list[JSON] = []
        numbers = count()

        def event(kind: str, **data: object) -> bytes:
            value = self._quirk({"type": kind, **data, "sequence_number": next(numbers)})
            return b"event: " + kind.encode() + b"\ndata: " + dump(value) + b"\n\n"

        events = [event("response.created", response=envelope), event("response.in_progress", response=envelope)]
        for index, (item, begun) in enumerate(self._items(answer)):
            events.append(event("response.output_item.added", output_index=index, item=begun))
            where = {"item_id": item.get("id"), "output_index": index}
            events += [event(kind, **where, **data) for kind, data in _parts(item, answer)]
            events.append(event("response.output_item.done", output_index=index, item=item))
            output.append(item)
        finished = _finished(envelope, answer, output, outcome)
        return EventStream(events, [event(f"response.{finished['status']}", response=finished)])

    def error_event(self, code: str, message: str, sequence_number: int) -> bytes:
        """An `error` event, which ends the stream."""
        value = {"type": "error", "code": code, "message": message, "param": None, "sequence_number": sequence_number}
        return b"event: error\ndata: " + dump(self._quirk(value)) + b"\n\n"

    def _envelope(self, request: Mapping[str, Any]) -> JSON:
        return {
            "id": self._ids.new("resp"),
            "object": "response",
            "created_at": int(time.time()),
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "model": request.get("model", "unknown"),
            "output": [],
            "usage": None,
            **{key: request.get(key, value) for key, value in _ECHOED.items()},
        }

    def _items(self, answer: Answer) -> Iterator[tuple[JSON, JSON]]:
        """Each output item, finished and as it is announced."""
        if answer.reasoning:
            summary = [{"type": "summary_text", "text": answer.reasoning}]
            item: JSON = {"id": self._ids.new("rs"), "type": "reasoning", "summary": summary}
            item["encrypted_content"] = seal(answer.reasoning)
            yield item, {**item, "summary": [], "encrypted_content": ""}
        for extra in answer.items:
            yield extra, extra
        if answer.full_text or answer.refusal:
            item = {"id": self._ids.new("msg"), "type": "message", "role": "assistant", "status": "completed"}
            item |= {"content": _content(answer)} | ({"phase": answer.phase} if answer.phase else {})
            yield item, {**item, "status": "in_progress", "content": []}
        for call in answer.tool_calls:
            call_id = call.call_id or self._ids.new("call")
            item = {"id": self._ids.item_of(call_id), "type": "function_call", "status": "completed"}
            item |= {"call_id": call_id, "name": call.name, "arguments": arguments_text(call)}
            yield item, {**item, "status": "in_progress", "arguments": ""}


def _content(answer: Answer) -> list[JSON]:
    content: list[JSON] = []
    if answer.full_text:
        content.append({"type": "output_text", "text": answer.full_text, "annotations": [], "logprobs": []})
    if answer.refusal:
        content.append({"type": "refusal", "refusal": answer.refusal})
    return content


def _parts(item: JSON, answer: Answer) -> Iterator[tuple[str, JSON]]:
    """The events between an item's `added` and `done`, without what all events of an item share."""
    if item["type"] == "message":
        for index, part in enumerate(item["content"]):
            yield from _content_part(part, index, answer)
    elif item["type"] == "function_call":
        for piece in cut_into(item["arguments"], answer.argument_pieces):
            yield "response.function_call_arguments.delta", {"delta": piece}
        yield "response.function_call_arguments.done", {"arguments": item["arguments"], "name": item["name"]}
    elif item["type"] == "reasoning":
        yield from _summary(item["summary"][0]["text"]) if item.get("summary") else ()


def _content_part(part: JSON, index: int, answer: Answer) -> Iterator[tuple[str, JSON]]:
    at: JSON = {"content_index": index}
    if part["type"] == "output_text":
        yield "response.content_part.added", {**at, "part": {**part, "text": ""}}
        for piece in cut_into(part["text"], answer.pieces):
            yield "response.output_text.delta", {**at, "delta": piece, "logprobs": []}
        yield "response.output_text.done", {**at, "text": part["text"], "logprobs": []}
    else:
        yield "response.content_part.added", {**at, "part": {**part, "refusal": ""}}
        for piece in cut_into(part["refusal"], 3):
            yield "response.refusal.delta", {**at, "delta": piece}
        yield "response.refusal.done", {**at, "refusal": part["refusal"]}
    yield "response.content_part.done", {**at, "part": part}


def _summary(text: str) -> Iterator[tuple[str, JSON]]:
    at: JSON = {"summary_index": 0}
    yield "response.reasoning_summary_part.added", {**at, "part": {"type": "summary_text", "text": ""}}
    for piece in cut_into(text, 2):
        yield "response.reasoning_summary_text.delta", {**at, "delta": piece}
    yield "response.reasoning_summary_text.done", {**at, "text": text}
    yield "response.reasoning_summary_part.done", {**at, "part": {"type": "summary_text", "text": text}}


def _finished(envelope: JSON, answer: Answer, output: list[JSON], outcome: Outcome) -> JSON:
    finished = {**envelope, "status": "completed", "output": output, "usage": _usage(answer.usage)}
    if isinstance(outcome, Failed):
        error = {"code": outcome.code, "message": outcome.message}
        return {**finished, "status": "failed", "error": error, "output": [], "usage": None}
    if isinstance(outcome, Incomplete):
        cut_off = [{**item, "status": "incomplete"} if "status" in item else item for item in output]
        return {
            **finished,
            "status": "incomplete",
            "incomplete_details": {"reason": outcome.reason},
            "output": cut_off,
        }
    return finished


def _usage(usage: Usage | None) -> JSON | None:
    if usage is None:
        return None
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }
