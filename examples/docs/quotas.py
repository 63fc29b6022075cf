"""What a user may use in a day, and what everybody may cost in a month."""

import asyncio

from assistant_kit import Assistant, QuotaExceeded, Usage
from assistant_kit.policies.quota import Quota, Quotas
from assistant_kit.prices import ModelPrice, Prices
from assistant_kit.protocols.policy import Call
from assistant_kit.shared_states.memory import MemoryState
from assistant_kit.testing.scripted_model import Say, ScriptedModel

DOLLAR = 1_000_000_000  # in billionths

state = MemoryState()  # for one process; SQLiteState, PostgresState or RedisState for several

# --8<-- [start:prices]
prices = Prices(
    {
        "scripted": ModelPrice(  # $1.25, $0.125 and $10 per million tokens
            input=1250, cached_input=125, output=10_000, date="2026-11-22", source="our contract"
        )
    }
)
# --8<-- [end:prices]

# --8<-- [start:limits]
quotas = Quotas(
    Quota("requests", limit=3, unit="requests", window="minute"),
    Quota("tokens", limit=200_000, unit="tokens", window="day"),
    Quota("spending", limit=500 * DOLLAR, unit="nanodollars", window="month", per="all"),
    state=state,
    prices=prices,
)
# --8<-- [end:limits]


# --8<-- [start:refused]
async def answer(assistant: Assistant[str], text: str, user: str) -> tuple[int, str]:
    try:
        return 200, (await assistant.run(text, user=user, conversation="c1")).output
    except QuotaExceeded as error:
        return 429, f"{error.left} {error.unit} are left of {error.quota}."  # and Retry-After: error.retry_after


# --8<-- [end:refused]


# --8<-- [start:tenant]
def shop(call: Call) -> str | None:
    """The part of a user's name behind the @; users without one have no shop, and no such quota."""
    return (call.user or "").partition("@")[2] or None


per_shop = Quota("shop", limit=10_000, unit="requests", per=shop)
# --8<-- [end:tenant]


async def main() -> None:
    steps = [Say("Hello.", usage=Usage(requests=1, input_tokens=40, output_tokens=3))] * 4
    with ScriptedModel(steps) as model:
        async with Assistant(model, store="memory:", policies=[quotas]) as assistant:
            for user in ("ann", "ann", "ann", "ann", "bob"):
                print(user, *await answer(assistant, "Hello", user))
    # --8<-- [start:standing]
    for standing in await quotas.standing(user="ann"):
        print(f"{standing.name}: {standing.used} {standing.unit} used, {standing.left} left")
    # --8<-- [end:standing]


if __name__ == "__main__":
    asyncio.run(main())
