"""A worker process: an assistant that does what comes through a pipe, until the pipe is closed or somebody kills it."""

import json
import os
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import anyio

from assistant_kit.assistant import Assistant
from assistant_kit.context import Context
from assistant_kit.errors import AssistantKitError, InputError, Interrupted
from assistant_kit.messages import UserMessage, text_of
from assistant_kit.protocols.store import Store
from assistant_kit.protocols.toolset import Toolset
from assistant_kit.run.options import RunOptions
from assistant_kit.run.result import Result
from assistant_kit.settings import LeaseSettings, Settings, WindowSettings
from assistant_kit.token_counters.upper_bound import UpperBound
from tests.chaos.orders import DELEGATE, Clerk, Order, tools
from tests.chaos.outside import EffectLog

How: TypeAlias = Literal["run", "stream", "leave", "approve", "retry", "states"]

LEASE = LeaseSettings(ttl=1.0, wait=5.0)
SWEEP = 0.5
THINKING = 0.01
EVENTS_BEFORE_LEAVING = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What a worker is told. `number` comes back in its reply."""

    number: int
    how: How
    user: str = ""
    conversation: str = ""
    order: str = ""
    calls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a worker says. `outcome` is how the turn has ended, `waiting`, `left`, or the name of an error."""

    number: int
    outcome: str
    text: str = ""
    calls: tuple[str, ...] = ()


class Worker:
    """Serves commands from the file descriptor `commands`, and replies to `replies`."""

    def __init__(self, *, store: Store, effects: str, tool_names: tuple[str, ...], commands: int, replies: int) -> None:
        self._store = store
        self._tools = tools(EffectLog(effects), *tool_names)
        self._commands = commands
        self._replies = replies

    async def serve(self) -> None:
        """Serve until there are no more commands, and finish what was begun."""
        assistant = self._assistant("desk", self._assistant("branch").as_tool(name=DELEGATE, description=""))
        async with assistant, assistant.recovering(every=SWEEP), anyio.create_task_group() as group:
            async for line in self._lines():
                facts = json.loads(line)
                group.start_soon(self._obey, assistant, Command(**facts | {"calls": tuple(facts["calls"])}))
        await self._store.aclose()

    def _assistant(self, name: str, *tools: Toolset) -> Assistant[str]:
        window = WindowSettings(max_tokens=20_000, reserved_output=1_000)
        return Assistant(
            Clerk(_think),
            tools=[*self._tools, *tools],
            store=self._store,
            settings=Settings(name=name, lease=LEASE, window=window),
            context=Context(token_counter=UpperBound()),
        )

    async def _lines(self) -> AsyncGenerator[bytes]:
        os.set_blocking(self._commands, False)
        rest = b""
        while True:
            await anyio.wait_readable(self._commands)
            data = os.read(self._commands, 65536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield line

    async def _obey(self, assistant: Assistant[str], command: Command) -> None:
        try:
            reply = await self._reply(assistant, command)
        except Interrupted as error:
            reply = Reply(number=command.number, outcome=error.outcome)
        except AssistantKitError as error:
            reply = Reply(number=command.number, outcome=type(error).__name__, text=str(error))
        os.write(self._replies, _line(reply))

    async def _reply(self, assistant: Assistant[str], command: Command) -> Reply:
        if command.how == "states":
            return Reply(number=command.number, outcome="states", calls=tuple(await self._unfinished()))
        result = await self._result(assistant, command)
        if result is None:
            return Reply(number=command.number, outcome="left")
        if command.how in ("approve", "retry") and not _is_about(command, result):
            return Reply(number=command.number, outcome="another turn")  # this one was finished by somebody else
        calls = tuple(call.call_id for call in result.waiting_for)
        return Reply(number=command.number, outcome=result.status, text=result.text, calls=calls)

    async def _result(self, assistant: Assistant[str], command: Command) -> Result[str] | None:
        options = RunOptions(user=command.user, conversation=command.conversation)
        options["request_id"] = Order.of(command.order).name
        chat = assistant.conversation(command.conversation, user=command.user)
        match command.how:
            case "run":
                return await assistant.run(command.order, **options)
            case "stream":
                async with assistant.stream(command.order, **options) as run:
                    return await run.result()
            case "leave":
                async with assistant.stream(command.order, **options) as run:
                    for _ in range(EVENTS_BEFORE_LEAVING):
                        await anext(run, None)
                return None
            case "approve":
                for call_id in command.calls:
                    await _approve(chat, call_id)
                return await chat.resume()
            case _:
                return await chat.retry()

    async def _unfinished(self) -> list[str]:
        """Conversations with a turn that is not finished."""
        found: list[str] = []
        for user in await self._store.users():
            listed = await self._store.for_user(user).conversations(limit=1000)
            found += [f"{user}/{info.conversation} {info.state}" for info in listed if info.state != "idle"]
        return found


def _is_about(command: Command, result: Result[str]) -> bool:
    said = result.messages[0]
    return isinstance(said, UserMessage) and text_of(said.content) == command.order


async def _approve(chat: Any, call_id: str) -> None:
    with suppress(InputError):  # somebody was faster
        await chat.approve(call_id, by="the boss")


async def _think(_: str) -> None:
    await anyio.sleep(THINKING)


def _line(reply: Reply) -> bytes:
    facts = {"number": reply.number, "outcome": reply.outcome, "text": reply.text[:2000], "calls": reply.calls[:20]}
    return json.dumps(facts).encode() + b"\n"
