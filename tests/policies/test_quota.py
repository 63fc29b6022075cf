"""Quotas hold under concurrency: the worst case is reserved before a call, and what was used is settled after it."""

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import anyio
import pytest
from anyio.lowlevel import checkpoint

from assistant_kit import Assistant
from assistant_kit.errors import (
    ConfigurationError,
    InputError,
    ModelBroke,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelTimeout,
    ModelUnavailable,
    QuotaExceeded,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
)
from assistant_kit.events import Delayed, Event, FellBack, Retrying, TextRetracted
from assistant_kit.messages import AssistantMessage
from assistant_kit.policies.quota import Quota, Quotas, Standing, Unit
from assistant_kit.policy_chain import guarded, through
from assistant_kit.prices import ModelPrice, Prices
from assistant_kit.protocols.model import ModelResponse, Progress
from assistant_kit.protocols.policy import (
    Call,
    CallKind,
    ClosingPolicy,
    ConditionChanged,
    ExplainedPolicy,
    Policy,
    ReportingPolicy,
    WatchedPolicy,
)
from assistant_kit.protocols.shared_state import Change, Changed, SharedState, T
from assistant_kit.protocols.user_data import Keeper
from assistant_kit.shared_states.memory import MemoryState
from assistant_kit.testing.scripted_model import Say, ScriptedModel
from assistant_kit.usage import Usage
from tests.policies.timing import in_virtual_time

Main: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
Loop: TypeAlias = Literal["asyncio", "trio"]
Mood: TypeAlias = Literal["well", "down", "lost", "hangs", "hangs after"]

CHEAP = ModelPrice(input=10, cached_input=1, output=100, date="2026-11-22", source="a test")
DEAR = ModelPrice(input=20, cached_input=2, output=200, date="2026-11-22", source="a test")
PRICES = Prices({"cheap": CHEAP, "dear": DEAR})


@pytest.fixture(params=["asyncio", "trio"])
def virtually(request: pytest.FixtureRequest) -> Callable[[Main], None]:
    """Run a function in virtual time, on each event loop."""

    def run(main: Main) -> None:
        in_virtual_time(request.param, main)

    return run


@dataclass
class Place:
    """A shared place in memory, on the virtual clock; it does what `plan` says, and then what its `mood` is.

    "lost" makes the change and reports a failure, "hangs after" makes it and never answers.
    """

    mood: Mood = "well"
    plan: list[Mood] = field(default_factory=list[Mood])
    memory: MemoryState = field(default_factory=lambda: MemoryState(clock=anyio.current_time))

    async def update(self, owner: str, key: str, change: Change[T]) -> T:
        mood = self.plan.pop(0) if self.plan else self.mood
        if mood == "down":
            raise StoreUnavailable("no connection")
        if mood == "hangs":
            await anyio.sleep_forever()
        result = await self.memory.update(owner, key, change)
        if mood == "lost":
            raise StoreUnavailable("the connection broke")
        if mood == "hangs after":
            await anyio.sleep_forever()
        return result

    async def values(self, owner: str) -> Mapping[str, bytes]:
        return await self.memory.values(owner)

    async def erase(self, owner: str) -> None:
        await self.memory.erase(owner)

    async def aclose(self) -> None:
        """Free nothing."""


def call(
    user: str | None = "ann",
    *,
    name: str = "cheap",
    kind: CallKind = "model",
    prompt: int = 100,
    output: int = 50,
    shown: str | None = None,
    used: Usage | None = None,
) -> Call:
    usage: Callable[[Any], Usage] = (lambda response: response.usage) if used is None else (lambda _: used)
    progress = Progress() if shown is None else Progress(started=True, text=[shown])
    return Call(
        kind=kind, name=name, user=user, prompt_tokens=prompt, output_tokens=output, progress=progress, usage=usage
    )


def answer(model: str = "cheap", *, prompt: int = 80, cached: int = 0, output: int = 20) -> ModelResponse:
    usage = Usage(requests=1, input_tokens=prompt, cached_tokens=cached, output_tokens=output)
    return ModelResponse(items=(AssistantMessage(text="yes"),), usage=usage, model=model)


def giving(result: ModelResponse) -> Callable[[Call], Awaitable[ModelResponse]]:
    async def proceed(_: Call) -> ModelResponse:
        await checkpoint()
        return result

    return proceed


def raising(error: BaseException) -> Callable[[Call], Awaitable[ModelResponse]]:
    async def proceed(_: Call) -> ModelResponse:
        await checkpoint()
        raise error

    return proceed


def limited(limit: int = 1000, *, unit: Unit = "tokens", state: SharedState | None = None, lease: float = 60) -> Quotas:
    return Quotas(Quota("q", limit=limit, unit=unit), state=state or Place(), prices=PRICES, lease=lease)


async def stands(quotas: Quotas, user: str | None = "ann") -> tuple[int, int]:
    """Return what is used and what is reserved."""
    (standing,) = await quotas.standing(user=user)
    return standing.used, standing.reserved


# --- how much


def test_of_many_calls_at_once_exactly_as_many_are_made_as_the_quota_allows(virtually: Callable[[Main], None]) -> None:
    async def main() -> None:
        quotas, made, refused = limited(100, unit="requests"), list[Call](), list[QuotaExceeded]()

        async def proceed(made_call: Call) -> ModelResponse:
            made.append(made_call)
            await anyio.sleep(7)
            return answer()

        async def one() -> None:
            try:
                await quotas.around(call(), proceed)
            except QuotaExceeded as error:
                refused.append(error)

        async with anyio.create_task_group() as group:
            for _ in range(500):
                group.start_soon(one)
        assert (len(made), len(refused)) == (100, 400)
        assert {(error.quota, error.unit, error.needed, error.left) for error in refused} == {("q", "requests", 1, 0)}
        assert all(86_400 - 7 <= cast("float", error.retry_after) <= 86_400 for error in refused)
        assert await stands(quotas) == (100, 0)

    virtually(main)


@pytest.mark.parametrize(
    ("unit", "worst", "used"),
    [("requests", 1, 1), ("tokens", 150, 100), ("nanodollars", 100 * 10 + 50 * 100, 50 * 10 + 30 * 1 + 20 * 100)],
)
def test_the_worst_case_is_reserved_and_what_was_used_is_booked(
    virtually: Callable[[Main], None], unit: Unit, worst: int, used: int
) -> None:
    async def main() -> None:
        quotas: Policy = limited(10_000, unit=unit)
        assert isinstance(quotas, Quotas)

        async def proceed(_: Call) -> ModelResponse:
            assert await stands(quotas) == (0, worst)
            return answer(cached=30)

        assert (await quotas.around(call(), proceed)).text == "yes"
        assert await stands(quotas) == (used, 0)

    virtually(main)


def test_a_call_that_used_more_than_was_reserved_is_booked_as_it_was(virtually: Callable[[Main], None]) -> None:
    async def main() -> None:
        quotas = limited(200)
        await quotas.around(call(), giving(answer(prompt=100, output=500)))
        (standing,) = await quotas.standing(user="ann")
        assert (standing.used, standing.left) == (600, 0)
        with pytest.raises(QuotaExceeded) as caught:
            await quotas.around(call(prompt=0, output=0), giving(answer()))
        assert (caught.value.needed, caught.value.left) == (1, 0)

    virtually(main)


def test_what_a_server_does_not_report_is_booked_as_it_was_reserved(virtually: Callable[[Main], None]) -> None:
    async def main() -> None:
        quotas = limited()
        await quotas.around(call(used=Usage(reported=False)), giving(answer()))
        assert await stands(quotas) == (150, 0)
        await quotas.around(Call(kind="model", name="cheap", user="ann", prompt_tokens=7), giving(answer()))
        assert await stands(quotas) == (157, 0)
        await quotas.around(call(used=Usage(input_tokens=900, reported=False)), giving(answer()))
        assert await stands(quotas) == (1057, 0)

    virtually(main)


def test_two_requests_for_one_answer_are_two_requests(virtually: Callable[[Main], None]) -> None:
    async def main() -> None:
        quotas = limited(10, unit="requests")
        await quotas.around(call(used=Usage(requests=2)), giving(answer()))
        await quotas.around(call(used=Usage()), giving(answer()))
        assert await stands(quotas) == (3, 0)

    virtually(main)


# --- money


def test_money_is_booked_by_the_model_that_answered(virtually: Callable[[Main], None]) -> None:
    async def main() -> None:
        quotas = limited(1_000_000, unit="nanodollars")
        await quotas.around(call(), giving(answer("dear-2026-01-01")))
        assert await stands(quotas) == (80 * 20 + 20 * 200, 0)

    virtually(main)


def test_the_worst_case_is_that_of_the_dearest_model_that_may_answer(virtually: Callable[[Main], None]) -> None:
    async def main() -> None:
        quota = Quota("q", limit=1_000_000, unit="nanodollars")
        quotas = Quotas(quota, state=Place(), prices=PRICES, fallbacks=["dear"])

        async def proceed(_: Call) -> ModelResponse:
            assert await stands(quotas) == (0, 100 * 20 + 50 * 200)
            return answer("whatever the server calls it")

        await quotas.around(call(), proceed)
        assert await stands(quotas) == (80 * 20 + 20 * 200, 0)  # nobody knows its price: the dearest

    virtually(main)


def test_the_model_that_is_asked_names_the_price(virtually: Callable[[Main], None]) -> None:
    async def main() -> None:
        quotas = limited(1_000_000, unit="nanodollars")
        asked = Call(kind="model", name="x", user="ann", prompt_tokens=1, model=ScriptedModel([], name="p:dear"))
        await quotas.around(asked, giving(answer()))
        assert await stands(quotas) == (20, 0)

    virtually(main)


@pytest.mark.anyio
async def test_a_model_whose_price_nobody_knows_is_not_asked_when_money_is_limited() -> None:
    quotas = limited(unit="nanodollars")
    with anyio.fail_after(5), pytest.raises(ConfigurationError):
        await quotas.around(call(name="unknown"), raising(AssertionError("asked")))
    assert "unknown number" in quotas.explain(call(name="unknown"))
    with pytest.raises(ConfigurationError):
        Quotas(Quota("q", limit=1, unit="nanodollars"), state=MemoryState(), fallbacks=["unknown"])


# --- calls that do not end well


@pytest.mark.parametrize(
    ("shown", "unit", "booked"),
    [
        (None, "tokens", 0),
        ("", "tokens", 101),
        ("ten letter", "tokens", 104),
        ("x" * 10_000, "tokens", 150),
        ("ten letter", "nanodollars", 100 * 10 + 4 * 100),
        ("ten letter", "requests", 1),
    ],
)
@pytest.mark.parametrize("end", ["fails", "is left"])
def test_a_call_that_fails_or_is_left_costs_what_its_reader_has_seen(
    virtually: Callable[[Main], None], shown: str | None, unit: Unit, booked: int, end: str
) -> None:
    async def main() -> None:
        quotas, error = limited(100_000, unit=unit), ModelUnavailable("down", model="cheap")

        async def proceed(_: Call) -> ModelResponse:
            await anyio.sleep(1)
            if end == "fails":
                raise error
            await anyio.sleep_forever()
            raise AssertionError

        with anyio.move_on_after(2) as scope:
            with pytest.raises(ModelUnavailable) as caught:
                await quotas.around(call(shown=shown), proceed)
            assert caught.value is error
        assert scope.cancelled_caught == (end == "is left")
        assert await stands(quotas) == (booked, 0)

    virtually(main)


BROKE = ModelBroke("cut off", model="cheap")
LATE = ModelTimeout("late", model="cheap")
PROMPT = 100 * 10
"""What the prompt of a call costs with the cheap model; a token that it writes costs 100."""


@pytest.mark.parametrize(
    ("events", "lost"),
    [
        ([], 0),
        ([Retrying(attempt=2, delay=1.0, error=ModelUnavailable("down", model="cheap"))], 0),
        ([Retrying(attempt=2, delay=1.0, error=ModelRateLimited("slow down", model="cheap"))], 0),
        ([Retrying(attempt=2, delay=1.0, error=LATE)], PROMPT),
        ([Retrying(attempt=2, delay=1.0, error=LATE), Retrying(attempt=3, delay=1.0, error=BROKE)], 2 * PROMPT),
        ([FellBack(model="cheap", to="dear", reason="outage", error=BROKE)], PROMPT),
        ([FellBack(model="cheap", to="dear", reason="refusal", error=None)], PROMPT),
        (
            [
                TextRetracted(text="ten letter"),
                FellBack(
                    model="cheap", to="dear", reason="outage", error=ModelUnavailable("overloaded", model="cheap")
                ),
            ],
            PROMPT + 4 * 100,
        ),
        (
            [
                TextRetracted(text="ten letter"),
                Retrying(attempt=2, delay=1.0, error=ModelUnavailable("overloaded", model="cheap")),
                Retrying(attempt=3, delay=1.0, error=ModelUnavailable("overloaded", model="cheap")),
            ],
            PROMPT + 4 * 100,
        ),
        (
            [
                FellBack(model="cheap", to="dear", reason="overflow", error=ModelRejected("too long", model="cheap")),
                Retrying(attempt=2, delay=1.0, error=LATE),
            ],
            2 * PROMPT,
        ),
        (
            [
                FellBack(model="cheap", to="unheard of", reason="outage", error=BROKE),
                Retrying(attempt=2, delay=1.0, error=LATE),
            ],
            2 * PROMPT,
        ),
        ([Delayed(call="model", name="cheap", reason="queue", expected=1.0)], 0),
    ],
)
def test_money_is_booked_for_attempts_that_may_have_been_billed(
    virtually: Callable[[Main], None], events: list[Event], lost: int
) -> None:
    async def main() -> None:
        place, heard = Place(), list[Event]()
        quotas, tokens = limited(10**9, unit="nanodollars", state=place), limited(10**9, state=place)

        async def proceed(made: Call) -> ModelResponse:
            for event in events:
                made.notify(event)
            await checkpoint()
            return answer()

        async def both(made: Call) -> ModelResponse:
            return await tokens.around(made, proceed)

        await quotas.around(replace(call(), notify=heard.append), both)
        assert heard == events
        assert await stands(quotas) == (lost + 80 * 10 + 20 * 100, 0)
        assert await stands(tokens) == (100, 0)  # an allowance: what failed is not the user's

    virtually(main)


@pytest.mark.parametrize(
    ("error", "begun", "shown", "booked"),
    [
        (ModelUnavailable("down", model="cheap"), True, None, 0),
        (LATE, False, None, PROMPT),
        (BROKE, True, "ten letter", PROMPT + 4 * 100),
        (None, False, None, 0),
        (None, True, None, PROMPT),
    ],
)
def test_money_is_booked_for_a_call_that_failed_or_was_left_and_may_have_been_billed(
    virtually: Callable[[Main], None], *, error: ModelError | None, begun: bool, shown: str | None, booked: int
) -> None:
    async def main() -> None:
        quotas, made = limited(10**9, unit="nanodollars"), call(shown=shown)
        made.progress.begun = begun

        async def proceed(_: Call) -> ModelResponse:
            if error is not None:
                raise error
            await anyio.sleep_forever()
            raise AssertionError

        with anyio.move_on_after(1), suppress(ModelError):
            await quotas.around(made, proceed)
        assert await stands(quotas) == (booked, 0)

    virtually(main)


def test_a_call_that_was_answered_is_booked_although_its_caller_is_cancelled(
    virtually: Callable[[Main], None],
) -> None:
    async def main() -> None:
        quotas = limited()
        with anyio.CancelScope() as scope:

            async def proceed(_: Call) -> ModelResponse:
                scope.cancel()
                return answer()

            await quotas.around(call(), proceed)
        assert scope.cancelled_caught
        assert await stands(quotas) == (100, 0)

    virtually(main)


def test_what_one_quota_reserved_is_given_back_when_another_refuses(virtually: Callable[[Main], None]) -> None:
    async def main() -> None:
        roomy, tight = Quota("roomy", limit=1000, unit="tokens"), Quota("tight", limit=1, unit="tokens", per="all")
        quotas = Quotas(roomy, tight, state=Place())
        with pytest.raises(QuotaExceeded) as caught:
            await quotas.around(call(), raising(AssertionError("asked")))
        assert (caught.value.quota, caught.value.needed, caught.value.left) == ("tight", 150, 1)
        assert [(one.name, one.used, one.reserved) for one in await quotas.standing(user="ann")] == [
            ("roomy", 0, 0),
            ("tight", 0, 0),
        ]

    virtually(main)


# --- time


def test_a_window_begins_anew(virtually: Callable[[Main], None]) -> None:
    async def main() -> None:
        quotas = Quotas(Quota("q", limit=1, unit="requests", window="minute"), state=Place())
        await anyio.sleep(59)
        await quotas.around(call(), giving(answer()))
        with pytest.raises(QuotaExceeded) as caught:
            await quotas.around(call(), giving(answer()))
        await anyio.sleep(cast("float", caught.value.retry_after))
        await quotas.around(call(), giving(answer()))

    virtually(main)


def test_a_call_that_ends_in_the_next_window_takes_nothing_of_it(virtually: Callable[[Main], None]) -> None:
    async def main() -> None:
        quotas = Quotas(Quota("q", limit=150, unit="tokens", window=30), state=Place())

        async def proceed(_: Call) -> ModelResponse:
            await anyio.sleep(40)
            assert await stands(quotas) == (0, 0)
            return answer()

        await quotas.around(call(), proceed)
        assert await stands(quotas) == (0, 0)

    virtually(main)


def test_a_reservation_lives_as_long_as_its_call(virtually: Callable[[Main], None]) -> None:
    async def main() -> None:
        quotas = limited(150, lease=3.0)

        async def proceed(_: Call) -> ModelResponse:
            for _second in range(100):
                await anyio.sleep(1)
                assert await stands(quotas) == (0, 150)
            return answer()

        await quotas.around(call(), proceed)
        assert await stands(quotas) == (100, 0)

    virtually(main)


def test_what_a_dead_worker_reserved_comes_back_when_its_lease_is_over(virtually: Callable[[Main], None]) -> None:
    async def main() -> None:
        place, quota = Place(), Quota("q", limit=150, unit="tokens")
        claim = quota.claim(call(), 150)
        assert claim is not None
        assert (await place.update(claim.owner, claim.key, claim.take("of the dead", 60.0))).refusal is None
        quotas = Quotas(quota, state=place)
        with pytest.raises(QuotaExceeded):
            await quotas.around(call(), giving(answer()))
        await anyio.sleep(60)
        await quotas.around(call(), giving(answer()))
        assert await stands(quotas) == (100, 0)

    virtually(main)


def test_a_call_that_outlives_its_lease_is_booked_all_the_same(
    virtually: Callable[[Main], None], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        place = Place()
        quotas = limited(150, state=place, lease=9.0)

        async def proceed(_: Call) -> ModelResponse:
            place.mood = "down"
            await anyio.sleep(20)
            place.mood = "well"
            assert await stands(quotas) == (0, 0)
            return answer()

        await quotas.around(call(), proceed)
        assert await stands(quotas) == (100, 0)

    with caplog.at_level(logging.WARNING, "assistant_kit.policies"):
        virtually(main)
    assert len(caplog.records) == 6  # three thirds of a lease, and again


def test_a_place_that_hangs_for_a_while_does_not_end_the_renewals(virtually: Callable[[Main], None]) -> None:
    async def main() -> None:
        place = Place(plan=["well", "hangs"])
        quotas = limited(state=place, lease=9.0)

        async def proceed(_: Call) -> ModelResponse:
            await anyio.sleep(17)  # renewed at 3 (hangs until 6), 9, 12, 15
            assert await stands(quotas) == (0, 150)
            return answer()

        await quotas.around(call(), proceed)

    virtually(main)


# --- a place that fails


def test_a_place_that_is_down_refuses_calls(virtually: Callable[[Main], None]) -> None:
    async def main() -> None:
        with pytest.raises(StoreUnavailable):
            await limited(state=Place("down")).around(call(), raising(AssertionError("asked")))

    virtually(main)


@pytest.mark.parametrize("mood", ["lost", "hangs after"])
def test_a_reservation_of_which_nobody_was_told_is_given_back(virtually: Callable[[Main], None], mood: Mood) -> None:
    async def main() -> None:
        place = Place(plan=[mood])
        quotas = limited(state=place)
        with anyio.move_on_after(1), pytest.raises(StoreError):
            await quotas.around(call(), raising(AssertionError("asked")))
        assert await stands(quotas) == (0, 0)

    virtually(main)


@pytest.mark.parametrize("mishaps", [["lost"], ["down", "lost"], ["lost", "lost"]])
def test_what_was_used_is_booked_once_however_often_it_has_to_be_said(
    virtually: Callable[[Main], None], mishaps: list[Mood]
) -> None:
    async def main() -> None:
        place = Place(plan=["well", *mishaps])
        quotas = limited(state=place)
        await quotas.around(call(), giving(answer()))
        assert place.plan == []
        assert await stands(quotas) == (100, 0)
        assert quotas.health()["quota q"].ok

    virtually(main)


@pytest.mark.parametrize(("mood", "seconds"), [("down", 0.6), ("hangs", 5.0)])
def test_an_answer_is_not_lost_for_a_place_that_does_not_book_it(
    virtually: Callable[[Main], None], caplog: pytest.LogCaptureFixture, mood: Mood, seconds: float
) -> None:
    async def main() -> None:
        place = Place()
        quotas = limited(state=place)

        async def proceed(_: Call) -> ModelResponse:
            place.mood = mood
            return answer()

        start = anyio.current_time()
        assert (await quotas.around(call(), proceed)).text == "yes"
        assert anyio.current_time() - start == pytest.approx(seconds)
        condition = quotas.health()["quota q"]
        assert (condition.ok, condition.state, condition.data["unbooked"]) == (False, "not booked", 100)
        place.mood = "well"
        assert await stands(quotas) == (0, 150)
        await anyio.sleep(60)
        assert await stands(quotas) == (0, 0)

    with caplog.at_level(logging.WARNING, "assistant_kit.policies"):
        virtually(main)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.anyio
async def test_a_value_that_cannot_be_read_is_no_new_allowance() -> None:
    state, quota = MemoryState(), Quota("q", limit=1, unit="requests")
    quotas = Quotas(quota, state=state)
    with anyio.fail_after(5):
        await quotas.around(call(), giving(answer()))
        claim = quota.claim(call(), 1)
        assert claim is not None
        assert list(await state.values("ann")) == [claim.key]

        await state.update(claim.owner, claim.key, lambda _, __: Changed(value=b"spoilt", result=None))
        with pytest.raises(StoreCorrupt):
            await quotas.around(call(), raising(AssertionError("asked")))


def test_a_tenant_whose_name_no_place_takes_is_refused_and_leaves_nothing_reserved(
    virtually: Callable[[Main], None],
) -> None:
    async def main() -> None:
        mine = Quota("mine", limit=9, unit="requests")
        ours = Quota("ours", limit=9, unit="requests", per=lambda _: "x" * 2000)
        place = Place()
        quotas = Quotas(mine, ours, state=place)
        with pytest.raises(InputError):
            await quotas.around(call(), raising(AssertionError("asked")))
        assert await stands(Quotas(mine, state=place)) == (0, 0)

    virtually(main)


# --- whose


def test_each_user_has_an_allowance_and_all_calls_of_nobody_have_one(virtually: Callable[[Main], None]) -> None:
    async def main() -> None:
        quotas = limited(1, unit="requests")
        for user in ("ann", "bob", None):
            await quotas.around(call(user), giving(answer()))
        for user in ("ann", "bob", None):
            with pytest.raises(QuotaExceeded):
                await quotas.around(call(user), giving(answer()))

    virtually(main)


def test_all_share_one_allowance(virtually: Callable[[Main], None]) -> None:
    async def main() -> None:
        quotas = Quotas(Quota("q", limit=1, unit="requests", per="all"), state=Place())
        assert quotas.health()["quota q"].ok
        await quotas.around(call("ann"), giving(answer()))
        with pytest.raises(QuotaExceeded):
            await quotas.around(call("bob"), giving(answer()))
        condition = quotas.health()["quota q"]
        assert (condition.ok, condition.state) == (False, "used up")
        assert (condition.data["admitted"], condition.data["refused"]) == (1, 1)

    virtually(main)


def test_a_tenant_shares_one_allowance_and_has_none_without_a_name(virtually: Callable[[Main], None]) -> None:
    def tenant(made: Call) -> str | None:
        return None if made.user is None else made.user.partition("@")[2]

    async def main() -> None:
        quotas = Quotas(Quota("q", limit=1, unit="requests", per=tenant), state=Place())
        await quotas.around(call("ann@shop"), giving(answer()))
        await quotas.around(call("ann@mill"), giving(answer()))
        with pytest.raises(QuotaExceeded):
            await quotas.around(call("bob@shop"), giving(answer()))
        for _ in range(3):
            await quotas.around(call(None), giving(answer()))
        assert await stands(quotas, "zoe@shop") == (1, 0)
        assert await quotas.standing() == []

    virtually(main)


def test_a_quota_of_one_model_leaves_others_alone(virtually: Callable[[Main], None]) -> None:
    async def main() -> None:
        quotas = Quotas(Quota("q", limit=1, unit="requests", models=["dear"]), state=Place())
        for name in ("cheap", "cheap", "openai:dear"):
            await quotas.around(call(name=name), giving(answer()))
        with pytest.raises(QuotaExceeded):
            await quotas.around(call(name="dear-2026-01-01"), giving(answer()))
        assert await stands(quotas) == (1, 0)

    virtually(main)


@pytest.mark.anyio
async def test_calls_of_tools_are_not_counted_unless_they_are_asked_for() -> None:
    async def fetch() -> str:
        return "fetched"

    quota = Quota("q", limit=1, unit="requests", per="all")
    with anyio.fail_after(5):
        for _ in range(3):
            assert await guarded(fetch, Quotas(quota, state=MemoryState()), name="crm") == "fetched"
        counted = Quotas(quota, state=MemoryState(), kinds=["other"])
        assert await guarded(fetch, counted, name="crm") == "fetched"
        with pytest.raises(QuotaExceeded):
            await guarded(fetch, counted, name="crm")


def test_several_workers_share_one_allowance(virtually: Callable[[Main], None]) -> None:
    async def main() -> None:
        place = Place()
        first, second = limited(300, state=place), limited(300, state=place)
        await first.around(call(), giving(answer()))
        await second.around(call(), giving(answer()))
        with pytest.raises(QuotaExceeded) as caught:
            await first.around(call(), giving(answer()))
        assert caught.value.left == 100

    virtually(main)


def test_what_is_known_of_a_user_can_be_erased(virtually: Callable[[Main], None]) -> None:
    async def main() -> None:
        place = Place()
        quotas = limited(state=place)
        await quotas.around(call("bob"), giving(answer()))

        async def proceed(_: Call) -> ModelResponse:
            await quotas.erase_user("ann")
            return answer()

        await quotas.around(call("ann"), proceed)
        assert await place.values("ann") == {}
        assert await stands(quotas, "bob") == (100, 0)
        with pytest.raises(InputError):
            await quotas.erase_user("")

    virtually(main)


# --- what it tells


def test_a_standing_tells_what_is_left_and_when_it_resets(virtually: Callable[[Main], None]) -> None:
    async def main() -> None:
        quotas = limited(1000)
        await anyio.sleep(400)

        async def proceed(_: Call) -> ModelResponse:
            assert await quotas.standing(user="ann") == [
                Standing(name="q", unit="tokens", limit=1000, used=0, reserved=150, resets_in=86_000.0)
            ]
            return answer()

        await quotas.around(call(), proceed)
        (standing,) = await quotas.standing(user="ann")
        assert standing.left == 900

    virtually(main)


def test_it_is_told_by_one_worker_when_a_user_is_low_and_when_all_is_used_up(
    virtually: Callable[[Main], None],
) -> None:
    async def main() -> None:
        place, told = Place(), list[ConditionChanged]()
        workers = [limited(500, state=place) for _ in range(2)]
        for worker in workers:
            assert isinstance(worker, ReportingPolicy)
            worker.report_to(told.append)
        for number in range(4):
            await workers[number % 2].around(call(), giving(answer()))
        await workers[0].around(call("bob"), giving(answer()))
        assert [(one.owner, one.before, one.after, one.condition.ok) for one in told] == [("ann", "ok", "low", True)]
        assert told[0].condition.data == {"limit": 500, "used": 400, "unit": "tokens"}
        with pytest.raises(QuotaExceeded):
            await workers[0].around(call(output=100), giving(answer()))
        await workers[0].around(call(prompt=50), giving(answer()))
        assert [(one.owner, one.before, one.after) for one in told[1:]] == [("ann", "low", "used up")]
        assert {one.name for one in told} == {"quota q"}

    virtually(main)


def test_of_a_quota_that_all_share_each_worker_tells_what_it_has_seen(virtually: Callable[[Main], None]) -> None:
    async def main() -> None:
        place, told = Place(), list[ConditionChanged]()
        quota = Quota("q", limit=500, unit="tokens", per="all")
        one, other = Quotas(quota, state=place), Quotas(quota, state=place)
        other.report_to(told.append)
        for _ in range(4):
            await one.around(call(), giving(answer()))
        with pytest.raises(QuotaExceeded):
            await other.around(call(), giving(answer()))
        assert [(change.before, change.after) for change in told] == [("ok", "used up")]
        assert other.health()["quota q"] == told[0].condition
        assert one.health()["quota q"].state == "low"
        await other.around(call(prompt=10), giving(answer(prompt=1, output=1)))
        assert [(change.owner, change.before, change.after) for change in told[1:]] == [("", "used up", "low")]

    virtually(main)


def test_it_is_told_whose_tenant_is_low_and_what_could_not_be_booked(virtually: Callable[[Main], None]) -> None:
    async def main() -> None:
        place, told = Place(), list[ConditionChanged]()
        quotas = Quotas(Quota("q", limit=10, unit="requests", per=lambda _: "shop"), state=place)
        quotas.report_to(told.append)
        for _ in range(8):
            await quotas.around(call(), giving(answer()))
        assert [(change.owner, change.after) for change in told] == [("shop", "low")]

        async def proceed(_: Call) -> ModelResponse:
            place.mood = "down"
            return answer()

        await quotas.around(call(), proceed)
        assert [(change.name, change.after) for change in told[1:]] == [("quota q", "not booked")]

    virtually(main)


@pytest.mark.anyio
async def test_a_state_that_was_given_by_its_address_is_closed_with_the_quotas(tmp_path: Path) -> None:
    quota = Quota("q", limit=2, unit="requests")
    address = f"sqlite:///{tmp_path / 'state.db'}"
    with anyio.fail_after(10):
        for _ in range(2):
            quotas = Quotas(quota, state=address, prices=PRICES)
            assert isinstance(quotas, ClosingPolicy)
            covering = quotas.covering(["dear"])
            await covering.around(call(), giving(answer()))
            await covering.aclose()
            with pytest.raises(StoreUnavailable):
                await quotas.standing(user="ann")
        again = Quotas(quota, state=address)
        assert await stands(again) == (2, 0)
        await again.aclose()


def test_it_explains_what_a_call_would_reserve() -> None:
    quotas = Quotas(
        Quota("day", limit=1000, unit="tokens"),
        Quota("burst", limit=5, unit="requests", window=10, per="all"),
        state=MemoryState(),
    )
    assert isinstance(quotas, ExplainedPolicy)
    assert isinstance(quotas, WatchedPolicy)
    assert isinstance(quotas, Keeper)
    assert quotas.explain(call()) == (
        "quota: day: up to 150 of 1000 tokens per day; burst: up to 1 of 5 requests per 10 s"
    )
    assert quotas.explain(call(kind="tool")) == ""
    assert set(quotas.health()) == {"quota day", "quota burst"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a/b"},
        {"limit": -1},
        {"unit": "dollars"},
        {"window": "week"},
        {"window": 0},
        {"window": 0.5},
    ],
)
def test_what_cannot_be_a_quota_is_refused(wrong: Mapping[str, Any]) -> None:
    given: dict[str, Any] = {"name": "q", "limit": 1, "unit": "tokens", **wrong}
    with pytest.raises(ConfigurationError):
        Quota(given.pop("name"), **given)


def test_quotas_have_names_of_their_own_and_a_lease() -> None:
    quota = Quota("q", limit=1, unit="tokens")
    with pytest.raises(ConfigurationError):
        Quotas(quota, quota, state=MemoryState())
    with pytest.raises(ConfigurationError):
        Quotas(quota, state=MemoryState(), lease=0)


@pytest.mark.anyio
async def test_a_run_of_an_assistant_is_refused_when_its_user_has_used_up_a_quota() -> None:
    quotas = Quotas(Quota("q", limit=2, unit="requests"), state=MemoryState())
    with anyio.fail_after(10), ScriptedModel([Say("one"), Say("two"), Say("three")]) as model:
        async with Assistant(model, store="memory:", policies=[quotas]) as assistant:
            for user in ("ann", "ann", "bob"):
                await assistant.run("Hello", user=user, conversation="c")
            with pytest.raises(QuotaExceeded):
                await assistant.run("Hello", user="ann", conversation="c")
    assert [one.left for one in await quotas.standing(user="ann")] == [0]
    assert [one.left for one in await quotas.standing(user="bob")] == [1]


@pytest.mark.anyio
async def test_no_quota_is_no_cost() -> None:
    with anyio.fail_after(5):
        assert (await through([Quotas(state=Place("down"))], call(), giving(answer()))).text == "yes"
