"""Policies stand in one order, and tell what they do and how they are."""

from dataclasses import replace
from typing import Any

import anyio
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.errors import CircuitOpen, InputError, ModelUnavailable, QuotaExceeded
from assistant_kit.policies.bulkhead import Bulkhead
from assistant_kit.policies.circuit_breaker import CircuitBreaker
from assistant_kit.policies.fallback import Fallback
from assistant_kit.policies.hedge import Hedge
from assistant_kit.policies.quota import Quota, Quotas
from assistant_kit.policies.rate_limit import RateLimit
from assistant_kit.policies.retry import Retry
from assistant_kit.policies.timeouts import Timeouts
from assistant_kit.policy_chain import guarded, through
from assistant_kit.prices import ModelPrice, Prices
from assistant_kit.protocols.policy import Call, ConditionChanged, Proceed, T
from assistant_kit.resilience import Health, Policies, chain_of
from assistant_kit.retry_budget import RetryBudget
from assistant_kit.settings import ModelSettings, Settings
from assistant_kit.shared_states.memory import MemoryState
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import Call as ToolUse
from assistant_kit.testing.scripted_model import CallTools, Delay, Fail, ScriptedModel
from assistant_kit.toolsets.functions import tool

pytestmark = pytest.mark.anyio


class Noting:
    """A policy of an application, which says nothing of itself."""

    def __init__(self, seen: list[Call]) -> None:
        self.seen = seen

    async def around(self, call: Call, proceed: Proceed[T]) -> T:
        self.seen.append(call)
        return await proceed(call)


@tool(effect="read")
def look() -> str:
    """Look."""
    return "seen"


@tool
def pay() -> str:
    """Pay."""
    return "paid"


def all_of_them() -> Policies:
    return Policies(
        quotas=Quotas(Quota("daily", limit=5, unit="requests", window="day"), state=MemoryState()),
        bulkhead=Bulkhead(8),
        fallback=Fallback(ScriptedModel([], name="backup")),
        hedge=Hedge(after=10.0),
        retry=Retry(base=0, budget=RetryBudget(capacity=100)),
        rate_limit=RateLimit(requests_per_minute=600),
        others=[Noting([])],
    )


def test_policies_stand_in_one_order() -> None:
    kinds = [type(policy) for policy in all_of_them().chain()]
    assert kinds == [Noting, Quotas, Bulkhead, Fallback, Hedge, Retry, RateLimit, CircuitBreaker, Timeouts]


def test_by_default_there_are_retries_a_breaker_and_timeouts() -> None:
    assert [type(policy) for policy in chain_of(None)] == [Retry, CircuitBreaker, Timeouts]
    assert chain_of(Policies(retry=None, breaker=None, timeouts=None)) == ()
    assert chain_of([retry := Retry()]) == (retry,)


def test_a_hedge_draws_on_the_budget_of_the_retries_unless_it_has_its_own() -> None:
    own = RetryBudget()
    hedges = [
        policy
        for policies in (all_of_them(), Policies(hedge=Hedge(budget=own)), Policies(hedge=Hedge(), retry=None))
        for policy in policies.chain()
        if isinstance(policy, Hedge)
    ]
    assert hedges[0].budget is not None
    assert hedges[0].budget.capacity == 100
    assert hedges[1].budget is own
    assert hedges[2].budget is None


async def test_a_quota_of_money_covers_the_dearest_model_that_may_answer() -> None:
    dear = ModelPrice(input=10_000, cached_input=10_000, output=10_000, date="2026-11-22", source="test")
    cheap = replace(dear, input=1, cached_input=1, output=1)
    state = MemoryState()
    money = Quota("spending", limit=10_000_000, unit="nanodollars", per="all")
    quotas = Quotas(money, state=state, prices=Prices({"cheap": cheap, "dear": dear}))
    settings = Settings(model=ModelSettings(max_output_tokens=1_000))
    model, backup = ScriptedModel(["hello"], name="cheap"), ScriptedModel([], name="dear")
    await Assistant(model, settings=settings, policies=Policies(quotas=quotas)).run("x")
    with pytest.raises(QuotaExceeded) as caught:
        await Assistant(model, settings=settings, policies=Policies(quotas=quotas, fallback=Fallback(backup))).run("x")
    assert caught.value.needed > 10_000_000


async def test_a_dead_model_is_not_asked_first() -> None:
    """The breaker has opened: the fallback knows without asking."""
    down = ModelUnavailable("down", model="a")
    first = ScriptedModel([Fail(down)] * 4, name="a")
    second = ScriptedModel(["hello"] * 6, name="b")
    breaker = CircuitBreaker(min_calls=4, open_for=60)
    policies = Policies(retry=None, fallback=Fallback(second), breaker=breaker)
    assistant = Assistant(first, policies=policies)
    for _ in range(6):
        assert (await assistant.run("x")).output == "hello"
    first.check()
    assert not assistant.health().ok
    alone = Assistant(first, policies=Policies(retry=None, breaker=breaker))
    with pytest.raises(CircuitOpen):
        await alone.run("x")


async def test_what_applies_to_a_call_is_told_a_line_for_each_policy() -> None:
    assistant = Assistant(ScriptedModel([]), tools=[look, pay], policies=all_of_them())
    lines = (await assistant.explain()).splitlines()
    assert lines[0] == "model:scripted (read)"
    words = ["Noting", "quota", "bulkhead", "fallback", "hedge", "retry", "rate", "breaker", "timeouts"]
    assert len(lines) == 1 + len(words)
    assert all(word.lower() in line.lower() for word, line in zip(words, lines[1:], strict=True))
    assert "never" in await assistant.explain("pay")
    assert "fallback" not in await assistant.explain("look")
    with pytest.raises(InputError):
        await assistant.explain("dance")


async def test_health_gathers_what_policies_watch() -> None:
    assistant = Assistant(ScriptedModel(["hello"]), policies=all_of_them())
    await assistant.run("x", user="u")
    health = assistant.health()
    assert health.ok
    assert {"retry budget"} < {*health.conditions}
    assert Health(conditions={}).ok


async def test_what_changes_in_the_condition_of_policies_is_told_to_the_application() -> None:
    told: list[ConditionChanged] = []
    down = ModelUnavailable("down", model="scripted")
    policies = Policies(
        quotas=Quotas(Quota("daily", limit=5, unit="requests", per="all"), state=MemoryState()),
        bulkhead=Bulkhead(1, queue=1),
        fallback=Fallback(ScriptedModel(["hello"] * 9, name="backup")),
        retry=Retry(base=0, budget=RetryBudget(capacity=1, cost=1)),
        breaker=CircuitBreaker(min_calls=2, open_for=60),
        others=[Noting([])],
        on_condition=told.append,
    )
    with anyio.fail_after(5):
        first, second = (Assistant(ScriptedModel([Fail(down)] * 2), policies=policies) for _ in range(2))
        for assistant in (first, second):
            async with anyio.create_task_group() as runs:
                runs.start_soon(assistant.run, "x")
                runs.start_soon(assistant.run, "x")
    changes: dict[str, list[tuple[str, str]]] = {}
    for change in told:
        changes.setdefault(change.name, []).append((change.before, change.after))
    assert changes["breaker model:scripted"] == [("closed", "open")]
    assert changes["retry budget"][0] == ("ok", "used up")
    assert changes["quota daily"] == [("ok", "low")]
    assert changes["bulkhead model:scripted"][:2] == [("free", "overloaded"), ("overloaded", "free")]
    assert set(changes) < set(first.health().conditions)


async def test_the_reader_of_a_run_is_told_that_a_call_waits() -> None:
    policies = Policies(bulkhead=Bulkhead(1), rate_limit=RateLimit(requests_per_minute=6000, burst=0))
    assistant = Assistant(ScriptedModel([Delay(0.01, "one"), "two"]), policies=policies)
    reasons: list[str] = []

    async def read() -> None:
        async with assistant.stream("x") as run:
            reasons.extend([event.reason async for event in run if event.kind == "delayed"])

    with anyio.fail_after(5):
        async with anyio.create_task_group() as runs:
            runs.start_soon(read)
            runs.start_soon(read)
    assert reasons[0] == "queue"
    assert len(reasons) == len(set(reasons))


async def test_erasing_a_user_reaches_what_policies_keep() -> None:
    state = MemoryState()
    quotas = Quotas(Quota("daily", limit=5, unit="requests", window="day", per="user"), state=state)
    model = ScriptedModel(["hello"] * 2)
    assistant = Assistant(model, store=MemoryStore(), policies=Policies(quotas=quotas))
    await assistant.run("x", user="ann", conversation="c")
    await assistant.run("x", user="bob", conversation="c")
    assert await state.values("ann")
    await assistant.erase_user("ann")
    assert not await state.values("ann")
    assert await state.values("bob")


async def test_closing_an_assistant_closes_the_models_that_its_fallback_has_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    closed: list[Fallback] = []
    aclose = Fallback.aclose

    async def noted(self: Fallback) -> None:
        closed.append(self)
        await aclose(self)

    monkeypatch.setattr(Fallback, "aclose", noted)
    async with Assistant(ScriptedModel([]), policies=Policies(fallback=Fallback("openai:gpt-5.6-mini"))):
        pass
    assert len(closed) == 1


async def test_policies_are_told_whose_call_it_is_and_how_large() -> None:
    seen: list[Call] = []
    model = ScriptedModel([CallTools(ToolUse("look")), "done"])
    assistant = Assistant(model, tools=[look], store=MemoryStore(), policies=[Noting(seen)])
    await assistant.run("x", user="ann", conversation="c", priority="background")
    asked, looked, _ = seen
    assert (asked.kind, asked.user, asked.priority, asked.key) == ("model", "ann", "background", "model:scripted")
    assert asked.prompt_tokens > 0
    assert asked.output_tokens > 0
    assert (looked.kind, looked.name, looked.effect, looked.user, looked.run) == (
        "tool",
        "look",
        "read",
        "ann",
        asked.run,
    )


async def test_any_function_can_be_called_through_policies() -> None:
    made: list[int] = []

    async def fetch() -> str:
        made.append(1)
        await anyio.lowlevel.checkpoint()
        if len(made) < 3:
            raise ModelUnavailable("down", model="crm")
        return "data"

    with anyio.fail_after(5):
        assert await guarded(fetch, Retry(base=0), name="crm", effect="read") == "data"
    made.clear()
    with pytest.raises(ModelUnavailable):  # without a word on its effect it is not repeated
        await guarded(fetch, Retry(base=0), name="crm")
    seen: list[Call] = []
    made[:] = [1, 1]
    await guarded(fetch, Noting(seen), name="crm", call=Call(name="", user="ann"))
    assert (seen[0].name, seen[0].user, seen[0].effect) == ("crm", "ann", "once")


async def test_without_policies_a_call_is_just_made() -> None:
    async def make(call: Call) -> Any:
        await anyio.lowlevel.checkpoint()
        return call

    call = Call(name="x")
    assert await through((), call, make) is call


async def test_a_tool_that_only_reads_is_called_again_when_its_connection_breaks() -> None:
    made: list[str] = []

    @tool(effect="read")
    async def fetch() -> str:
        """Fetch."""
        made.append("fetch")
        if len(made) < 3:
            raise ConnectionResetError
        return "data"

    @tool
    async def send() -> str:
        """Send."""
        made.append("send")
        raise ConnectionResetError

    model = ScriptedModel([CallTools(ToolUse("fetch")), CallTools(ToolUse("send")), "done"])
    with anyio.fail_after(5):
        result = await Assistant(model, tools=[fetch, send], policies=Policies(retry=Retry(base=0))).run("x")
    assert [call.outcome for call in result.tool_calls] == ["ok", "error"]
    assert made == ["fetch"] * 3 + ["send"]


async def test_a_tool_that_never_answers_opens_its_breaker() -> None:
    @tool(effect="read", timeout=0.01)
    async def hang() -> str:
        """Hang."""
        await anyio.sleep(60)
        return "never"

    model = ScriptedModel([*[CallTools(ToolUse("hang"))] * 4, "done"])
    breaker = CircuitBreaker(min_calls=3, failure_rate=0.9, open_for=60)
    with anyio.fail_after(5):
        result = await Assistant(model, tools=[hang], policies=Policies(retry=None, breaker=breaker)).run("x")
    assert [call.outcome for call in result.tool_calls] == ["error"] * 4
    assert breaker.is_open("tool:hang")
