"""assistant_kit as its users write it, with its journal on."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

from assistant_kit import Assistant, OpenAIChat, OpenAIResponses, Policies, tool
from benchmarks import workload
from benchmarks.peer import Peer
from benchmarks.workload import INSTRUCTIONS, MODEL, QUESTION, Outcome, Wire


class Kit:
    """One assistant with the tools of the turn, one without tools for the stream; each operation a new conversation."""

    def __init__(self, turns: Assistant[str], tokens: Assistant[str]) -> None:
        self._turns = turns
        self._tokens = tokens
        self._names = (f"c{number}" for number in itertools.count())

    async def turn(self) -> Outcome:
        result = await self._turns.run(QUESTION, user="u", conversation=next(self._names))
        return Outcome(result.output, tool_calls=len(result.tool_calls))

    async def token(self) -> Outcome:
        async with self._tokens.stream(QUESTION, user="u", conversation=next(self._names)) as run:
            pieces = [event.text async for event in run if event.kind == "token"]
        return Outcome("".join(pieces), tokens=len(pieces))


@asynccontextmanager
async def open_kit(base_url: str, wire: Wire, *, store: str, policies: Policies | None = None) -> AsyncGenerator[Peer]:
    """The kit over one wire format and one store (an address), with these policies (default: the usual ones)."""
    kind = OpenAIChat if wire == "chat" else OpenAIResponses
    model = kind(MODEL, base_url=base_url, api_key="none")
    tools = [tool(effect="read")(workload.weather), tool(effect="read")(workload.price)]
    async with (
        aclosing(model),
        Assistant(model, instructions=INSTRUCTIONS, tools=tools, store=store, policies=policies) as turns,
        Assistant(model, instructions=INSTRUCTIONS, store=store, policies=policies) as tokens,
    ):
        yield Kit(turns, tokens)
