"""The two workloads, as the server answers them and as every peer must have seen them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from tests.openai_server import Answer, Call, Reply, Request, Usage

Wire: TypeAlias = Literal["chat", "responses"]
Work: TypeAlias = Literal["turn", "token"]

TOKENS = 2000
MODEL = "bench-model"
INSTRUCTIONS = "You are a travel assistant. Use the tools; answer briefly."
QUESTION = "What should I pack for Oslo, Bergen and Rome, and which of them is cheapest to reach this week?"
FINAL_TEXT = "Pack a raincoat for Oslo and Bergen, and sunglasses for Rome; Oslo is cheapest to reach this week."
STEPS: tuple[tuple[Call, ...], ...] = (
    (Call("weather", {"city": "Oslo", "days": 3}), Call("weather", {"city": "Bergen", "days": 3})),
    (
        Call("price", {"origin": "Berlin", "destination": "Oslo"}),
        Call("price", {"origin": "Berlin", "destination": "Bergen"}),
        Call("price", {"origin": "Berlin", "destination": "Rome"}),
    ),
    (Call("weather", {"city": "Rome", "days": 3}),),
)
TOOL_CALLS = sum(len(step) for step in STEPS)
_PIECES = tuple(f" word{index % 97}" for index in range(TOKENS))
STREAMED_TEXT = "".join(_PIECES)
_STREAMED = Answer(pieces=_PIECES, usage=Usage(input=40, output=TOKENS))


async def weather(city: str, days: int) -> str:
    """Forecast for a city."""
    return f"{city}: rain for {days} days, 7 degrees"


async def price(origin: str, destination: str) -> str:
    """Cheapest ticket between two cities."""
    return f"{origin} to {destination}: {len(destination) * 20} EUR"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one operation came to; the runner compares it with what is right."""

    text: str
    tool_calls: int = 0
    tokens: int = 0


EXPECTED: dict[Work, Outcome] = {
    "turn": Outcome(FINAL_TEXT, tool_calls=TOOL_CALLS),
    "token": Outcome(STREAMED_TEXT, tokens=TOKENS),
}


def reply(request: Request) -> Reply:
    """The server's script: the long stream for the token workload, else the next step of the turn.

    A turn that is streamed is recognised by its tools.
    """
    if request.streamed and not request.body.get("tools"):
        return _STREAMED
    items: list[dict[str, Any]] | str = request.body.get("messages") or request.body["input"]
    answered = (
        0
        if isinstance(items, str)
        else sum(item.get("role") == "tool" or item.get("type") == "function_call_output" for item in items)
    )
    for step in STEPS:
        if answered == 0:
            return Answer(tool_calls=step, usage=Usage(input=120, output=30))
        answered -= len(step)
    return Answer(FINAL_TEXT, usage=Usage(input=300, output=25))
