"""The strict server refuses what OpenAI refuses, and answers what OpenAI answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import openai
import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming

from tests.openai_server import ACCEPTED, JSON, Answer, Call, OpenAIServer
from tests.openai_server.driving import HELLO, complete, respond

pytestmark = pytest.mark.anyio

SCHEMA: JSON = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CHAT_TOOL: JSON = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
TOOL: JSON = {"type": "function", "name": "weather", "parameters": SCHEMA}
TWO_CALLS = Answer(tool_calls=(Call("weather"), Call("time")))


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as started:
        yield started


CALL: JSON = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}
OUTPUT: JSON = {"type": "function_call_output", "call_id": "c1", "output": "rain"}
THOUGHT: JSON = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAAdGhpbms="}


WRONG_RESPONSES: list[JSON] = [
    {"input": [*HELLO, CALL]},
    {"input": [*HELLO, OUTPUT]},
    {"input": [*HELLO, OUTPUT, CALL]},
    {"input": [*HELLO, CALL, CALL, OUTPUT]},
    {"input": [*HELLO, {**CALL, "arguments": {}}, OUTPUT]},
    {"input": [*HELLO, CALL, {**OUTPUT, "output": None}]},
    {"input": [*HELLO, THOUGHT]},
    {"input": [*HELLO, {**THOUGHT, "encrypted_content": "made up"}, CALL, OUTPUT]},
    {"input": [{"role": "tool", "content": "x"}]},
    {"input": [{"type": "nonsense"}]},
    {"input": []},
    {"messages": HELLO},
    {"tools": [CHAT_TOOL]},
    {"tools": [TOOL, TOOL]},
    {"tools": [{**TOOL, "name": "not a name"}]},
    {"tools": [{**TOOL, "parameters": {"type": "string"}}]},
    {"tools": [{**TOOL, "strict": True}]},
    {"stream_options": {"include_obfuscation": False}},
]


@pytest.mark.parametrize("body", WRONG_RESPONSES)
async def test_a_strict_server_refuses_a_wrong_response_request(server: OpenAIServer, body: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await respond(server, Answer("x"), **body)
    assert caught.value.type == "invalid_request_error"
    assert server.requests[0].problem is not None


async def test_a_reasoning_item_that_is_neither_stored_nor_sealed_is_not_found(server: OpenAIServer) -> None:
    thought = {key: value for key, value in THOUGHT.items() if key != "encrypted_content"}
    with pytest.raises(openai.NotFoundError) as caught:
        await respond(server, Answer("x"), store=False, input=[*HELLO, thought, CALL, OUTPUT])
    assert isinstance(caught.value.body, dict)


async def test_a_right_response_request_is_answered(server: OpenAIServer) -> None:
    again = {**CALL, "call_id": "c2"}
    history = [*HELLO, THOUGHT, CALL, again, {**OUTPUT, "call_id": "c2"}, OUTPUT]
    assert (await respond(server, Answer("x"), store=False, input=history, tools=[TOOL])).output_text == "x"
    response = await respond(server, Answer("y", TWO_CALLS.tool_calls, reasoning="think"))
    output = cast("list[JSON]", response.to_dict()["output"])
    answers = [{**OUTPUT, "call_id": item["call_id"]} for item in output if item["type"] == "function_call"]
    await respond(server, Answer("z"), store=False, input=[*HELLO, *output, *answers])


ASKED: JSON = {
    "role": "assistant",
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
TOLD: JSON = {"role": "tool", "tool_call_id": "c1", "content": "rain"}


WRONG_CHATS: list[JSON] = [
    {"messages": [*HELLO, ASKED]},
    {"messages": [*HELLO, TOLD]},
    {"messages": [*HELLO, ASKED, *HELLO, TOLD]},
    {"messages": [*HELLO, ASKED, TOLD, TOLD]},
    {"messages": [*HELLO, {"role": "assistant"}]},
    {"messages": [{"role": "user"}]},
    {"messages": []},
    {"input": "x"},
    {"tools": []},
    {"tools": [TOOL]},
    {"tool_choice": "auto"},
    {"max_tokens": 1, "max_completion_tokens": 1},
    {"stream_options": {"include_usage": True}},
]


@pytest.mark.parametrize("body", WRONG_CHATS)
async def test_a_strict_server_refuses_a_wrong_chat_request(server: OpenAIServer, body: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError):
        await complete(server, Answer("x"), **body)


async def test_a_right_chat_request_is_answered(server: OpenAIServer) -> None:
    completion = await complete(server, Answer("x"), messages=[*HELLO, ASKED, TOLD, *HELLO], tools=[CHAT_TOOL])
    assert completion.choices[0].message.content == "x"


def test_the_accepted_keys_are_the_clients_parameters() -> None:
    def keys(params: type) -> set[str]:
        return {key for kind in params.__mro__ for key in getattr(kind, "__annotations__", ())}

    assert keys(ResponseCreateParamsStreaming) == ACCEPTED["responses"]
    assert keys(CompletionCreateParamsStreaming) == ACCEPTED["chat"]
