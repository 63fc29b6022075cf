"""What a web view may do about each kind of error."""

import asyncio

from assistant_kit import (
    Assistant,
    AssistantKitError,
    ConversationBusy,
    InputError,
    ModelError,
    ModelRateLimited,
    ModelUnavailable,
)
from assistant_kit.testing.scripted_model import Fail, ScriptedModel


# --8<-- [start:view]
async def answer(assistant: Assistant[str], text: str) -> tuple[int, str]:
    try:
        return 200, (await assistant.run(text, user="ann", conversation="c1")).output
    except InputError as error:  # what the user sent cannot be used; its text is fit to show
        return 400, str(error)
    except ConversationBusy as error:  # another run holds the conversation
        return 409, f"Try again in {error.retry_after:.0f} s."
    except ModelRateLimited as error:  # after the retries that fit into the run's time
        return 503, f"Try again in {error.retry_after or 60:.0f} s."
    except ModelError as error:
        return 502, f"The model {error.model} cannot answer now."
    except AssistantKitError:  # everything else that this library raises
        return 500, "Something went wrong."


# --8<-- [end:view]


async def main() -> None:
    failures = [ModelRateLimited("slow down", model="m", retry_after=7), ModelUnavailable("down", model="m")]
    with ScriptedModel([Fail(failure) for failure in failures]) as model:
        async with Assistant(model, store="memory:", policies=[]) as assistant:
            for text in ("", "Hello", "Hello again"):
                print(*await answer(assistant, text))


if __name__ == "__main__":
    asyncio.run(main())
