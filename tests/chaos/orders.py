"""What clients order in chaos and in the crash sweep. Calls, answer and tools follow from the order alone."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self, TypeAlias, cast

from anyio.lowlevel import checkpoint

from assistant_kit.events import Token
from assistant_kit.messages import (
    AssistantMessage,
    DeveloperMessage,
    Item,
    Outcome,
    OutputItem,
    ToolAnswer,
    ToolCall,
    UserMessage,
    text_of,
)
from assistant_kit.protocols.model import Emit, ModelRequest, ModelResponse
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.tool_spec import Effect, keyed
from assistant_kit.toolsets.functions import FunctionTool, tool
from assistant_kit.usage import Usage
from tests.journals import check_well_formed

Promise: TypeAlias = Literal["repeatable", "once", "keyed", "transactional"]
Plan: TypeAlias = tuple[tuple[str, ...], ...]

EFFECTS: dict[str, Effect] = {
    "look": "read",
    "put": "idempotent",
    "pay": "once",
    "refund": "once",
    "send": keyed(3600.0),
    "write": "transactional",
}
"""The tools that have a deed in the outside world. `refund` waits for approval."""

DELEGATE = "delegate"
"""A tool that is an assistant of its own: what it is asked is an order with the call's id for a name."""

PLANS: dict[str, Plan] = {
    "plain": (),
    "look": (("look",),),
    "delegate": (("look", "delegate"), ("pay",)),
    "pay": (("pay",),),
    "all": (("look", "put", "pay", "send", "look"), ("pay", "send")),
    "ask": (("refund", "look"), ("pay",)),
    "write": (("write", "pay"), ("write",)),
    "form": (("pay",),),
}
"""The tools that the model asks for in each step of an order, by its kind. `form` is answered with JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What one request wants. `name` is its own; it is the request id, too."""

    name: str
    kind: str

    @property
    def text(self) -> str:
        return f"{self.name} {self.kind}"

    @classmethod
    def of(cls, text: str) -> Self:
        name, kind = text.split()
        return cls(name=name, kind=kind)

    def answer(self, outcomes: Iterable[tuple[str, Outcome]]) -> str:
        """The model's last words, given tools and what became of their calls in order."""
        became = " ".join(f"{name}={outcome}" for name, outcome in outcomes)
        text = f"{self.name} {self.kind}: {became or 'done'}"
        return json.dumps({"answer": text}) if self.kind == "form" else text

    @property
    def calls(self) -> tuple[str, ...]:
        """The ids of all its calls."""
        plan = PLANS[self.kind]
        return tuple(self.call_id(step, index) for step in range(len(plan)) for index in range(len(plan[step])))

    def call_id(self, step: int, index: int) -> str:
        return f"{self.name}/{step}.{index}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One execution of a tool, as the outside world saw it. `what` is the id of the call; `key` its idempotency key."""

    tool: str
    what: str
    key: str

    @property
    def promise(self) -> Promise:
        return promise(EFFECTS[self.tool])


def promise(effect: Effect) -> Promise:
    """What the effect of a tool promises about executions of one call."""
    match effect:
        case "once" | "transactional":
            return effect
        case "read" | "idempotent":
            return "repeatable"
        case _:
            return "keyed"


class Outside(Protocol):
    """The world in which tools have their effects."""

    async def do(self, deed: Deed, context: ToolContext) -> None: ...


def tools(outside: Outside, *names: str) -> list[FunctionTool[Any, Any]]:
    """The tools of these names, with their effects in `outside`."""
    return [_tool(outside, name) for name in names or EFFECTS]


def _tool(outside: Outside, name: str) -> FunctionTool[Any, Any]:
    async def do(what: str, context: ToolContext) -> str:
        await outside.do(Deed(tool=name, what=what, key=context.idempotency_key), context)
        return f"{name} {what}"

    decorate = tool(name=name, effect=EFFECTS[name], description=name, needs_approval=name == "refund")
    return cast("FunctionTool[Any, Any]", decorate(do))


class Clerk:
    """A model that does what the order plans. Its answer is a function of the request; it refuses malformed ones.

    `around` is called at the beginning and at the end of each request.
    """

    name = "clerk"

    def __init__(self, around: Callable[[str], Any] | None = None) -> None:
        self._around = around

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        await self._point("before")
        items = answer(request)
        if request.stream:
            for word in " ".join(item.text for item in items if isinstance(item, AssistantMessage)).split():
                emit(Token(word))
                await self._point("amid")
        await self._point("after")
        finish = "tool_calls" if any(isinstance(item, ToolCall) for item in items) else "stop"
        return ModelResponse(items=items, usage=Usage(requests=1), model=self.name, finish=finish)

    async def aclose(self) -> None:
        await checkpoint()

    async def _point(self, when: str) -> None:
        await checkpoint()
        if self._around is not None:
            await self._around(when)


def answer(request: ModelRequest) -> tuple[OutputItem, ...]:
    """What the model says or asks for next."""
    check_well_formed(request.items)
    order, since = _last_order(request.items)
    asked = [item for item in since if isinstance(item, ToolCall)]
    plan = PLANS[order.kind]
    planned = 0
    for step, names in enumerate(plan):
        if planned == len(asked):
            return tuple(_call(order, step, index, name) for index, name in enumerate(names))
        planned += len(names)
    assert planned == len(asked), f"{order} has {len(asked)} calls, planned are {planned}"
    if order.kind == "form" and not any(isinstance(item, DeveloperMessage) for item in since):
        return (AssistantMessage(text=f"{order.name}: this is no JSON"),)
    ends: dict[str, Outcome] = {}
    ends.update((item.call_id, item.outcome) for item in since if isinstance(item, ToolAnswer))
    return (AssistantMessage(text=order.answer((call.name, ends[call.call_id]) for call in asked)),)


def _last_order(items: Sequence[Item]) -> tuple[Order, Sequence[Item]]:
    last = max(index for index, item in enumerate(items) if isinstance(item, UserMessage))
    said = items[last]
    assert isinstance(said, UserMessage)
    return Order.of(text_of(said.content)), items[last + 1 :]


def _call(order: Order, step: int, index: int, name: str) -> ToolCall:
    what = order.call_id(step, index)
    arguments = {"message": Order(name=what, kind="pay").text} if name == DELEGATE else {"what": what}
    return ToolCall(call_id=what, name=name, arguments=json.dumps(arguments))
