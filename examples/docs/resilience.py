"""The code of docs/resilience.md: run it, and see what policies do."""

import asyncio
from collections.abc import Sequence

from assistant_kit import (
    Assistant,
    Backup,
    Bulkhead,
    CircuitBreaker,
    Fallback,
    MemoryState,
    ModelUnavailable,
    Policies,
    Quota,
    Quotas,
    RateLimit,
    Retry,
    RuleModel,
    Timeouts,
    guarded,
    tool,
)
from assistant_kit.events import FailureKind
from assistant_kit.protocols.model import Model
from assistant_kit.protocols.policy import ConditionChanged
from assistant_kit.testing.scripted_model import Delay, Fail, ScriptedModel


@tool
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


# --8<-- [start:policies]
def policies(backup: Model) -> Policies:
    return Policies(
        quotas=Quotas(
            Quota("a day's requests", limit=1000, unit="requests", window="day", per="user"), state=MemoryState()
        ),
        bulkhead=Bulkhead(50),
        fallback=Fallback(backup),
        retry=Retry(attempts=2, base=0.1),
        rate_limit=RateLimit(requests_per_minute=500, tokens_per_minute=200_000),
        breaker=CircuitBreaker(failure_rate=0.5),
        timeouts=Timeouts(first_token=30, idle=30),
    )


# --8<-- [end:policies]


# --8<-- [start:spent]
def for_all(model: str, simple: Model, day: int = 500) -> Policies:
    quota = Quota("a day's requests", limit=day, unit="requests", window="day", per="user", models=[model])
    return Policies(
        others=[Fallback(simple, on=["quota"])],
        quotas=Quotas(quota, state=MemoryState()),
        fallback=Fallback(simple),
    )


# --8<-- [end:spent]


# --8<-- [start:choose]
def choosing(large: Model, other: Model) -> Fallback:
    def choose(failure: FailureKind) -> Sequence[Model | Backup]:
        return [Backup(model=large, max_tokens=1_000_000)] if failure == "overflow" else [other]

    return Fallback(choose=choose)


# --8<-- [end:choose]


# --8<-- [start:conditions]
def note(change: ConditionChanged) -> None:
    print(f"{change.name}: {change.before} -> {change.after}")


def watched() -> Policies:
    return Policies(bulkhead=Bulkhead(1, queue=20), on_condition=note)


# --8<-- [end:conditions]


async def ask(assistant: Assistant[str]) -> None:
    # --8<-- [start:delayed]
    async with assistant.stream("Hello") as run:
        async for event in run:
            if event.kind == "delayed":
                print(f"{event.name} is busy ({event.reason}): please wait")
    # --8<-- [end:delayed]


async def beyond_quota() -> None:
    first, simple = ScriptedModel(["a good answer"], name="first"), ScriptedModel(["a short one"], name="simple")
    async with Assistant(first, policies=for_all("first", simple, day=1)) as assistant:
        print((await assistant.run("Hello", user="ann")).output)
        print((await assistant.run("Hello again", user="ann")).output)


async def main() -> None:
    first = ScriptedModel([Fail(ModelUnavailable("down", model="first"))] * 2, name="first")
    nothing_else = RuleModel([], fallback="I cannot answer now. Please try again later.")
    assistant = Assistant(first, tools=[pay], policies=policies(nothing_else))
    print(await assistant.explain())
    print(await assistant.explain("pay"))
    async with assistant, assistant.stream("Hello", user="ann") as run:
        async for event in run:
            if event.kind == "fell_back":
                print(f"{event.to} instead of {event.model}: {event.reason}")
            elif event.kind == "complete":
                print(event.output)
    # --8<-- [start:health]
    health = assistant.health()
    print(health.ok)
    for name, condition in health.conditions.items():
        print(f"{name}: {condition.state}")  # condition.data has the figures
    # --8<-- [end:health]
    busy = [True, True]

    async def fetch() -> str:
        if busy:
            busy.pop()
            raise ModelUnavailable("busy", model="crm")
        return "data"

    # --8<-- [start:alone]
    data = await guarded(fetch, Retry(base=0), CircuitBreaker(), name="crm", effect="read")
    # --8<-- [end:alone]
    print(data)
    busy_model = Assistant(ScriptedModel([Delay(0.05, "Hello."), "Hello again."]), policies=watched())
    async with asyncio.TaskGroup() as readers:
        for _ in range(2):
            readers.create_task(ask(busy_model))
    await beyond_quota()


if __name__ == "__main__":
    asyncio.run(main())
