import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from assistant_kit.errors import ConfigurationError, ModelUnavailable, OutcomeUnknown, ToolError
from assistant_kit.messages import AssistantMessage, UserMessage, text_of
from assistant_kit.protocols.policy import Call, Proceed, T
from assistant_kit.testing.scripted_model import Fail, Say, ScriptedModel
from assistant_kit.toolsets.mcp.asker import Asker
from assistant_kit.toolsets.mcp.client_side import MCPClient, ServerLog
from assistant_kit.toolsets.mcp.elicitation import Elicitation, Reply
from assistant_kit.toolsets.mcp.sampling import Sampling, SamplingRequest
from tests.toolsets.mcp.servers.asking_server import AskingServer
from tests.toolsets.mcp.servers.control import context
from tests.toolsets.mcp.servers.generations import Generation, server_of

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["older", "newer"])
def generation(request: pytest.FixtureRequest) -> Generation:
    return request.param


@dataclass(slots=True)
class Person:
    """Somebody who gives the same answer to every question."""

    reply: Reply
    asked: list[Elicitation] = field(default_factory=list[Elicitation])

    async def answer(self, question: Elicitation) -> Reply:
        self.asked.append(question)
        return self.reply


@dataclass(slots=True)
class Guard:
    """Allows sampling, or not."""

    allows: bool = True
    asked: list[SamplingRequest] = field(default_factory=list[SamplingRequest])

    async def approve(self, request: SamplingRequest) -> bool:
        self.asked.append(request)
        return self.allows


async def call(asking: AskingServer, generation: Generation, client: MCPClient, tool: str) -> Any:
    """Call a tool once, and return what its server was answered."""
    with anyio.fail_after(20):
        async with server_of(generation, asking.server, client=client) as server:
            output = await server.call(tool, {}, context(tool))
    words = text_of(output.content)
    assert not output.is_error, words
    return json.loads(words) if words.startswith("{") else words


async def refused(asking: AskingServer, generation: Generation, client: MCPClient, tool: str) -> None:
    """Call a tool whose server gets no answer, and fails."""
    with anyio.fail_after(20):
        async with server_of(generation, asking.server, client=client) as server:
            with pytest.raises(ToolError) as failure:
                await server.call(tool, {}, context(tool))
    assert not isinstance(failure.value, OutcomeUnknown)


async def test_a_form_is_put_to_the_person_and_the_answer_completed(generation: Generation) -> None:
    person = Person(Reply(action="accept", content={"name": "Ada"}))
    asking = AskingServer()
    answer = await call(asking, generation, MCPClient(elicitation=person.answer), "form")
    assert (answer["action"], answer["content"]) == ("accept", {"name": "Ada", "nights": 1})
    [question] = person.asked
    assert (question.message, question.schema, question.url) == ("Who?", asking.form, None)


async def test_the_newer_protocol_tells_for_whose_call_a_question_is(generation: Generation) -> None:
    person = Person(Reply(action="decline"))
    await call(AskingServer(), generation, MCPClient(elicitation=person.answer), "form")
    known = Asker(server="asking", user="u1", conversation="c1", call_id="call-1")
    assert person.asked[0].asker == (known if generation == "newer" else Asker(server="asking"))


@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_person_may_not_answer(generation: Generation, action: Any) -> None:
    person = Person(Reply(action=action, content={"name": "Ada"}))
    answer = await call(AskingServer(), generation, MCPClient(elicitation=person.answer), "form")
    assert (answer["action"], answer.get("content")) == (action, None)


async def test_an_answer_that_does_not_fit_the_form_is_not_sent(generation: Generation) -> None:
    person = Person(Reply(action="accept", content={"name": "Ada", "nights": 31}))
    answer = await call(AskingServer(), generation, MCPClient(elicitation=person.answer), "form")
    assert (answer["action"], answer.get("content")) == ("cancel", None)


async def test_a_form_without_fields_is_answered_as_it_is(generation: Generation) -> None:
    asking = AskingServer()
    asking.form = {"type": "object", "properties": {}}
    answer = await call(asking, generation, MCPClient(elicitation=Person(Reply(action="accept")).answer), "form")
    assert (answer["action"], answer["content"]) == ("accept", {})


async def test_a_page_is_shown_to_the_person(generation: Generation) -> None:
    person = Person(Reply(action="accept"))
    answer = await call(AskingServer(), generation, MCPClient(elicitation=person.answer), "page")
    assert answer["action"] == "accept"
    assert (person.asked[0].url, person.asked[0].schema) == ("https://pay.example/1", None)


@pytest.mark.parametrize("action", ["accept", "decline"])
async def test_a_page_that_a_call_needs_first_is_shown_to_the_person(generation: Generation, action: Any) -> None:
    person, asking = Person(Reply(action=action)), AskingServer()
    await refused(asking, generation, MCPClient(elicitation=person.answer), "pay")
    assert [question.url for question in person.asked] == ["https://pay.example/1"]
    assert person.asked[0].asker.call_id == "call-1"
    assert asking.seen == ["pay"]


async def test_pages_that_cannot_be_read_are_not_shown(generation: Generation) -> None:
    person, asking = Person(Reply(action="accept")), AskingServer()
    asking.pages = {"elicitations": "all"}
    await refused(asking, generation, MCPClient(elicitation=person.answer), "pay")
    assert person.asked == []


@pytest.mark.parametrize(
    "page", ["http://pay.example", "file:///etc/passwd", "https://bank.example@evil.example/", "https://", "http://["]
)
async def test_what_is_no_page_is_not_shown(page: str) -> None:
    asking, person = AskingServer(), Person(Reply(action="accept"))
    asking.page = page
    assert (await call(asking, "newer", MCPClient(elicitation=person.answer), "page"))["action"] == "decline"
    assert person.asked == []


@pytest.mark.parametrize("tool", ["form", "page", "think", "folders", "pay"])
async def test_what_is_not_offered_is_not_answered(generation: Generation, tool: str) -> None:
    await refused(AskingServer(), generation, MCPClient(), tool)


async def fails(_: object) -> Any:
    raise LookupError("hush")


@pytest.mark.parametrize(
    ("tool", "client"),
    [
        ("form", MCPClient(elicitation=fails)),
        ("think", MCPClient(sampling=Sampling(model=ScriptedModel([]), approve=fails))),
        ("folders", MCPClient(roots=lambda asker: [str(asker.server), 1])),  # pyright: ignore[reportArgumentType]  (a mistake)
    ],
)
async def test_a_function_of_the_application_that_fails_fails_that_call_only(
    generation: Generation, caplog: pytest.LogCaptureFixture, tool: str, client: MCPClient
) -> None:
    await refused(AskingServer(), generation, client, tool)
    assert [record.levelno for record in caplog.records if record.name == "assistant_kit.tools"][:1] == [logging.ERROR]


async def test_folders_are_named_as_roots(generation: Generation, tmp_path: Path) -> None:
    answer = await call(AskingServer(), generation, MCPClient(roots=[tmp_path]), "folders")
    assert answer["roots"] == [{"uri": tmp_path.as_uri(), "name": tmp_path.name}]


async def test_folders_may_depend_on_who_asks(generation: Generation) -> None:
    client = MCPClient(roots=lambda asker: [f"/srv/{asker.user or 'all'}"])
    answer = await call(AskingServer(), generation, client, "folders")
    assert answer["roots"][0]["name"] == ("u1" if generation == "newer" else "all")


async def test_a_server_may_ask_a_model_when_it_is_approved(generation: Generation) -> None:
    asking, guard = AskingServer(), Guard()
    asking.sampling["systemPrompt"] = "Count."
    asking.sampling["messages"].append({"role": "assistant", "content": {"type": "text", "text": "of what?"}})
    model = ScriptedModel(["three"], name="openai:small")
    answer = await call(asking, generation, MCPClient(sampling=Sampling(model=model, approve=guard.approve)), "think")
    assert (answer["content"]["text"], answer["stopReason"], answer["role"]) == ("three", "endTurn", "assistant")
    [request] = guard.asked
    assert (request.instructions, request.max_tokens) == ("Count.", 1000)
    assert [type(item) for item in request.items] == [UserMessage, AssistantMessage]


async def test_a_server_whose_question_is_not_approved_asks_no_model(generation: Generation) -> None:
    model, guard = ScriptedModel(["three"]), Guard(allows=False)
    await refused(AskingServer(), generation, MCPClient(sampling=Sampling(model=model, approve=guard.approve)), "think")
    assert model.requests == []


class Gate:
    """A policy that puts down what passes."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    async def around(self, call: Call, proceed: Proceed[T]) -> T:
        self.calls.append(call)
        return await proceed(call)


async def test_a_question_goes_through_the_policies_within_its_caps(generation: Generation) -> None:
    model, guard, gate = ScriptedModel([Say("three", finish="length")], name="openai:small"), Guard(), Gate()
    asking = AskingServer()
    asking.sampling |= {"maxTokens": 7, "temperature": 0.5}
    sampling = Sampling(model=model, approve=guard.approve, policies=[gate])
    answer = await call(asking, generation, MCPClient(sampling=sampling), "think")
    assert answer["stopReason"] == "maxTokens"
    [asked] = model.requests
    assert (asked.settings.max_output_tokens, asked.settings.temperature, asked.tools) == (7, 0.5, ())
    [passed] = gate.calls
    assert (passed.kind, passed.output_tokens, passed.model) == ("model", 7, model)
    assert passed.user == ("u1" if generation == "newer" else None)
    assert passed.usage is not None
    assert passed.usage(await ScriptedModel(["x"]).respond(asked, lambda _: None)).requests == 1


async def test_a_model_that_fails_fails_the_call_of_the_tool_only(generation: Generation) -> None:
    model = ScriptedModel([Fail(ModelUnavailable("down", model="openai:small"))])
    sampling = Sampling(model=model, approve=Guard().approve)
    await refused(AskingServer(), generation, MCPClient(sampling=sampling), "think")


async def test_a_question_within_a_question_is_refused(generation: Generation) -> None:
    asking, depths = AskingServer(), list[str]()

    async def nested(ask: Callable[[], Awaitable[object]]) -> None:
        depths.append("in")
        await ask()

    with anyio.fail_after(20):
        inner: list[Callable[[], Awaitable[object]]] = []

        async def approve(_: SamplingRequest) -> bool:
            with pytest.raises(ToolError):
                await nested(inner[0])
            return True

        client = MCPClient(sampling=Sampling(model=ScriptedModel(["three"]), approve=approve))
        async with server_of(generation, asking.server, client=client) as server:
            inner.append(lambda: server.call("think", {}, context("think")))
            output = await server.call("think", {}, context("think"))
    assert "three" in text_of(output.content)
    assert depths == ["in"]


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [{"role": "user", "content": {"type": "audio", "data": "aGk=", "mimeType": "audio/wav"}}]},
        {"tools": [{"name": "rm", "inputSchema": {"type": "object"}}]},
    ],
)
async def test_sounds_and_tools_are_not_sampled_with(change: dict[str, Any]) -> None:
    asking, guard = AskingServer(), Guard()
    asking.sampling |= change
    sampling = Sampling(model=ScriptedModel([]), approve=guard.approve)
    await refused(asking, "newer", MCPClient(sampling=sampling), "think")
    assert guard.asked == []


@pytest.mark.parametrize("setting", [{"max_tokens": 0}, {"depth": 0}, {"timeout": 0}])
def test_caps_of_sampling_are_positive(setting: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        Sampling(model=ScriptedModel([]), approve=Guard().approve, **setting)  # pyright: ignore[reportArgumentType]  (as named)


async def test_a_server_that_asks_without_end_is_left() -> None:
    person = Person(Reply(action="accept", content={"name": "Ada"}))
    await refused(AskingServer(), "newer", MCPClient(elicitation=person.answer, roots=[]), "again")


async def test_a_server_that_only_wants_to_be_called_again_is() -> None:
    asking = AskingServer()
    assert await call(asking, "newer", MCPClient(), "later") == "now"
    assert asking.seen == ["later", "later"]


@pytest.mark.parametrize(
    ("data", "shown"), [("one\ntwo\x1b[31m", "one two [31m"), ({"a": "ä"}, '{"a": "ä"}'), ("x" * 3000, "x" * 2000)]
)
async def test_the_log_of_a_server_is_heard_on_one_line(
    generation: Generation, caplog: pytest.LogCaptureFixture, data: Any, shown: str
) -> None:
    asking, heard = AskingServer(), list[ServerLog]()
    asking.log = data
    caplog.set_level(logging.INFO, "assistant_kit.mcp")
    client = MCPClient(log=heard.append, log_level="info")
    arrived = anyio.Event()

    def hear(line: ServerLog) -> None:
        heard.append(line)
        arrived.set()

    client = MCPClient(log=hear, log_level="info")
    with anyio.fail_after(20):
        async with server_of(generation, asking.server, client=client) as server:
            await server.call("speak", {}, context("speak"))
            await arrived.wait()
    assert heard == [ServerLog(server="asking", level="warning", logger="l1", data=shown)]
    assert [record.levelno for record in caplog.records if record.name == "assistant_kit.mcp"] == [logging.WARNING]
    assert asking.levels == (["info"] if generation == "older" else [])


async def test_the_log_of_a_server_goes_to_logging_without_a_function_too(caplog: pytest.LogCaptureFixture) -> None:
    with anyio.fail_after(20):
        async with server_of("newer", AskingServer().server, client=MCPClient(log_level="debug")) as server:
            await server.call("speak", {}, context("speak"))
            while not [record for record in caplog.records if record.name == "assistant_kit.mcp"]:
                await anyio.lowlevel.checkpoint()
