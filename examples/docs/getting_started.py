"""A stored conversation with a tool and a stream, without a network: rules stand in for the model."""

import asyncio
import tempfile
from pathlib import Path

# --8<-- [start:tool]
from assistant_kit import Assistant, Rule, RuleModel, tool


@tool(effect="read")
def weather(city: str, days: int = 1) -> str:
    """The weather in a city.

    Args:
        city: The name of the city, in English.
        days: How many days from today.
    """
    return f"rain in {city} for {days} days"


# --8<-- [end:tool]

# --8<-- [start:rules]
rules = RuleModel(
    [
        Rule("[will it] rain in {city}", tool="weather", answer="It says: {result}."),
        Rule("[what about] {city} for {days:int} days", tool="weather", answer="It says: {result}."),
    ]
)
# --8<-- [end:rules]


# --8<-- [start:run]
async def one_off() -> None:
    async with Assistant(rules, instructions="Answer briefly.", tools=[weather]) as assistant:
        result = await assistant.run("Rain in Oslo?")
        print(result.output)
        print([(call.tool, call.arguments, call.outcome) for call in result.tool_calls])


# --8<-- [end:run]


# --8<-- [start:stored]
async def stored(database: Path) -> None:
    async with Assistant(rules, tools=[weather], store=f"sqlite:///{database}") as assistant:
        conversation = assistant.conversation("trip", user="ann")
        await conversation.run("Rain in Oslo?", request_id="message-1")
        await conversation.run("Rain in Oslo?", request_id="message-1")  # sent again: nothing runs twice
        for turn in await conversation.history():
            print(turn.input, "->", turn.text)


# --8<-- [end:stored]


# --8<-- [start:stream]
async def streamed(database: Path) -> None:
    async with Assistant(rules, tools=[weather], store=f"sqlite:///{database}") as assistant:
        conversation = assistant.conversation("trip", user="ann")
        async with conversation.stream("What about Rome for 3 days?") as run:
            async for event in run:
                match event.kind:
                    case "token":
                        print(event.text, end="")
                    case "tool_request":
                        print(f"[{event.tool} {event.arguments}]")
                    case "complete":
                        print(f"\n({event.usage.requests} requests)")
                    case _:
                        pass


# --8<-- [end:stream]


# --8<-- [start:sync]
def without_await() -> None:
    with Assistant(rules, tools=[weather]).sync as assistant:
        print(assistant.run("Rain in Oslo?").output)


# --8<-- [end:sync]


async def main() -> None:
    await one_off()
    with tempfile.TemporaryDirectory() as folder:
        await stored(Path(folder) / "chat.db")
        await streamed(Path(folder) / "chat.db")


if __name__ == "__main__":
    asyncio.run(main())
    without_await()
