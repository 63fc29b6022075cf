"""Assistants that talk to the test server, and the ways to talk to them."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from assistant_kit.assistant import Assistant
from assistant_kit.context import Context
from assistant_kit.entries import Entry
from assistant_kit.events import Event
from assistant_kit.journal_json import decode
from assistant_kit.messages import UserInput
from assistant_kit.models.openai import OpenAI, OpenAIChat, OpenAIResponses
from assistant_kit.policies.retry import Retry
from assistant_kit.protocols.policy import Policy
from assistant_kit.protocols.toolset import Toolset
from assistant_kit.run.result import Result
from assistant_kit.settings import Settings
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.tool_spec import HostedTool
from tests.openai_server import OpenAIServer, Request

OutputT = TypeVar("OutputT")
Wire: TypeAlias = Literal["responses", "chat"]
KEY = "sk-secret-of-the-application"
IMPATIENT: tuple[Policy, ...] = (Retry(base=0.0),)


@dataclass(frozen=True, slots=True)
class Way:
    """How a conversation travels: the wire format, or `named` for what `openai:NAME` picks; streamed or not."""

    model: Literal["responses", "chat", "named"]
    streamed: bool

    @property
    def wire(self) -> Wire:
        """The wire format in use with a server that has both."""
        return "chat" if self.model == "chat" else "responses"

    def __str__(self) -> str:
        return f"{self.model}-{'streamed' if self.streamed else 'whole'}"


WAYS = [Way(model, streamed=streamed) for model in ("responses", "chat", "named") for streamed in (False, True)]
WIRES = [way for way in WAYS if way.model != "named"]
TWO_WAYS = [Way("responses", streamed=True), Way("chat", streamed=False)]


def model_for(way: Way, server: OpenAIServer) -> OpenAIResponses | OpenAIChat | OpenAI:
    kinds = {"responses": OpenAIResponses, "chat": OpenAIChat, "named": OpenAI}
    return kinds[way.model]("m", api_key=KEY, base_url=server.base_url)


@asynccontextmanager
async def opened(
    server: OpenAIServer,
    way: Way,
    folder: Path,
    *,
    tools: Sequence[Callable[..., Any] | Toolset | HostedTool] = (),
    settings: Settings | None = None,
    instructions: str = "Be brief.",
    policies: Sequence[Policy] = IMPATIENT,
) -> AsyncGenerator[Assistant[str]]:
    """An assistant whose journal is a file in `folder`; the next one goes on with it. `named` goes by its name."""
    model = "openai:m" if way.model == "named" else model_for(way, server)
    assistant = Assistant(
        model,
        instructions=instructions,
        tools=tools,
        store=f"sqlite:///{folder}/journal.db",
        settings=settings,
        policies=policies,
        context=Context(token_counter=UpperBound()),
    )
    async with assistant:
        yield assistant
    await assistant.model.aclose()


async def talk(
    assistant: Assistant[OutputT],
    way: Way,
    message: UserInput,
    *,
    user: str = "u",
    conversation: str | None = "c",
    timeout: float | None = None,
) -> Result[OutputT]:
    """Run a turn the way it is asked for."""
    if way.streamed:
        async with assistant.stream(message, user=user, conversation=conversation, timeout=timeout) as run:
            return await run.result()
    return await assistant.run(message, user=user, conversation=conversation, timeout=timeout)


async def events_of(assistant: Assistant[Any], message: UserInput, *, conversation: str | None = "c") -> list[Event]:
    """Stream a turn and return its events, whatever it ends with."""
    events: list[Event] = []
    async with assistant.stream(message, user="u", conversation=conversation) as run:
        while batch := await run.arrived():
            events += batch
            if batch[-1].kind in ("complete", "error"):
                break
    return events


async def journal(folder: Path, *, user: str = "u", conversation: str = "c") -> list[Entry]:
    """Return what is in the file, in its order."""
    store = SQLiteStore(folder / "journal.db")
    try:
        records = await store.for_user(user).read(conversation)
    finally:
        await store.aclose()
    decoded = [
        decode(record.body, conversation=conversation, seq=record.seq, tokens=record.tokens, at=record.at)
        for record in records
    ]
    assert [measured.seq for measured in decoded] == list(range(1, len(decoded) + 1))
    return [measured.entry for measured in decoded]


def items(request: Request) -> list[dict[str, Any]]:
    """The conversation in a request, without the instructions."""
    if request.route == "responses":
        return request.body["input"]
    return list(request.body["messages"][1:])


def instructions(request: Request) -> str:
    if request.route == "responses":
        return request.body["instructions"]
    first: Mapping[str, Any] = request.body["messages"][0]
    assert first["role"] == "system"
    return first["content"]


def tool_texts(request: Request) -> list[str]:
    """What tools said, in the order of the request."""
    if request.route == "responses":
        return [item["output"] for item in items(request) if item.get("type") == "function_call_output"]
    return [message["content"] for message in items(request) if message["role"] == "tool"]


def assert_all_accepted(server: OpenAIServer) -> None:
    """Every request was one that a strict provider takes."""
    assert [request.problem for request in server.requests if request.problem is not None] == []


def assert_each_goes_on(requests: Sequence[Request]) -> None:
    """Each request begins with the one before it, as a provider's prompt cache wants it."""
    for earlier, later in pairwise(requests):
        assert items(later)[: len(items(earlier))] == items(earlier)
