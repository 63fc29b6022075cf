"""A tool that waits for a person's decision."""

import asyncio

from assistant_kit import Assistant, tool
from assistant_kit.testing.scripted_model import Call, CallTools, ScriptedModel


# --8<-- [start:approval]
@tool(needs_approval=True)
def delete_account(name: str) -> str:
    """Delete an account for good."""
    return f"{name} is gone"


async def ask_first(assistant: Assistant[str]) -> None:
    conversation = assistant.conversation("c1", user="ann")
    result = await conversation.run("Delete the account of Bob.")
    print(result.status, [(call.tool, call.arguments) for call in result.waiting_for])

    for call in result.waiting_for:
        await conversation.approve(call.call_id, by="ann")  # or deny(…)
    print((await conversation.resume()).output)


# --8<-- [end:approval]


async def main() -> None:
    with ScriptedModel([CallTools(Call("delete_account", {"name": "Bob"})), "Bob's account is deleted."]) as model:
        async with Assistant(model, tools=[delete_account], store="memory:") as assistant:
            await ask_first(assistant)


if __name__ == "__main__":
    asyncio.run(main())
