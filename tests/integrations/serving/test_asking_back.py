"""Tools that ask their caller back, over both generations of the wire: what the caller is asked, and what they get."""

import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import pytest
from mcp import Client, MCPError
from mcp.client.session import ClientRequestContext
from mcp.server import Server
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolResult,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequestFormParams,
    ElicitRequestParams,
    ElicitResult,
    ErrorData,
    TextContent,
)

from assistant_kit.assistant import Assistant
from assistant_kit.errors import CannotAsk, NoAnswer
from assistant_kit.integrations.serving import tool_server
from assistant_kit.integrations.serving.asking import AskedAssistant
from assistant_kit.integrations.serving.desk import Desk, offered
from assistant_kit.integrations.serving.mcp_face import mcp_face
from assistant_kit.integrations.serving.repeats import Recent, Repeats
from assistant_kit.messages import AssistantMessage, File, Image, JsonObject, Text, UserMessage, text_of
from assistant_kit.policies.circuit_breaker import CircuitBreaker
from assistant_kit.protocols.caller import Answer, Folders, Form, Question, Reply, Roots, Sample, Sampled
from assistant_kit.protocols.toolset import ToolContext, Toolset
from assistant_kit.testing.scripted_model import ScriptedModel
from assistant_kit.toolsets.functions import FunctionTools, tool
from assistant_kit.toolsets.mcp.client_side import MCPClient, ServerLog
from assistant_kit.toolsets.mcp.elicitation import Elicitation
from assistant_kit.toolsets.mcp.elicitation import Reply as Answered
from assistant_kit.toolsets.mcp.sampling import Sampling, SamplingRequest
from assistant_kit.toolsets.mcp.server import MCPServer
from tests.integrations.serving.asking_tools import caller_of, form_of
from tests.integrations.serving.hosting import called, hosted
from tests.toolsets.mcp.servers.control import until
from tests.toolsets.mcp.servers.generations import Generation, server_of

pytestmark = pytest.mark.anyio

NAME: JsonObject = form_of(name={"type": "string"})


@pytest.fixture(params=["older", "newer"])
def generation(request: pytest.FixtureRequest) -> Generation:
    return request.param


@asynccontextmanager
async def face_of(
    *tools: Callable[..., Any] | Toolset, keys: Sequence[bytes] = (), user: str = "ann"
) -> AsyncGenerator[Server[Any]]:
    """Serve tools in this process."""
    functions = [each for each in tools if callable(each)]
    toolsets: list[Toolset] = [FunctionTools(functions), *(each for each in tools if not callable(each))]
    repeats = Repeats(Recent(clock=anyio.current_time), ttl=1000)
    async with Desk(toolsets, repeats=repeats, call_timeout=10, offer=offered) as desk:
        yield mcp_face(desk, name="desk", version="1", instructions=None, user_of=lambda _: user, state_keys=keys)


@asynccontextmanager
async def served(
    generation: Generation, client: MCPClient, *tools: Callable[..., Any] | Toolset
) -> AsyncGenerator[MCPServer]:
    """Serve tools, and speak to them as an application of this library does."""
    with anyio.fail_after(20):
        async with face_of(*tools) as face, server_of(generation, face, client=client) as server:
            yield server


async def say(server: MCPServer, tool: str, *, key: str | None = None, **arguments: Any) -> str:
    output = await server.call(tool, arguments, called(tool, key=key))
    assert not output.is_error, text_of(output.content)
    return text_of(output.content)


@dataclass(slots=True)
class Person:
    """Somebody who answers forms in order, and after that nothing more."""

    answers: list[Answered] = field(default_factory=list[Answered])
    asked: list[Elicitation] = field(default_factory=list[Elicitation])

    async def answer(self, question: Elicitation) -> Answered:
        self.asked.append(question)
        return self.answers.pop(0)


def accepted(**content: Any) -> Answered:
    return Answered(action="accept", content=content)


def person(*answers: Answered) -> tuple[Person, MCPClient]:
    somebody = Person(list(answers))
    return somebody, MCPClient(elicitation=somebody.answer)


@tool
async def greet(context: ToolContext) -> str:
    """Greet by name."""
    reply = await caller_of(context).elicit("Who?", NAME)
    return f"Hello {reply.content['name']}" if reply.action == "accept" else reply.action


async def test_a_person_is_asked_by_a_form(generation: Generation) -> None:
    somebody, client = person(accepted(name="Ada"))
    async with served(generation, client, greet) as server:
        assert await say(server, "greet") == "Hello Ada"
    (question,) = somebody.asked
    assert (question.message, question.schema) == ("Who?", NAME)


@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_person_need_not_answer(generation: Generation, action: Any) -> None:
    _, client = person(Answered(action=action))
    async with served(generation, client, greet) as server:
        assert await say(server, "greet") == action


async def test_a_person_is_sent_to_a_page(generation: Generation) -> None:
    @tool
    async def pay(context: ToolContext) -> str:
        caller = caller_of(context)
        assert caller.can("page")
        return (await caller.show("Pay there.", "https://pay.example/1")).action

    somebody, client = person(accepted())
    async with served(generation, client, pay) as server:
        assert await say(server, "pay") == "accept"
    assert [(each.message, each.url) for each in somebody.asked] == [("Pay there.", "https://pay.example/1")]


async def test_the_callers_model_is_asked(generation: Generation) -> None:
    requests: list[SamplingRequest] = []

    async def approve(request: SamplingRequest) -> bool:
        requests.append(request)
        return True

    @tool
    async def capital(context: ToolContext) -> str:
        sampled = await caller_of(context).sample("Of France?", max_tokens=50, instructions="Be brief.")
        return f"{sampled.text} {sampled.model} {sampled.finish}"

    client = MCPClient(sampling=Sampling(model=ScriptedModel(["Paris"]), approve=approve))
    async with served(generation, client, capital) as server:
        said = await say(server, "capital")
    assert said.split() == ["Paris", "scripted", "endTurn"]
    (request,) = requests
    assert (request.instructions, request.max_tokens) == ("Be brief.", 50)
    assert request.items == [UserMessage(content=(Text(text="Of France?"),))]


async def test_the_folders_are_asked_for(generation: Generation, tmp_path: Path) -> None:
    @tool
    async def where(context: ToolContext) -> str:
        return ", ".join(f"{root.name} {root.uri}" for root in await caller_of(context).roots())

    async with served(generation, MCPClient(roots=[tmp_path]), where) as server:
        assert await say(server, "where") == f"{tmp_path.name} {tmp_path.as_uri()}"


async def test_several_questions_are_asked_together(generation: Generation) -> None:
    runs: list[None] = []
    questions: dict[str, Question] = {"a": Form(message="Who?", schema=NAME), "b": Form(message="And?", schema=NAME)}

    @tool
    async def pair(context: ToolContext) -> str:
        runs.append(None)
        caller = caller_of(context)
        answers: dict[str, Answer] = {**await caller.ask({**questions, "c": Roots()})}
        assert list(answers) == ["a", "b", "c"]
        assert isinstance(answers["c"], Folders)
        return " ".join(sorted(str(each.content["name"]) for each in answers.values() if isinstance(each, Reply)))

    somebody = Person([accepted(name="Ada"), accepted(name="Bo")])
    async with served(generation, MCPClient(elicitation=somebody.answer, roots=()), pair) as server:
        assert await say(server, "pair") == "Ada Bo"
    assert len(runs) == {"older": 1, "newer": 2}[generation]


async def test_one_question_may_follow_from_the_other(generation: Generation) -> None:
    runs: list[None] = []

    @tool
    async def chat(context: ToolContext) -> str:
        runs.append(None)
        first = (await caller_of(context).elicit("Who?", NAME)).content["name"]
        second = (await caller_of(context).elicit(f"And who is {first}?", NAME)).content["name"]
        return f"{first}: {second}"

    somebody, client = person(accepted(name="Ada"), accepted(name="a countess"))
    async with served(generation, client, chat) as server:
        assert await say(server, "chat") == "Ada: a countess"
    assert [each.message for each in somebody.asked] == ["Who?", "And who is Ada?"]
    assert len(runs) == {"older": 1, "newer": 3}[generation]


async def test_the_same_question_may_be_asked_again(generation: Generation) -> None:
    @tool
    async def insist(context: ToolContext) -> str:
        for attempt in range(9):
            if (await caller_of(context).elicit("Ready?", NAME)).content["name"] == "yes":
                return f"{attempt} times no"
        return "never"

    _, client = person(accepted(name="no"), accepted(name="no"), accepted(name="yes"))
    async with served(generation, client, insist) as server:
        assert await say(server, "insist") == "2 times no"


async def test_tasks_of_a_tool_ask_beside_each_other(generation: Generation) -> None:
    runs: list[None] = []

    @tool
    async def both(context: ToolContext) -> str:
        runs.append(None)
        names: list[str] = []

        async def ask(message: str) -> None:
            names.append(str((await caller_of(context).elicit(message, NAME)).content["name"]))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, "Who?")
            tasks.start_soon(ask, "And who?")
        return " ".join(sorted(names))

    _, client = person(accepted(name="Ada"), accepted(name="Bo"))
    async with served(generation, client, both) as server:
        assert await say(server, "both") == "Ada Bo"
    assert len(runs) == {"older": 1, "newer": 2}[generation]


async def test_a_synchronous_tool_asks_from_its_thread(generation: Generation) -> None:
    ends: list[type[BaseException] | None] = []

    @tool
    def greet_slowly(context: ToolContext) -> str:
        question = {"who": Form(message="Who?", schema=NAME)}
        try:
            reply = anyio.from_thread.run(caller_of(context).ask, question)["who"]
        except BaseException as error:
            ends.append(type(error))
            raise
        ends.append(None)
        assert isinstance(reply, Reply)
        return f"Hello {reply.content['name']}"

    _, client = person(accepted(name="Ada"))
    async with served(generation, client, greet_slowly) as server:
        assert await say(server, "greet_slowly") == "Hello Ada"
        await until(lambda: len(ends) == {"older": 1, "newer": 2}[generation])  # no thread is left behind
    assert ends.count(None) == 1
    assert not greet_slowly.threads


async def test_who_does_not_take_a_question_is_not_asked(generation: Generation) -> None:
    refused: list[str] = []

    @tool
    async def try_all(context: ToolContext) -> str:
        caller = caller_of(context)
        message = UserMessage(content=(Text(text="?"),))
        questions: list[Question] = [
            Form(message="?", schema=NAME),
            Sample(messages=(message,), max_tokens=1),
            Roots(),
        ]
        for question in questions:
            assert not caller.can(question.kind)
            with pytest.raises(CannotAsk) as failure:
                await caller.ask({"x": question})
            refused.append(failure.value.kind)
        return "done"

    async with served(generation, MCPClient(), try_all) as server:
        assert await say(server, "try_all") == "done"
    assert refused == ["form", "sample", "roots"]


async def test_a_tool_that_cannot_do_without_an_answer_fails_with_what_is_missing(generation: Generation) -> None:
    async with face_of(greet) as face, sdk_client(face, generation) as client:
        if generation == "older":
            assert (await client.call_tool("greet", {})).is_error
            return
        with pytest.raises(MCPError) as failure:
            await client.call_tool("greet", {})
    assert failure.value.code == MISSING_REQUIRED_CLIENT_CAPABILITY
    assert failure.value.data == {"requiredCapabilities": {"elicitation": {"form": {}}}}


async def test_a_tool_with_an_effect_is_made_once_under_its_key(generation: Generation) -> None:
    orders: list[str] = []

    @tool(effect="once")
    async def order(context: ToolContext) -> str:
        name = (await caller_of(context).elicit("For whom?", NAME)).content["name"]
        orders.append(str(name))
        return f"order {len(orders)} for {name}"

    somebody, client = person(accepted(name="Ada"))
    async with served(generation, client, order) as server:
        assert await say(server, "order", key="k") == "order 1 for Ada"
        assert await say(server, "order", key="k") == "order 1 for Ada"
    assert (orders, len(somebody.asked)) == (["Ada"], 1)


async def test_a_served_assistants_tools_ask_and_a_question_is_no_failure(generation: Generation) -> None:
    breaker = CircuitBreaker(min_calls=1, failure_rate=0.01)
    somebody, client = person(accepted(name="Ada"), accepted(name="Bo"))
    clerk = Assistant(ScriptedModel([]), tools=[greet], policies=[breaker])
    async with served(generation, client, AskedAssistant(clerk, ask="ask", description="Ask.")) as server:
        assert [await say(server, "greet") for _ in range(2)] == ["Hello Ada", "Hello Bo"]
    assert len(somebody.asked) == 2


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    @tool
    async def converse(context: ToolContext) -> str:
        """Ask and log."""
        caller = caller_of(context)
        caller.log("warning", {"step": 1})
        questions: dict[str, Question] = {
            "who": Form(message="Who?", schema=NAME),
            "what": Sample(messages=(UserMessage(content=(Text(text="What?"),)),), max_tokens=9),
        }
        who, what = (await caller.ask(questions)).values()
        assert isinstance(who, Reply)
        assert isinstance(what, Sampled)
        return f"{who.content['name']} {what.text}"

    with hosted(tool_server([converse], name="desk")) as url:
        yield f"{url}/mcp"


async def test_over_http_it_is_the_same(generation: Generation, url: Any) -> None:
    async def approve(_: SamplingRequest) -> bool:
        return True

    lines: list[ServerLog] = []
    client = MCPClient(
        elicitation=Person([accepted(name="Ada")]).answer,
        sampling=Sampling(model=ScriptedModel(["writes"]), approve=approve),
        log=lines.append,
        log_level="info",
    )
    with anyio.fail_after(20):
        async with server_of(generation, url, client=client) as server:
            assert await say(server, "converse") == "Ada writes"
    assert {(line.level, line.data) for line in lines} == {("warning", '{"step": 1}')}
    assert len(lines) == {"older": 1, "newer": 2}[generation]


# What a client of the official SDK says, which checks nothing itself.


@asynccontextmanager
async def sdk_client(face: Server[Any], generation: Generation, **options: Any) -> AsyncGenerator[Client]:
    with anyio.fail_after(20):
        async with Client(face, mode="legacy" if generation == "older" else "auto", **options) as client:
            yield client


def forms(*answers: dict[str, Any] | ErrorData) -> dict[str, Any]:
    """Answer forms in order, whatever is asked; the last answer is for all that follow."""
    left = list(answers)

    async def answer(_: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult | ErrorData:
        assert isinstance(params, ElicitRequestFormParams)
        content = left.pop(0) if len(left) > 1 else left[0]
        return content if isinstance(content, ErrorData) else ElicitResult(action="accept", content=content)

    return {"elicitation_callback": answer}


def words(result: CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


async def test_what_does_not_fit_the_form_is_asked_again(generation: Generation) -> None:
    async with face_of(greet) as face, sdk_client(face, generation, **forms({"name": 7}, {"name": "Ada"})) as client:
        assert words(await client.call_tool("greet", {})) == "Hello Ada"


@tool
async def forgiving(context: ToolContext) -> str:
    """Do without an answer."""
    try:
        await caller_of(context).elicit("Who?", NAME, name="who")
    except NoAnswer as error:
        return f"no answer to {error.question}"
    return "answered"


@pytest.mark.parametrize("answer", [{"name": 7}, ErrorData(code=1, message="no")], ids=["nonsense", "error"])
async def test_in_a_session_who_does_not_answer_is_not_asked_for_ever(answer: Any) -> None:
    async with face_of(forgiving) as face, sdk_client(face, "older", **forms(answer)) as client:
        assert words(await client.call_tool("forgiving", {})) == "no answer to who"


async def test_all_that_a_model_can_be_asked_about_is_sent(generation: Generation) -> None:
    heard: list[CreateMessageRequestParams] = []

    async def sample(_: ClientRequestContext, params: CreateMessageRequestParams) -> CreateMessageResult:
        heard.append(params)
        return CreateMessageResult(role="assistant", content=TextContent(text="nice"), model="m")

    @tool
    async def look(context: ToolContext) -> str:
        content = (Text(text="Look."), Image(data=b"png"), File(data=b"wav", media_type="audio/wav"))
        messages = (UserMessage(content=content), AssistantMessage(text="Yes?"))
        question = Sample(messages=messages, max_tokens=9, temperature=0.5, stop=["."])
        answer = (await caller_of(context).ask({"x": question}))["x"]
        assert isinstance(answer, Sampled)
        return answer.text

    async with face_of(look) as face, sdk_client(face, generation, sampling_callback=sample) as client:
        assert words(await client.call_tool("look", {})) == "nice"
    (params,) = heard
    assert (params.temperature, params.stop_sequences, params.system_prompt) == (0.5, ["."], None)
    blocks = [
        message.content if isinstance(message.content, list) else [message.content] for message in params.messages
    ]
    assert [[block.type for block in each] for each in blocks] == [["text", "image", "audio"], ["text"]]


async def test_a_model_cannot_be_asked_about_a_file(generation: Generation, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)

    async def sample(_: ClientRequestContext, __: CreateMessageRequestParams) -> CreateMessageResult:
        raise AssertionError

    @tool
    async def read(context: ToolContext) -> str:
        message = UserMessage(content=(File(data=b"page", media_type="application/pdf"),))
        await caller_of(context).ask({"x": Sample(messages=(message,), max_tokens=9)})
        return ""

    async with face_of(read) as face, sdk_client(face, generation, sampling_callback=sample) as client:
        assert (await client.call_tool("read", {})).is_error
