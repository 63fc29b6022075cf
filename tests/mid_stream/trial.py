"""One case: a turn in which a stream fails, the next one, and what is left of both."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from assistant_kit.assistant import Assistant
from assistant_kit.context import Context
from assistant_kit.entries import Entry
from assistant_kit.errors import AssistantKitError
from assistant_kit.events import Event
from assistant_kit.journal_json import decode
from assistant_kit.models.openai import OpenAIChat, OpenAIResponses
from assistant_kit.policies.fallback import Fallback
from assistant_kit.policies.retry import Retry
from assistant_kit.policies.timeouts import Timeouts
from assistant_kit.protocols.policy import Policy
from assistant_kit.protocols.store import Store
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.toolsets.functions import tool
from tests.mid_stream.cases import WIRES, Case, Wire
from tests.mid_stream.judge import Observed
from tests.mid_stream.provider import MODEL, OTHER, Provider, message
from tests.openai_server import OpenAIServer

_PATIENCE = 30.0
"""Seconds of silence that are allowed where nothing hangs, so that a busy machine changes nothing."""
ATTEMPTS = 2
_KINDS = {"responses": OpenAIResponses, "chat": OpenAIChat}

Model: TypeAlias = OpenAIResponses | OpenAIChat


@dataclass(slots=True, kw_only=True)
class World:
    """A provider on a server, and models that ask it. `folder` takes the files of conversations on disk.

    A stream that hangs is given up after `silence` seconds.
    """

    provider: Provider
    server: OpenAIServer
    folder: Path
    silence: float
    models: dict[Wire, tuple[Model, Model]] = field(default_factory=dict[Wire, tuple[Model, Model]])

    def store(self, case: Case) -> Store:
        """Return a store that holds nothing yet."""
        return SQLiteStore(self.folder / f"{case.number}.db") if case.on_disk else MemoryStore()

    def policies(self, case: Case) -> list[Policy]:
        """Return the policies of a case, the outermost first."""
        limit = self.silence if case.kind == "hang" else _PATIENCE
        policies: list[Policy] = [Timeouts(first_token=limit, idle=limit)]
        if case.policy != "none":
            policies.insert(0, Retry(attempts=ATTEMPTS, base=0, retract=case.policy == "anew"))
        if case.policy == "fallback":
            policies.insert(0, Fallback(self.models[case.wire][1]))
        return policies


@asynccontextmanager
async def opened(folder: Path, silence: float) -> AsyncGenerator[World]:
    """Start a server and connect models to it."""
    provider = Provider()
    with OpenAIServer(script=provider) as server:
        world = World(provider=provider, server=server, folder=folder, silence=silence)
        for wire in WIRES:
            kind = _KINDS[wire]
            first, second = (kind(name, api_key="none", base_url=server.base_url) for name in (MODEL, OTHER))
            world.models[wire] = first, second
            for model in (first, second):  # what is loaded and connected once is not what a silence is measured by
                await Assistant(model).run(message(0, again=True))
        try:
            yield world
        finally:
            for models in world.models.values():
                for model in models:
                    await model.aclose()


async def trial(case: Case, world: World) -> Observed:
    """Run a case: the turn, and another one behind it."""
    observed = Observed()
    store = world.store(case)
    world.provider.cases[case.number] = case

    @tool
    async def pay(what: str) -> str:
        observed.ran.append("pay")
        return f"{what} is paid"

    @tool(effect="read")
    async def look(what: str) -> str:
        observed.ran.append("look")
        return f"{what} is there"

    async with Assistant(
        world.models[case.wire][0],
        tools=[pay, look],
        store=store,
        policies=world.policies(case),
        context=Context(token_counter=UpperBound()),
    ) as assistant:
        observed.raised = await _listen(assistant, message(case.number), observed.events)
        after = await assistant.run(message(case.number, again=True), user="u", conversation="c")
        observed.after = after.output
    observed.requests = world.provider.requests[case.number]
    observed.entries = await _journal(store)
    await store.aclose()
    return observed


async def _listen(assistant: Assistant[str], said: str, events: list[Event]) -> AssistantKitError | None:
    try:
        async with assistant.stream(said, user="u", conversation="c") as run:
            async for event in run:
                events.append(event)  # noqa: PERF401  (an error ends it, and what came before counts)
    except AssistantKitError as error:
        return error
    return None


async def _journal(store: Store) -> list[Entry]:
    records = await store.for_user("u").read("c")
    return [
        decode(record.body, conversation="c", seq=record.seq, tokens=record.tokens, at=record.at).entry
        for record in records
    ]
