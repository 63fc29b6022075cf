"""What is done in the crash sweep: some orders, in one conversation, by a client who does not give up."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel

from assistant_kit.assistant import Assistant
from assistant_kit.entries import Compacted, Entry, ToolFinished
from assistant_kit.errors import ApprovalPending, ConversationNotFound, InputError, Interrupted
from assistant_kit.run.options import RunOptions
from assistant_kit.run.result import Result
from assistant_kit.run.stream import RunStream
from assistant_kit.settings import WindowSettings
from tests.chaos.judge import Acknowledged
from tests.chaos.orders import Order
from tests.crash_sweep.world import CONVERSATION, USER, World

SMALL = WindowSettings(max_tokens=1_190, reserved_output=0)
"""A window that holds every order by itself, and not two of the longest."""
SMALLEST = WindowSettings(max_tokens=940, reserved_output=0)
"""A window that is nearly full after two orders of one call."""
Recovery: TypeAlias = Literal["resume", "next run", "recover", "repeat"]


class Form(BaseModel):
    """A structured answer."""

    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Some orders, one after the other. `leave_after` so many events the reader leaves the stream of the last one.

    With `lengthy` tools say much. With `summing` conversations are summed up after turns, and that is waited for.
    With `fallback` the model is down, and another one answers in its place.
    `shows` tells the entry that it is about: where nobody dies, there is one.
    """

    name: str
    orders: tuple[Order, ...]
    leave_after: int | None = None
    output_type: type[Any] = str
    window: WindowSettings = field(default_factory=WindowSettings)
    lengthy: bool = False
    summing: bool = False
    fallback: bool = False
    shows: Callable[[Entry], bool] | None = None


def ordered(name: str, *kinds: str, **options: Any) -> Scenario:
    """A scenario with an order of each kind."""
    orders = tuple(Order(name=f"r{number}", kind=kind) for number, kind in enumerate(kinds, start=1))
    return Scenario(name=name, orders=orders, **options)


@dataclass(slots=True, kw_only=True)
class Client:
    """Who orders. With `named` requests carry their ids, and what was not answered is ordered again."""

    world: World
    scenario: Scenario
    streamed: bool
    named: bool
    answered: set[str] = field(default_factory=set[str])
    takeovers: int = 0

    async def order(self, assistant: Assistant[Any]) -> None:
        """Order what was not answered."""
        for order in self.scenario.orders:
            if order.name not in self.answered:
                await self._order(assistant, order)
                await assistant.settled()

    async def _order(self, assistant: Assistant[Any], order: Order) -> None:
        options = RunOptions(user=USER, conversation=CONVERSATION)
        if self.named:
            options["request_id"] = order.name
        if order is self.scenario.orders[-1] and self.scenario.leave_after is not None:
            await self._leave(assistant.stream(order.text, **options), self.scenario.leave_after)
            self.answered.add(order.name)
            return
        try:
            if self.streamed:
                async with assistant.stream(order.text, **options) as run:
                    result = await run.result()
            else:
                result = await assistant.run(order.text, **options)
            result = await self._decide(assistant, result)
        except Interrupted as error:
            self._note(order.name, error.outcome)
        else:
            self._note(order.name, "completed", result.text)

    async def _leave(self, stream: RunStream[Any], after: int) -> None:
        with suppress(Interrupted):
            async with stream as run:
                events = 0
                async for _ in run:
                    events += 1
                    if events == after:
                        break

    def _note(self, name: str, outcome: str, text: str = "") -> None:
        self.answered.add(name)
        self.world.acknowledged.append(Acknowledged(order=name, outcome=outcome, text=text))

    async def _decide(self, assistant: Assistant[Any], result: Result[Any]) -> Result[Any]:
        """Approve what waits until nothing does."""
        chat = assistant.conversation(CONVERSATION, user=USER)
        while result.status == "waiting":
            for call in result.waiting_for:
                with suppress(InputError):  # approved by the one who died
                    await chat.approve(call.call_id, by="the boss")
            result = await self._resume(assistant)
        return result

    async def _resume(self, assistant: Assistant[Any]) -> Result[Any]:
        chat = assistant.conversation(CONVERSATION, user=USER)
        if not self.streamed:
            return await chat.resume()
        async with chat.stream_resumed() as run:
            return await run.result()

    async def recover(self, assistant: Assistant[Any], how: Recovery) -> None:
        """Let a worker take over after the death of another."""
        self.takeovers += 1
        match how:
            case "resume":
                await self._finish(assistant)
            case "next run":
                # Of the same kind where answers have a form.
                kind = "plain" if self.scenario.output_type is str else self.scenario.orders[-1].kind
                with suppress(ApprovalPending):
                    await assistant.run(f"next{self.takeovers} {kind}", user=USER, conversation=CONVERSATION)
                    return
                await self._finish(assistant)
            case "recover":
                await assistant.recover()
                left = await self.world.open().unfinished()
                assert not left, f"recover() leaves {left}"
                await self._finish(assistant)
            case "repeat":
                pass

    async def _finish(self, assistant: Assistant[Any]) -> None:
        with suppress(InputError, ConversationNotFound):  # there is nothing to finish
            await self._decide(assistant, await self._resume(assistant))


def _made_room(entry: Entry) -> bool:
    return isinstance(entry, Compacted) and entry.key == "compact/2"


def _kept(entry: Entry) -> bool:
    return isinstance(entry, ToolFinished) and bool(entry.kept)


def _summed_up(entry: Entry) -> bool:
    return isinstance(entry, Compacted) and entry.key.startswith("compact/after/") and bool(entry.summaries)


SCENARIOS: Sequence[Scenario] = (
    ordered("a plain answer", "plain"),
    ordered("one tool", "pay"),
    ordered("parallel tools of all effects", "all"),
    ordered("structured output with a repair", "form", output_type=Form),
    ordered("approval and resume", "ask"),
    ordered("a stream left at its first call", "all", leave_after=2),
    ordered("a stream left in the answer", "all", leave_after=15),
    ordered("two turns in a row", "pay", "all"),
    ordered("tools in the journal's transaction", "write"),
    ordered("a nested assistant", "delegate"),
    ordered("another model in its place", "all", fallback=True),
    ordered("room made within a turn", "all", "all", window=SMALL, shows=_made_room),
    ordered(
        "a long result",
        "pay",
        "look",
        lengthy=True,
        window=WindowSettings(max_result_tokens=400),
        shows=_kept,
    ),
    ordered("compaction after a turn", "look", "look", "look", window=SMALLEST, summing=True, shows=_summed_up),
)
