"""The trace played with assistant_kit: a model that records its requests as OpenAI's wire would have them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assistant_kit import Assistant, MemoryStore, Settings, WindowSettings, tool
from assistant_kit.context import Context
from assistant_kit.messages import AssistantMessage, ToolCall
from assistant_kit.models._openai.responses_request import ResponsesRequests
from assistant_kit.protocols.model import Emit, ModelRequest, ModelResponse
from assistant_kit.token_counters.tiktoken import TiktokenCounter
from assistant_kit.toolsets.functions import FunctionTool
from assistant_kit.usage import Usage
from benchmarks.cache_prompt import prompt_of
from benchmarks.cache_trace import INSTRUCTIONS, TOOLS, Trace

RESERVED = 256


class WrongAnswer(Exception):
    """A turn ended with something else than the trace says."""


class Recorder:
    """Says what the trace says, and keeps the pieces of each request's prompt."""

    name = "recorder"

    def __init__(self, trace: Trace) -> None:
        self.requests: list[Sequence[str]] = []
        self._wire = ResponsesRequests("gpt-5-mini")
        self._answers = _answers(trace)

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        """Record a request and return the next answer."""
        del emit  # nothing is streamed
        self.requests.append(prompt_of(json.loads(self._wire.body(request, is_openai=True))))
        return ModelResponse(items=(next(self._answers),), usage=Usage(requests=1), model=self.name)

    async def aclose(self) -> None:
        """Nothing is held."""


async def requests_of(trace: Trace, budget: int) -> Sequence[Sequence[str]]:
    """Play the trace in one conversation and return its requests. Raises WrongAnswer."""
    model = Recorder(trace)
    results = {json.loads(call["arguments"])["query"]: call["result"] for turn in trace for call in turn["calls"]}
    assistant = Assistant(
        model,
        instructions=INSTRUCTIONS,
        tools=[_tool(spec, results) for spec in TOOLS],
        store=MemoryStore(),
        settings=Settings(window=WindowSettings(max_tokens=budget + RESERVED, reserved_output=RESERVED)),
        context=Context(token_counter=TiktokenCounter()),
    )
    for turn in trace:
        result = await assistant.run(turn["user"], user="u", conversation="c")
        if (result.output, len(result.tool_calls)) != (turn["answer"], len(turn["calls"])):
            raise WrongAnswer(turn["user"], result.output)
    return model.requests


def _answers(trace: Trace) -> Iterator[AssistantMessage | ToolCall]:
    for number, turn in enumerate(trace):
        for step, call in enumerate(turn["calls"]):
            yield ToolCall(call_id=f"call_{number}_{step}", name=call["name"], arguments=call["arguments"])
        yield AssistantMessage(text=turn["answer"])


def _tool(spec: Mapping[str, Any], results: Mapping[str, str]) -> FunctionTool[[str], str]:
    @tool(name=spec["name"], description=spec["description"], effect="read")
    def look_up(query: str) -> str:
        return results[query]

    return look_up
