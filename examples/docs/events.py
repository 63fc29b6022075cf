"""A reader of events that handles every kind, and what it sees when a model breaks off."""

import asyncio
from typing import assert_never

from assistant_kit import Assistant, Event, ModelBroke, ModelUnavailable, Retry, tool
from assistant_kit.testing.scripted_model import Call, CallTools, Cut, Fail, ScriptedModel


# --8<-- [start:all]
def line(event: Event) -> str:  # noqa: C901, PLR0912  (one branch a kind)
    match event.kind:
        case "token":
            return f"+ {event.text}"
        case "reasoning_token" | "refusal_token":
            return f"({event.text})"
        case "tool_request":
            return f"> {event.tool} {event.arguments}"
        case "tool_progress":
            return f". {event.tool} {event.progress:g} of {event.total}: {event.message}"
        case "tool_result":
            return f"< {event.tool} {event.outcome}: {event.text}"
        case "approval_required":
            return f"? {event.tool} {event.arguments}"
        case "text_retracted":
            return f"- {event.text}"
        case "retrying":
            return f"again, attempt {event.attempt}: {event.error}"
        case "delayed":
            return f"{event.name} waits ({event.reason}), perhaps {event.expected} s"
        case "fell_back":
            return f"{event.to} instead of {event.model}: {event.reason}"
        case "toolset_unavailable":
            return f"without {event.toolset}: {event.reason}"
        case "compacted":
            return f"shown less: {event.strategy}"
        case "complete":
            return f"{event.status}: {event.output}"
        case "error":
            return f"failed: {event.error}"
        case _:
            assert_never(event)


# --8<-- [end:all]


@tool(effect="read")
def weather(city: str) -> str:
    """Today's weather."""
    return f"rain in {city}"


async def main() -> None:
    script = [
        CallTools(Call("weather", {"city": "Oslo"})),
        Fail(ModelUnavailable("overloaded", model="scripted")),
        Cut(after="It will ", error=ModelBroke("the answer was cut off", model="scripted")),
    ]
    with ScriptedModel(script) as model:
        assistant = Assistant(model, tools=[weather], policies=[Retry(base=0)])
        async with assistant, assistant.stream("Rain in Oslo?") as run:
            # --8<-- [start:read]
            try:
                async for event in run:
                    print(line(event))
            except ModelBroke as error:
                print("raised:", error)
            # --8<-- [end:read]


if __name__ == "__main__":
    asyncio.run(main())
