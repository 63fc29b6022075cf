"""An assistant with one tool and a rule-based model: runs offline. "openai:gpt-5.6-luna" may stand in its place."""

import asyncio

from assistant_kit import Assistant, Rule, RuleModel, tool


@tool(effect="read")
def weather(city: str) -> str:
    """Today's weather in a city."""
    return f"sunny in {city}"


model = RuleModel([Rule("(how is|what's) the weather in {city}", tool="weather", answer="It is {result}.")])


async def main() -> None:
    async with Assistant(model, instructions="Answer briefly.", tools=[weather], store="memory:") as assistant:
        result = await assistant.run("How is the weather in Oslo?", user="ada", conversation="c1")
        print(result.output, [call.tool for call in result.tool_calls])


asyncio.run(main())
