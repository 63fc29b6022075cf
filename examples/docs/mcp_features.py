"""The code that docs/mcp-features.md shows; a test runs it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from assistant_kit.messages import Part
from assistant_kit.protocols.model import Model
from assistant_kit.protocols.policy import Policy
from assistant_kit.toolsets.mcp import MCPServer
from assistant_kit.toolsets.mcp.client_side import MCPClient
from assistant_kit.toolsets.mcp.elicitation import Elicitation, FormValue, Reply
from assistant_kit.toolsets.mcp.features import PromptMessage
from assistant_kit.toolsets.mcp.resource_tools import ResourceTools
from assistant_kit.toolsets.mcp.sampling import Sampling, SamplingRequest

LONGEST = 500
AskPerson = Callable[[str, str], Awaitable[Mapping[str, FormValue] | None]]


async def context_of(server: MCPServer) -> list[Part]:
    """Resources as a part of a question."""
    # --8<-- [start:read]
    features = server.features()
    for resource in await features.resources():
        print(resource.uri, resource.name, resource.media_type)
    parts = await features.read("note://1")  # then: assistant.ask([*parts, "What does it say?"])
    # --8<-- [end:read]
    return list(parts)


def as_tools(server: MCPServer) -> tuple[object, ...]:
    """Resources for the model to read."""
    # --8<-- [start:tools]
    tools = [server, ResourceTools(server)]
    # --8<-- [end:tools]
    return tuple(tools)


async def follow(server: MCPServer, seen: Callable[[str], bool]) -> None:
    """Changes of resources."""
    # --8<-- [start:watch]
    async with server.features().watch("note://1", "note://2") as changes:
        async for uri in changes:
            await server.features().read(uri)
            if seen(uri):
                break
    # --8<-- [end:watch]


async def prompt(server: MCPServer) -> tuple[PromptMessage, ...]:
    """A prompt, filled in."""
    # --8<-- [start:prompts]
    features = server.features()
    trip = (await features.prompts())[0]
    cities = await features.complete(trip, "city", "Ro")
    messages = await features.prompt(trip.name, {"city": cities[0]})
    # --8<-- [end:prompts]
    return tuple(messages)


def client(folder: Path, person: AskPerson, model: Model, policies: Sequence[Policy]) -> tuple[MCPClient]:
    """What the application answers."""

    # --8<-- [start:client]
    async def ask(question: Elicitation) -> Reply:
        if question.url is not None:
            opened = await person(question.message, question.url)
            return Reply(action="decline" if opened is None else "accept")
        filled = await person(question.message, str(question.schema))
        return Reply(action="cancel") if filled is None else Reply(action="accept", content=filled)

    async def approve(request: SamplingRequest) -> bool:
        return request.asker.user is not None and request.max_tokens <= LONGEST

    answers = MCPClient(
        roots=[folder],
        elicitation=ask,
        sampling=Sampling(model=model, policies=policies, approve=approve, max_tokens=LONGEST),
        log_level="warning",
    )
    # --8<-- [end:client]
    return (answers,)
