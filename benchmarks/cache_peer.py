"""The trace played elsewhere: `python cache_peer.py NAME TRACE BUDGET OUT` writes its requests to OUT.

It runs in the peers' environment, so that nothing is imported here but what is there. A request is written as the
pieces of its prompt.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

Request: TypeAlias = list[str]
prompt: Any = import_module("cache_prompt")  # beside this file


def langchain(given: Mapping[str, Any], budget: int, tokens: Callable[[str], int]) -> list[Request]:
    """A sliding window: `trim_messages` before each request, as LangChain's documentation has it."""
    messages: Any = import_module("langchain_core.messages")
    tools = [{"type": "function", "function": tool} for tool in given["tools"]]
    room = budget - tokens(prompt.dumped(tools))

    def size(some: list[Any]) -> int:
        forms = messages.convert_to_openai_messages(some)
        return sum(tokens(piece) for form in forms for piece in prompt.pieces_of(form))

    def ask() -> None:
        kept = messages.trim_messages(
            history,
            max_tokens=room,
            token_counter=size,
            strategy="last",
            start_on="human",
            include_system=True,
        )
        requests.append(prompt.prompt_of({"tools": tools, "messages": messages.convert_to_openai_messages(kept)}))

    requests: list[Request] = []
    history: list[Any] = [messages.SystemMessage(given["instructions"])]
    ids = count()
    for turn in given["trace"]:
        history.append(messages.HumanMessage(turn["user"]))
        for call in turn["calls"]:
            ask()
            name = f"call_{next(ids)}"
            wanted = {"name": call["name"], "args": json.loads(call["arguments"]), "id": name}
            history.append(messages.AIMessage("", tool_calls=[wanted]))
            history.append(messages.ToolMessage(call["result"], tool_call_id=name))
        ask()
        history.append(messages.AIMessage(turn["answer"]))
    return requests


def pydantic_ai(given: Mapping[str, Any], budget: int, tokens: Callable[[str], int]) -> list[Request]:
    """pydantic-ai with the sliding window of its own harness: at the budget, down to half of it, and that is kept."""
    library: Any = import_module("pydantic_ai")
    models: Any = import_module("pydantic_ai.models.openai")
    provider: Any = import_module("pydantic_ai.providers.openai").OpenAIProvider
    window: Any = import_module("pydantic_ai_harness.compaction").SlidingWindowCompaction
    http: Any = import_module("httpx2")
    client: Any = import_module("openai").AsyncOpenAI

    requests: list[Request] = []
    answers = _answers(given["trace"])

    def answer(request: Any) -> Any:
        requests.append(prompt.prompt_of(json.loads(request.content)))
        size = sum(map(tokens, requests[-1]))
        return http.Response(200, json=_response(len(requests), next(answers), size, tokens))

    transport = http.AsyncClient(transport=http.MockTransport(answer))
    model = models.OpenAIResponsesModel(
        "gpt-5-mini", provider=provider(openai_client=client(api_key="none", http_client=transport))
    )
    results = {call["arguments"]: call["result"] for turn in given["trace"] for call in turn["calls"]}

    def tool(spec: Mapping[str, Any]) -> Any:
        def run(**arguments: Any) -> str:
            return results[json.dumps(arguments)]

        return library.Tool.from_schema(run, spec["name"], spec["description"], spec["parameters"])

    agent = library.Agent(
        model,
        instructions=given["instructions"],
        tools=[tool(spec) for spec in given["tools"]],
        capabilities=[window(max_tokens=budget, keep_tokens=budget // 2, tokenizer=tokens)],
    )

    async def play() -> None:
        history: list[Any] = []
        for turn in given["trace"]:
            history = (await agent.run(turn["user"], message_history=history)).all_messages()

    asyncio.run(play())
    return requests


def _answers(trace: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for turn in trace:
        yield from turn["calls"]
        yield {"answer": turn["answer"]}


def _response(number: int, said: Mapping[str, Any], size: int, tokens: Callable[[str], int]) -> dict[str, Any]:
    """An answer of the Responses API."""
    text: str | None = said.get("answer")
    item: dict[str, Any]
    if text is None:
        item = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "status": "completed"}
        item |= {"name": said["name"], "arguments": said["arguments"]}
    else:
        no_notes: list[str] = []
        part = {"type": "output_text", "text": text, "annotations": no_notes}
        item = {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed", "content": [part]}
    written = tokens(prompt.dumped(item))
    usage = {"input_tokens": size, "output_tokens": written, "total_tokens": size + written}
    usage |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "model": "gpt-5-mini",
        "output": [item],
        "usage": usage,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


def main(name: str, trace: str, budget: str, out: str) -> None:
    """Play the trace and write the requests."""
    encode = import_module("tiktoken").get_encoding("o200k_base").encode_ordinary
    play = {"langchain": langchain, "pydantic_ai": pydantic_ai}[name]
    requests = play(json.loads(Path(trace).read_text()), int(budget), lambda text: len(encode(text)))
    Path(out).write_text(json.dumps(requests))
    print(len(requests))


if __name__ == "__main__":
    main(*sys.argv[1:])
