"""A rule-based model for a lamp shop: a rule with a tool, one with steps, and one that only talks."""

import asyncio

from assistant_kit import Assistant, Rule, RuleModel, tool
from assistant_kit.models.rule_model import Ask, Match, Steps

STOCK = {"desk lamp": 3, "floor lamp": 0}


@tool(effect="read")
def stock(item: str) -> dict[str, int]:
    """How many of an item there are."""
    return {"count": STOCK.get(item.lower(), 0)}


@tool
def order(item: str, count: int) -> str:
    """Order some of an item."""
    STOCK[item.lower()] -= count
    return f"{count} x {item}"


def order_if_there(match: Match) -> Steps:
    """Look at the stock before ordering."""
    item, count = match.text("item"), int(match.text("count") or 1)
    found = yield Ask("stock", {"item": item})
    if found.record["count"] < count:
        return f"There are only {found.record['count']} of {item}."
    placed = yield Ask("order", {"item": item, "count": count})
    return f"Ordered: {placed.text}." if placed.ok else f"Not ordered: {placed.text}"


model = RuleModel(
    [
        Rule(
            "how many {item}s (are there|do you have)",
            tool="stock",
            answer="We have {result.count} of {item}.",
            example="how many desk lamps do you have?",
        ),
        Rule(
            ["order {count:int} {item}s", "order [a|an|one] {item}"],
            steps=order_if_there,
            example="order 2 desk lamps",
        ),
        Rule("(hello|hi) [there]", answer="Welcome to the lamp shop."),
    ],
    filler=["please", "(can|could) you"],
)


async def main() -> None:
    async with Assistant(model, tools=[stock, order]) as shop:
        for message in (
            "Hi, how many desk lamps do you have?",
            "Could you order 2 desk lamps and order a floor lamp, please?",
            "Sing me a song!",
        ):
            print(">", message)
            print((await shop.run(message)).output)


if __name__ == "__main__":
    asyncio.run(main())
