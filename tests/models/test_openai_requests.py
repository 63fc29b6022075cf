"""What the OpenAI models send: every part of a request in both wire formats, to a server that refuses what is wrong."""

import base64
import json
from collections import UserList
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import pytest

from assistant_kit.errors import InputError, ModelRejected
from assistant_kit.messages import (
    AssistantMessage,
    DeveloperMessage,
    File,
    Image,
    Item,
    ProviderItem,
    Reasoning,
    Text,
    ToolAnswer,
    ToolCall,
    UserMessage,
    user_message,
)
from assistant_kit.models.openai import OpenAIChat, OpenAIResponses
from assistant_kit.protocols.model import OutputSchema
from assistant_kit.settings import ModelSettings
from assistant_kit.tool_spec import HostedTool, ToolSpec
from tests.models.openai_asking import BOTH, HI, Kind, Script, ask, connected, events, http, scripted_client
from tests.openai_server import JSON, Answer, OpenAIServer, Status

pytestmark = pytest.mark.anyio

both = pytest.mark.parametrize("kind", BOTH)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = ToolSpec(name="weather", description="Today's weather.", parameters=SCHEMA, strict=True)
LOOSE = ToolSpec(name="loose", description="", parameters={"type": "object"})
SEARCH = HostedTool(declaration={"type": "web_search"})
CALL = ToolCall(call_id="c1", name="weather", arguments='{"city":"Oslo"}')
PICTURE = Image(data=b"\x89PNG", media_type="image/jpeg", detail="low")
REPORT = File(data=b"%PDF", media_type="application/pdf", filename="r.pdf")


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


async def sent(server: OpenAIServer, kind: Kind, *items: Item, **request: Any) -> JSON:
    """The body that a request becomes."""
    async with connected(kind, server) as model:
        await ask(model, *items, **request)
    return server.requests[-1].body


async def test_a_responses_request_keeps_nothing_at_the_provider(server: OpenAIServer) -> None:
    body = await sent(server, OpenAIResponses, stream=False)
    assert body == {
        "model": "m",
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "input": [{"type": "message", "role": "user", "content": "hi"}],
    }


async def test_a_chat_request_is_short(server: OpenAIServer) -> None:
    body = await sent(server, OpenAIChat, stream=False)
    assert body == {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    body = await sent(server, OpenAIChat)
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


async def test_settings_have_their_names_in_each_format(server: OpenAIServer) -> None:
    settings = ModelSettings(
        temperature=0.5, top_p=0.9, max_output_tokens=99, reasoning_effort="low", parallel_tool_calls=False
    )
    body = await sent(server, OpenAIResponses, settings=settings, tools=(LOOSE,), instructions="Be brief.")
    assert (
        body.items()
        >= {
            "temperature": 0.5,
            "top_p": 0.9,
            "max_output_tokens": 99,
            "reasoning": {"effort": "low"},
            "parallel_tool_calls": False,
            "instructions": "Be brief.",
        }.items()
    )
    body = await sent(server, OpenAIChat, settings=settings, tools=(LOOSE,), instructions="Be brief.")
    assert (
        body.items()
        >= {
            "temperature": 0.5,
            "top_p": 0.9,
            "max_tokens": 99,
            "reasoning_effort": "low",
            "parallel_tool_calls": False,
        }.items()
    )
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}


@both
async def test_settings_for_tools_stay_away_without_tools(server: OpenAIServer, kind: Kind) -> None:
    body = await sent(server, kind, settings=ModelSettings(tool_choice="required", parallel_tool_calls=True))
    assert not body.keys() & {"tool_choice", "parallel_tool_calls", "tools"}


async def test_tools_have_the_shape_of_the_format(server: OpenAIServer) -> None:
    flat = await sent(server, OpenAIResponses, tools=[WEATHER, LOOSE, SEARCH])
    function: JSON = {"name": "weather", "description": "Today's weather.", "parameters": SCHEMA, "strict": True}
    assert flat["tools"][0] == {"type": "function", **function}
    assert flat["tools"][1]["strict"] is False
    assert flat["tools"][2] == {"type": "web_search"}
    nested = await sent(server, OpenAIChat, tools=[WEATHER, LOOSE])
    assert nested["tools"][0] == {"type": "function", "function": function}
    assert "strict" not in nested["tools"][1]["function"]


@both
async def test_tools_are_those_of_the_request_however_often_they_change(server: OpenAIServer, kind: Kind) -> None:
    async with connected(kind, server) as model:
        tools = [WEATHER]
        for number in range(40):
            tools.append(ToolSpec(name=f"t{number}", description="", parameters=MappingProxyType({"type": "object"})))
            for _ in range(2):
                await ask(model, tools=tools)
            names = [(tool.get("function") or tool)["name"] for tool in server.requests[-1].body["tools"]]
            assert names == [tool.name for tool in tools]


@pytest.mark.parametrize(
    ("choice", "flat", "nested"),
    [
        ("required", "required", "required"),
        ("none", "none", "none"),
        ("loose", {"type": "function", "name": "loose"}, {"type": "function", "function": {"name": "loose"}}),
        ("web_search", {"type": "web_search"}, {"type": "web_search"}),
    ],
)
async def test_a_tool_choice_has_the_shape_of_the_format(choice: str, flat: object, nested: object) -> None:
    settings = ModelSettings(tool_choice=choice)
    for kind, shape in ((OpenAIResponses, flat), (OpenAIChat, nested)):
        script = Script([b"{}"], status=400, kind="application/json")
        with pytest.raises(ModelRejected):
            await ask(kind("m", client=scripted_client(script)), tools=(LOOSE, SEARCH), settings=settings)
        assert script.sent[0]["tool_choice"] == shape


async def test_an_output_schema_is_asked_for(server: OpenAIServer) -> None:
    output = OutputSchema(name="City", schema=SCHEMA)
    named: JSON = {"name": "City", "schema": SCHEMA, "strict": True}
    body = await sent(server, OpenAIResponses, output=output)
    assert body["text"] == {"format": {"type": "json_schema", **named}}
    body = await sent(server, OpenAIChat, output=output)
    assert body["response_format"] == {"type": "json_schema", "json_schema": named}


async def test_extra_settings_come_last_and_into_objects(server: OpenAIServer) -> None:
    extra: JSON = {"text": {"verbosity": "low"}, "store": True, "metadata": {"a": "b"}, "input": "something else"}
    output = OutputSchema(name="City", schema=SCHEMA)
    body = await sent(server, OpenAIResponses, output=output, settings=ModelSettings(extra=extra))
    assert body["text"]["verbosity"] == "low"
    assert body["text"]["format"]["name"] == "City"
    assert (body["store"], body["metadata"], body["input"]) == (True, {"a": "b"}, "something else")
    raw = server.requests[-1].raw
    assert (raw.count(b'"store"'), raw.count(b'"input"')) == (1, 1)


async def test_only_openai_is_asked_not_to_pad_and_knows_the_new_limit() -> None:
    settings = ModelSettings(max_output_tokens=9)
    ended = events({"type": "response.completed", "response": {"output": []}})
    script = Script([ended], [b"data: [DONE]\n\n"])
    for kind in BOTH:
        await ask(kind("m", client=scripted_client(script)), settings=settings)
    assert script.sent[0]["stream_options"] == {"include_obfuscation": False}
    assert script.sent[1]["stream_options"] == {"include_usage": True, "include_obfuscation": False}
    assert script.sent[1]["max_completion_tokens"] == 9
    assert "max_tokens" not in script.sent[1]
    other = Script([ended])
    await ask(OpenAIResponses("m", client=scripted_client(other, "http://proxy.test/v1")))
    assert "stream_options" not in other.sent[0]


async def test_user_content_of_all_kinds(server: OpenAIServer) -> None:
    message = user_message(["Look:", PICTURE, Image(url="http://x/y.png"), REPORT, File(url="http://x/r.pdf")])
    picture = "data:image/jpeg;base64," + base64.b64encode(b"\x89PNG").decode()
    report = "data:application/pdf;base64," + base64.b64encode(b"%PDF").decode()
    body = await sent(server, OpenAIResponses, message)
    assert body["input"][0]["content"] == [
        {"type": "input_text", "text": "Look:"},
        {"type": "input_image", "detail": "low", "image_url": picture},
        {"type": "input_image", "detail": "auto", "image_url": "http://x/y.png"},
        {"type": "input_file", "filename": "r.pdf", "file_data": report},
        {"type": "input_file", "file_url": "http://x/r.pdf"},
    ]
    body = await sent(server, OpenAIChat, message)
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": picture, "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "http://x/y.png", "detail": "auto"}},
        {"type": "file", "file": {"filename": "r.pdf", "file_data": report}},
        {"type": "text", "text": "file: http://x/r.pdf"},
    ]


@both
@pytest.mark.parametrize("part", [Image(), File()])
async def test_a_part_without_content_is_an_error_of_the_input(
    server: OpenAIServer, kind: Kind, part: Image | File
) -> None:
    with pytest.raises(InputError):
        await sent(server, kind, user_message(part))
    assert server.requests == []


@both
async def test_text_that_no_utf8_can_hold_is_sent_with_question_marks(server: OpenAIServer, kind: Kind) -> None:
    extra = {"metadata": MappingProxyType({"a": "\udc80"}), "moderation": UserList(["x"])}
    body = await sent(server, kind, UserMessage(content=(Text(text="a\udc80b"),)), settings=ModelSettings(extra=extra))
    assert body["metadata"] == {"a": "?"}
    (said,) = body.get("input") or body["messages"]
    assert said["content"] == "a?b"


async def test_answers_of_tools_have_content_of_all_kinds(server: OpenAIServer) -> None:
    answers = [
        ToolAnswer(call_id="c1", content=(Text(text="seen"), PICTURE)),
        ToolAnswer(call_id="c2", content=(REPORT,)),
        ToolAnswer(call_id="c3", content=()),
    ]
    calls = [ToolCall(call_id=answer.call_id, name="look", arguments="{}") for answer in answers]
    body = await sent(server, OpenAIResponses, HI, *calls, *answers)
    outputs = [item["output"] for item in body["input"][4:]]
    assert [part["type"] for part in outputs[0]] == ["input_text", "input_image"]
    assert [part["type"] for part in outputs[1]] == ["input_file"]
    assert outputs[2] == ""
    for last in ([], [HI], [AssistantMessage(text="so")]):
        body = await sent(server, OpenAIChat, HI, *calls, *answers, *last)
        said = body["messages"]
        assert [message["role"] for message in said[:6]] == ["user", "assistant", "tool", "tool", "tool", "user"]
        assert said[2]["content"].startswith("seen\n")
        assert said[3]["content"] != ""
        assert said[4]["content"] == ""
        kinds = [part["type"] for part in said[5]["content"]]
        assert kinds == ["text", "image_url", "text", "file"]
        assert len(said) == 6 + len(last)


async def test_one_answer_of_the_model_becomes_one_chat_message(server: OpenAIServer) -> None:
    body = await sent(
        server,
        OpenAIChat,
        DeveloperMessage(text="Mind."),
        HI,
        Reasoning(text="hm"),
        AssistantMessage(text='On "it".'),
        CALL,
        AssistantMessage(text="Soon."),
        ProviderItem(type="x", raw="{}"),
        ToolAnswer(call_id="c1", content=(Text(text="ok"),)),
        ProviderItem(type="x", raw="{}"),
        HI,
        AssistantMessage(text="", refusal="No."),
        instructions="Be brief.",
    )
    function = {"name": "weather", "arguments": '{"city":"Oslo"}'}
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": "Mind."},
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": 'On "it".\n\nSoon.',
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "ok"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "No."},
    ]


async def test_items_without_a_form_of_responses_are_built_from_their_fields(server: OpenAIServer) -> None:
    body = await sent(
        server,
        OpenAIResponses,
        DeveloperMessage(text="Mind."),
        HI,
        Reasoning(text="from elsewhere"),
        AssistantMessage(text="said"),
        AssistantMessage(text="", refusal="No."),
        CALL,
        ToolAnswer(call_id="c1", content=(Text(text="a"), Text(text="b"))),
    )
    assert body["input"] == [
        {"type": "message", "role": "developer", "content": "Mind."},
        {"type": "message", "role": "user", "content": "hi"},
        {"type": "message", "role": "assistant", "content": "said"},
        {"type": "message", "role": "assistant", "content": "No."},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Oslo"}'},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}],
        },
    ]


async def test_reasoning_that_led_to_nothing_is_not_sent_back(server: OpenAIServer) -> None:
    thought = Reasoning(raw='{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAAAAdGhpbms="}')
    for items in ([HI, thought], [HI, thought, HI]):
        assert [item["type"] for item in (await sent(server, OpenAIResponses, *items))["input"]] == ["message"] * (
            len(items) - 1
        )
    body = await sent(server, OpenAIResponses, HI, thought, thought, AssistantMessage(text="so"))
    assert len(body["input"]) == 4


async def test_reasoning_that_is_not_sealed_goes_back_to_other_servers_only() -> None:
    bare = Reasoning(raw='{"type":"reasoning","id":"rs_1","summary":[]}')
    ended = events({"type": "response.completed", "response": {"output": []}})
    for base_url, expected in (
        (None, ["message", "message"]),
        ("http://own.test/v1", ["message", "reasoning", "message"]),
    ):
        script = Script([ended])
        model = OpenAIResponses("m", client=scripted_client(script, base_url))
        await ask(model, HI, bare, AssistantMessage(text="so"))
        assert [item["type"] for item in script.sent[0]["input"]] == expected


async def test_a_model_that_has_no_encrypted_reasoning_is_asked_without_from_then_on(server: OpenAIServer) -> None:
    refusals = [
        {"message": "Unknown parameter: 'include'.", "param": "include"},
        {"message": "Encrypted content is not supported with this model.", "param": None},
    ]
    for refusal in refusals:
        server.requests.clear()
        server.script([Status(400, {"error": refusal}), Answer("x"), Answer("y")])
        async with connected(OpenAIResponses, server) as model:
            assert (await ask(model)).response.text == "x"
            assert (await ask(model)).response.text == "y"
        assert ["include" in request.body for request in server.requests] == [True, False, False]


async def test_another_refusal_is_not_asked_twice(server: OpenAIServer) -> None:
    refusals = [{"message": "The encrypted content could not be verified."}, {"param": "include"}]
    server.script([Status(400, {"error": refusals[0]}), *[Status(400, {"error": refusals[1]})] * 2])
    async with connected(OpenAIResponses, server) as model:
        for count in (1, 3):
            with pytest.raises(ModelRejected):
                await ask(model)
            assert len(server.requests) == count


async def test_arguments_that_are_no_text_are_sent_back_as_text(server: OpenAIServer) -> None:
    calls: list[JSON] = [
        {"type": "function_call", "name": "f", "arguments": {"a": 1}, "call_id": ""},
        {"type": "function_call", "name": "g", "arguments": None},
        {"type": "function_call", "name": "h", "arguments": "{}", "call_id": "c1", "more": "kept"},
        {"type": "function_call", "name": "h", "arguments": "{}", "call_id": "c1"},
    ]
    server.script([http(json.dumps({"output": calls}).encode(), "application/json"), Answer("x")])
    async with connected(OpenAIResponses, server) as model:
        first = (await ask(model, stream=False)).response
        assert [call.arguments for call in first.tool_calls] == ['{"a":1}', "", "{}", "{}"]
        assert first.tool_calls[2].call_id == "c1"
        told = [ToolAnswer(call_id=call.call_id, content=()) for call in first.tool_calls]
        await ask(model, HI, *first.items, *told)
    back = server.requests[1].body["input"][1:5]
    assert [item["call_id"] for item in back] == [call.call_id for call in first.tool_calls]
    assert back[2]["more"] == "kept"


async def test_a_picture_without_content_is_refused_before_anything_is_sent(server: OpenAIServer) -> None:
    for kind in BOTH:
        async with connected(kind, server) as model:
            with pytest.raises(InputError):
                await ask(model, UserMessage(content=(Image(),)))
    assert server.requests == []
