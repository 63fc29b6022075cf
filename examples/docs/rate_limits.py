"""Calls that stay within a rate: of a model, of any function, and of several workers together."""

import asyncio
from math import ceil

from assistant_kit import Assistant, CallRefused, guarded
from assistant_kit.policies.rate_limit import RateLimit
from assistant_kit.policies.retry import Retry
from assistant_kit.protocols.shared_state import SharedState
from assistant_kit.shared_states.memory import MemoryState
from assistant_kit.testing.scripted_model import ScriptedModel

# --8<-- [start:limit]
limit = RateLimit(requests_per_minute=2, tokens_per_minute=200_000)
# --8<-- [end:limit]


# --8<-- [start:refused]
async def answer(assistant: Assistant[str], text: str) -> str:
    try:
        return (await assistant.run(text, timeout=10)).output
    except CallRefused as error:  # RateLimitReached: ten seconds are not enough for the wait; nothing was sent
        return f"Busy: try again in {ceil((error.retry_after or 60) / 60)} minute."


# --8<-- [end:refused]


# --8<-- [start:shared]
def limit_of_all_workers(state: SharedState) -> RateLimit:
    return RateLimit(requests_per_minute=500, tokens_per_minute=200_000, state=state, share=4)


# --8<-- [end:shared]


async def main() -> None:
    with ScriptedModel(["Hello.", "Hello again."]) as model:
        # --8<-- [start:assistant]
        assistant = Assistant(model, policies=[Retry(), limit])
        # --8<-- [end:assistant]
        async with assistant:
            for text in ("Hello", "And again", "Once more"):
                print(await answer(assistant, text))

    # --8<-- [start:health]
    for name, condition in limit.health().items():
        print(name, condition.state, condition.data["requests_left"], "of", condition.data["requests_per_minute"])
    # --8<-- [end:health]

    async def look_up() -> str:
        return "found"

    # --8<-- [start:function]
    evenly = RateLimit(requests_per_minute=6000, burst=0, kinds=("other",))  # one every 10 ms
    found = [await guarded(look_up, evenly, name="crm", effect="read") for _ in range(3)]
    # --8<-- [end:function]
    print(found)

    state = MemoryState()  # in one process; SQLiteState, PostgresState or RedisState for several
    workers = [limit_of_all_workers(state) for _ in range(4)]
    with ScriptedModel(["One.", "Two.", "Three.", "Four."]) as model:
        for worker in workers:
            await Assistant(model, policies=[worker]).run("Count")
    print([condition.data["requests_left"] for condition in workers[-1].health().values()])


if __name__ == "__main__":
    asyncio.run(main())
