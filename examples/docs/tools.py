"""Tools of every kind, called by a scripted model so that what the model reads can be seen."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from assistant_kit import Assistant, Image, Text, ToolContext, ToolError, keyed, tool
from assistant_kit.messages import Part
from assistant_kit.testing.scripted_model import Call, CallTools, ScriptedModel


# --8<-- [start:plain]
def convert(amount: float, to: Literal["EUR", "NOK"]) -> str:
    """Convert US dollars.

    Args:
        amount: Dollars.
    """
    return f"{amount * {'EUR': 0.9, 'NOK': 10.0}[to]:.2f} {to}"


# --8<-- [end:plain]


# --8<-- [start:types]
@dataclass
class Line:
    article: str
    count: Annotated[int, Field(ge=1, description="pieces, not boxes")]


@tool(effect="read", timeout=5)
async def price(lines: list[Line], coupon: str | None = None) -> dict[str, float]:
    """What an order would cost."""
    total = 2.5 * sum(line.count for line in lines)
    return {"total": total, "discount": 1.0 if coupon else 0.0}


# --8<-- [end:types]


LIMIT = 100


# --8<-- [start:effect]
@tool(effect=keyed(24 * 3600), needs_approval=False)
async def pay(amount: float, context: ToolContext) -> str:
    """Pay an amount from the user's account."""
    if amount > LIMIT:
        raise ToolError("Payments above 100 need a new sign-in. Ask the user to sign in.")
    # A payment service drops repeats of a key that it has seen: hand it over.
    return f"paid {amount} for {context.user}, key of {len(context.idempotency_key)} letters"


# --8<-- [end:effect]


# --8<-- [start:progress]
@tool(effect="idempotent")
async def export(years: list[int], context: ToolContext) -> str:
    """Write the books of these years to the archive."""
    for done, year in enumerate(years, start=1):
        await asyncio.sleep(0)  # the work itself
        context.report_progress(done, len(years), f"{year} is written")
    return f"{len(years)} years are written"


# --8<-- [end:progress]


# --8<-- [start:parts]
@tool(effect="read")
def chart(city: str) -> Sequence[str | Part]:
    """A chart of the temperatures in a city."""
    return [f"Temperatures in {city}:", Image(data=b"\x89PNG", media_type="image/png")]


# --8<-- [end:parts]


# --8<-- [start:bound]
class Shelf:
    def __init__(self) -> None:
        self.books = ["Emma", "Dracula"]

    def find(self, title: str) -> str:
        """Find a book."""
        return "here" if title in self.books else "not here"


def send(sender: str, to: str, text: str) -> str:
    """Send a message."""
    return f"{sender} to {to}: {text}"


shelf = Shelf()
bound = [shelf.find, partial(send, "shop@example.org")]  # the model chooses `to` and `text`, not the sender
# --8<-- [end:bound]

CALLS = [
    Call("convert", {"amount": 3, "to": "NOK"}),
    Call("convert", {"amount": "three", "to": "GBP"}),
    Call("price", {"lines": [{"article": "tea", "count": 2}]}),
    Call("price", {"lines": [{"article": "tea", "count": 0}]}),
    Call("pay", {"amount": 20}),
    Call("pay", {"amount": 200}),
    Call("export", {"years": [2025, 2026]}),
    Call("chart", {"city": "Oslo"}),
    Call("find", {"title": "Emma"}),
    Call("send", {"to": "ann@example.org", "text": "Hello"}),
]


async def main() -> None:
    with ScriptedModel([CallTools(*CALLS), "Done."]) as model:
        async with Assistant(model, tools=[convert, price, pay, export, chart, *bound]) as assistant:
            result = await assistant.run("Go.", user="ann")
    for call in result.tool_calls:
        shown = [part.text if isinstance(part, Text) else part.kind for part in call.content]
        print(call.tool, call.outcome, *shown, sep=" | ")


if __name__ == "__main__":
    asyncio.run(main())
