"""A turn with two tools that is cancelled somewhere, and what has to be in order afterwards."""

import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import anyio
from anyio.lowlevel import checkpoint

from assistant_kit.assistant import Assistant
from assistant_kit.context import Context
from assistant_kit.errors import ConversationNotFound
from assistant_kit.models.openai import OpenAIResponses
from assistant_kit.policies.bulkhead import Bulkhead
from assistant_kit.policies.hedge import Hedge
from assistant_kit.policies.quota import Quota, Quotas
from assistant_kit.policies.rate_limit import RateLimit
from assistant_kit.resilience import Policies
from assistant_kit.run.history import HistoryTurn
from assistant_kit.settings import LeaseSettings, Settings
from assistant_kit.shared_states.memory import MemoryState
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.toolsets.functions import tool
from tests.cancellation.steps import How, cancelled_at
from tests.cancellation.watching import WatchedServer, nothing_unheard, open_files, our_threads, tasks
from tests.openai_server import Answer, Call, Reply, Request

Backend: TypeAlias = Literal["asyncio", "trio"]
Parts: TypeAlias = Literal["usual", "all"]
BOUND = 20.0
"""Seconds for one trial: whoever waits longer waits for ever."""
LEASE = LeaseSettings(ttl=60.0, wait=5.0)
"""A lease that was left is missed. It need not be free at once: what a thread came to after its call was cancelled is
recorded in a moment, under a lease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """In which surroundings a turn is cancelled, and how. The `address` of the store may stand in a `{folder}`."""

    backend: Backend
    how: How
    address: str
    streamed: bool
    policies: Parts

    def __str__(self) -> str:
        way = "streamed" if self.streamed else "whole"
        store = self.address.partition(":")[0]
        return f"{self.backend}, {self.how}, {store}, {way}, {self.policies} policies"


@dataclass(frozen=True, slots=True)
class Trial:
    """What one cancellation has come to; `made` is false when the turn was over before."""

    made: bool
    problems: list[str]


def reply(request: Request) -> Reply:
    """Ask for both tools, answer when they have answered; and to another question: fine."""
    last = request.body["input"][-1]
    if last.get("type") == "function_call_output":
        return Answer("both done", pieces=2)
    if "And now?" in str(last):
        return Answer("fine")
    return Answer(tool_calls=(Call("look"), Call("pay")))


class Tools:
    """One tool in a thread, one in the event loop, which knows how many of its calls go on."""

    def __init__(self) -> None:
        self.going_on = 0

        @tool(effect="read")
        async def look() -> str:
            self.going_on += 1
            try:
                await checkpoint()
            finally:
                self.going_on -= 1
            return "seen"

        @tool
        def pay() -> str:
            return "paid"

        self.all = (look, pay)


def policies_of(setting: Setting) -> Policies:
    """The usual ones; or those that hold something while a call is made, too."""
    if setting.policies == "usual":
        return Policies()
    return Policies(
        quotas=Quotas(Quota("requests", limit=1_000, unit="requests"), state=MemoryState()),
        bulkhead=Bulkhead(limit=2, queue=2),
        hedge=Hedge(after=0.0),
        rate_limit=RateLimit(requests_per_minute=60_000),
    )


@asynccontextmanager
async def opened(
    setting: Setting, server: WatchedServer, folder: Path, tools: Tools, policies: Policies
) -> AsyncGenerator[Assistant[str]]:
    model = OpenAIResponses("m", api_key="k", base_url=server.base_url)
    assistant = Assistant(
        model,
        tools=tools.all,
        settings=Settings(lease=LEASE),
        store=setting.address.format(folder=folder),
        policies=policies,
        context=Context(token_counter=UpperBound()),
    )
    async with assistant:
        yield assistant
    await model.aclose()


async def trial(setting: Setting, server: WatchedServer, folder: Path, step: int) -> Trial:
    """Cancel a turn at one point, go on in the same conversation, close everything, and look what is left."""
    problems = list[str]()
    before = (tasks(), our_threads(), open_files())
    with nothing_unheard(problems), anyio.fail_after(BOUND):
        made = await _talk(setting, server, folder, step, problems)
        if not await server.is_left():
            problems.append("a connection is still open")
    for what, earlier, later in zip(
        ("tasks", "threads", "files"), before, (tasks(), our_threads(), open_files()), strict=True
    ):
        if later - earlier:
            problems.append(f"{what} left: {dict(later - earlier)}")
    return Trial(made, problems)


async def _talk(setting: Setting, server: WatchedServer, folder: Path, step: int, problems: list[str]) -> bool:
    tools, policies, conversation = Tools(), policies_of(setting), os.urandom(8).hex()
    server.script(reply)
    async with opened(setting, server, folder, tools, policies) as assistant:
        before = tasks()
        cancelled = await cancelled_at(
            step, partial(_turn, assistant, setting, conversation, problems), how=setting.how
        )
        if setting.how == "native" and cancelled.made and cancelled.finished:
            problems.append("the cancellation was swallowed")
        if tasks() - before:
            problems.append(f"tasks go on: {dict(tasks() - before)}")
        if tools.going_on:
            problems.append("a tool goes on")
        problems += await _held(assistant, policies)
        problems += await _next_turn(assistant, conversation, finished=cancelled.finished)
    return cancelled.made


async def _turn(assistant: Assistant[str], setting: Setting, conversation: str, problems: list[str]) -> None:
    try:
        if setting.streamed:
            async with assistant.stream("Go", user="u", conversation=conversation) as run:
                async for _ in run:
                    pass
                result = await run.result()
        else:
            result = await assistant.run("Go", user="u", conversation=conversation)
    except Exception as error:  # noqa: BLE001  (whatever it is, it is not what happened)
        problems.append(f"instead of a cancellation: {error!r}")
        await checkpoint()
    else:
        if result.output != "both done":
            problems.append(f"the turn says {result.output!r}")


async def _held(assistant: Assistant[str], policies: Policies) -> list[str]:
    """Tell which policies still keep a place for a call, or what it may take."""
    problems = list[str]()
    for name, condition in assistant.health().conditions.items():
        waiting = condition.data.get("waiting")
        if condition.data.get("running") or (any(waiting.values()) if isinstance(waiting, dict) else waiting):
            problems.append(f"{name}: {dict(condition.data)}")
    standings = () if policies.quotas is None else await policies.quotas.standing(user="u")
    return problems + [f"reserved: {standing}" for standing in standings if standing.reserved]


async def _next_turn(assistant: Assistant[str], conversation: str, *, finished: bool) -> list[str]:
    """Go on in the conversation: it is free, and its turns are closed."""
    try:
        earlier = await assistant.conversation(conversation, user="u").history()
    except ConversationNotFound:
        earlier = ()
    try:
        result = await assistant.run("And now?", user="u", conversation=conversation)
    except Exception as error:  # noqa: BLE001  (whatever it is, it should have worked)
        return [f"the next turn: {error!r}"]
    turns = await assistant.conversation(conversation, user="u").history()
    problems = list[str]()
    if result.output != "fine":
        problems.append(f"the next turn says {result.output!r}")
    if any(turn.outcome not in (("completed",) if finished else ("completed", "cancelled")) for turn in earlier):
        problems.append(f"turns were left: {_outcomes(earlier)}")
    if _outcomes(turns) != [*_outcomes(earlier), "completed"]:
        problems.append(f"turns in the end: {_outcomes(turns)}")
    return problems


def _outcomes(turns: Sequence[HistoryTurn]) -> list[str | None]:
    return [turn.outcome for turn in turns]
