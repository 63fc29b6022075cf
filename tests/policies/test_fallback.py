"""Another model is asked when one cannot answer, and the reader is told honestly."""

from collections.abc import Callable, Sequence
from typing import get_args

import anyio
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.errors import (
    AssistantKitError,
    BudgetExceeded,
    CircuitOpen,
    ConfigurationError,
    ContextOverflow,
    ModelBroke,
    ModelRateLimited,
    ModelRejected,
    ModelTimeout,
    ModelUnauthorized,
    ModelUnavailable,
    ModelUnreachable,
    Overloaded,
    QuotaExceeded,
    RateLimitReached,
    UnknownModel,
)
from assistant_kit.events import Event, FailureKind, FellBack, TextRetracted, Token
from assistant_kit.models.openai import OpenAI
from assistant_kit.policies.fallback import Backup, Fallback, kind_of
from assistant_kit.policies.quota import Quota, Quotas
from assistant_kit.policies.retry import Retry
from assistant_kit.policy_chain import guarded
from assistant_kit.protocols.policy import Call as PolicyCall
from assistant_kit.resilience import Policies
from assistant_kit.shared_states.memory import MemoryState
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import Call, CallTools, Cut, Fail, Refuse, Say, ScriptedModel, Step
from assistant_kit.toolsets.functions import tool

pytestmark = pytest.mark.anyio
DOWN = ModelUnavailable("down", model="a")
SPENT = QuotaExceeded("a day", unit="tokens", needed=10, left=0, retry_after=60)
MODEL_CALL = PolicyCall(kind="model", name="a")


def scripted(name: str, *steps: Step) -> ScriptedModel:
    return ScriptedModel(steps, name=name)


async def read(assistant: Assistant[str], message: str = "x") -> tuple[list[Event], Exception | None]:
    """All events of a run, and what it raises."""
    events: list[Event] = []
    try:
        with anyio.fail_after(5):
            async with assistant.stream(message, user="u", conversation="c") as run:
                async for event in run:
                    events.append(event)  # noqa: PERF401  (a comprehension would lose them)
    except AssistantKitError as error:
        return events, error
    return events, None


def shown(events: Sequence[Event]) -> str:
    """What a reader has before them in the end."""
    text = ""
    for event in events:
        if isinstance(event, TextRetracted):
            assert text == event.text
            text = ""
        elif event.kind in ("token", "refusal_token"):
            text += getattr(event, "text")  # noqa: B009  (both have it)
    return text


async def test_the_next_model_answers_when_one_is_down() -> None:
    first, second = scripted("a", Fail(DOWN)), scripted("b", "hello")
    events, error = await read(Assistant(first, store=MemoryStore(), policies=[Fallback(second)]))
    assert error is None
    assert [event.kind for event in events] == ["fell_back", "token", "complete"]
    assert events[0] == FellBack(model="a", to="b", reason="outage", error=DOWN)
    second.check()


async def test_what_the_reader_has_seen_is_retracted_before_another_model_goes_on() -> None:
    first, second = scripted("a", Cut(after="It will be su")), scripted("b", "rain")
    assistant = Assistant(first, store=MemoryStore(), policies=[Fallback(second), Retry()])
    events, error = await read(assistant)
    assert error is None
    kinds = [event.kind for event in events]
    assert kinds == ["token"] * 4 + ["text_retracted", "fell_back", "token", "complete"]
    assert shown(events) == "rain"
    (turn,) = await assistant.conversation("c", user="u").history()
    assert turn.text == "rain"


async def test_models_are_asked_in_order_and_the_first_error_is_raised_in_the_end() -> None:
    first = ModelUnavailable("down", model="a")
    models = [scripted("a", Fail(first)), scripted("b", Cut(after="Hm")), scripted("c", Fail(DOWN))]
    assistant = Assistant(models[0], store=MemoryStore(), policies=[Fallback(*models[1:])])
    events, error = await read(assistant)
    assert error is first
    assert len(first.__notes__) == 2
    told = [(event.model, event.to) for event in events if isinstance(event, FellBack)]
    assert told == [("a", "b"), ("b", "c")]
    assert shown(events) == ""
    for model in models:
        model.check()


async def test_tool_calls_that_were_made_stay_made() -> None:
    paid: list[int] = []

    @tool
    async def pay(amount: int) -> str:
        """Pay."""
        paid.append(amount)
        return "paid"

    first = scripted("a", CallTools(Call("pay", {"amount": 5})), Cut(after="I have"))
    second = scripted("b", "paid 5")
    assistant = Assistant(first, tools=[pay], store=MemoryStore(), policies=[Fallback(second)])
    events, error = await read(assistant)
    assert (error, paid, shown(events)) == (None, [5], "paid 5")
    assert [item.kind for item in second.requests[0].items] == ["user", "tool_call", "tool_answer"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ModelRateLimited("x", model="a"), "rate_limit"),
        (RateLimitReached("a", retry_after=1), "rate_limit"),
        (ContextOverflow("x", model="a"), "overflow"),
        (ModelRejected("x", model="a"), "rejected"),
        (ModelUnauthorized("x", model="a"), "unauthorized"),
        (ConfigurationError("no key"), "unauthorized"),
        (ModelUnreachable("x", model="a"), "outage"),
        (ModelTimeout("x", model="a"), "outage"),
        (ModelBroke("x", model="a"), "outage"),
        (CircuitOpen("a", retry_after=1), "outage"),
        (Overloaded("a", limit=1, waiting=1), "outage"),
        (SPENT, "quota"),
    ],
)
async def test_what_is_asked_next_may_depend_on_the_kind_of_failure(
    error: AssistantKitError, kind: FailureKind
) -> None:
    assert kind_of(error) == kind
    kinds: list[FailureKind] = []
    other = scripted("b", "hello")

    def choose(failure: FailureKind) -> Sequence[ScriptedModel]:
        kinds.append(failure)
        return [other]

    every = Fallback(choose=choose, on=get_args(FailureKind))
    result = await Assistant(scripted("a", Fail(error)), policies=[every]).run("x")
    assert (result.output, kinds) == ("hello", [kind])


@pytest.mark.parametrize("error", [ModelUnauthorized("x", model="a"), ModelRejected("x", model="a")])
async def test_what_is_somebodys_mistake_is_not_hidden_by_default(error: AssistantKitError) -> None:
    backup = scripted("b")
    with pytest.raises(type(error)):
        await Assistant(scripted("a", Fail(error)), policies=[Fallback(backup)]).run("x")
    backup.check()


async def test_a_refusal_is_an_answer_unless_it_is_said_otherwise() -> None:
    assert (await Assistant(scripted("a", Refuse("no")), policies=[Fallback(scripted("b"))]).run("x")).refusal == "no"
    assistant = Assistant(
        scripted("a", Refuse("I will not")),
        store=MemoryStore(),
        policies=[Fallback(scripted("b", "yes"), on=["refusal"])],
    )
    events, error = await read(assistant)
    assert (error, shown(events)) == (None, "yes")
    assert [event.reason for event in events if isinstance(event, FellBack)] == ["refusal"]


async def test_an_answer_that_the_providers_filter_took_is_a_refusal() -> None:
    silent = scripted("a", Say("", finish="content_filter"))
    result = await Assistant(silent, policies=[Fallback(scripted("b", "yes"), on=["refusal"])]).run("x")
    assert result.output == "yes"


async def test_tool_calls_are_no_refusal() -> None:
    first = scripted("a", CallTools(Call("nothing"), text="Let me see"), "done")
    result = await Assistant(first, policies=[Fallback(scripted("b"), on=["refusal"])]).run("x")
    assert result.output == "done"


async def test_when_all_refuse_the_last_refusal_is_the_answer() -> None:
    models = [scripted("a", Refuse("no")), scripted("b", Refuse("never"))]
    assistant = Assistant(models[0], store=MemoryStore(), policies=[Fallback(models[1], on=["refusal"])])
    events, error = await read(assistant)
    assert (error, shown(events)) == (None, "never")


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_refusal_is_given_rather_than_an_error(streamed: bool) -> None:  # noqa: FBT001
    models = [scripted("a", Refuse("I will not")), scripted("b", Cut(after="Well", error=DOWN))]
    assistant = Assistant(models[0], store=MemoryStore(), policies=[Fallback(models[1], on=["refusal"])])
    if streamed:
        events, error = await read(assistant)
        assert (error, shown(events)) == (None, "I will not")
    else:
        assert (await assistant.run("x")).refusal == "I will not"


async def test_a_request_is_not_sent_to_a_model_whose_window_is_too_small() -> None:
    small, large = scripted("small"), scripted("large", "hello")
    fallback = Fallback(Backup(model=small, max_tokens=100), Backup(model=large, max_tokens=1_000_000))
    assert (await Assistant(scripted("a", Fail(DOWN)), policies=[fallback]).run("x")).output == "hello"
    small.check()


def down(*names: str) -> Callable[[str], bool]:
    return lambda key: key in {f"model:{name}" for name in names}


async def test_a_model_that_is_known_to_be_down_is_not_asked_first() -> None:
    first, second, third = scripted("a"), scripted("b"), scripted("c", "hello")
    fallback = Fallback(second, third, is_open=down("a", "b"))
    assistant = Assistant(first, store=MemoryStore(), policies=[fallback])
    events, error = await read(assistant)
    assert (error, shown(events)) == (None, "hello")
    assert events[0] == FellBack(model="a", to="c", reason="outage", error=None)
    first.check()
    second.check()


async def test_when_nobody_else_is_left_a_model_is_asked_though_it_is_known_to_be_down() -> None:
    fallback = Fallback(scripted("b", Fail(DOWN)), is_open=down("a"))
    assert (await Assistant(scripted("a", "hello"), policies=[fallback]).run("x")).output == "hello"


async def test_a_fallback_learns_what_is_down_from_the_breaker_beside_it_unless_it_was_told() -> None:
    second = scripted("b", "hello")
    fallback = Fallback(second)
    result = await Assistant(scripted("a"), policies=[fallback.knowing(down("a"))]).run("x")
    assert result.output == "hello"
    told = Fallback(second, is_open=down())
    assert told.knowing(down("a")) is told


async def test_what_no_other_model_would_mend_leads_to_none() -> None:
    error = BudgetExceeded(unit="tokens", needed=10, used=5, limit=6)
    assert kind_of(error) is None
    with pytest.raises(BudgetExceeded):
        await Assistant(scripted("a", Fail(error)), policies=[Fallback(scripted("b"))]).run("x")


async def test_other_calls_pass() -> None:
    async def fetch() -> str:
        await anyio.lowlevel.checkpoint()
        return "data"

    fallback = Fallback(scripted("b"))
    assert await guarded(fetch, fallback, name="crm") == "data"
    assert not fallback.explain(PolicyCall(name="crm"))


async def test_models_that_were_given_by_name_are_closed_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    closed: list[str] = []

    async def aclose(self: OpenAI) -> None:
        await anyio.lowlevel.checkpoint()
        closed.append(self.name)

    monkeypatch.setattr(OpenAI, "aclose", aclose)
    given = scripted("b")
    fallback = Fallback("openai:gpt-5.6-mini", given)
    await fallback.aclose()
    assert (closed, given.closed) == (["openai:gpt-5.6-mini"], False)
    assert "openai:gpt-5.6-mini, b" in fallback.explain(MODEL_CALL)
    assert "as chosen" in Fallback(choose=lambda _: ()).explain(MODEL_CALL)


def test_a_fallback_without_a_model_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        Fallback()
    with pytest.raises(UnknownModel):
        Fallback("nobody:x")


async def test_a_fallback_with_nobody_to_ask_raises_the_error_as_it_is() -> None:
    with pytest.raises(ModelUnavailable) as caught:
        await Assistant(scripted("a", Fail(DOWN)), policies=[Fallback(choose=lambda _: ())]).run("x")
    assert caught.value is DOWN


async def test_an_answer_begins_anew_with_each_model() -> None:
    """A retry is possible again with the next model, as the reader has nothing before them."""
    first = scripted("a", Cut(after="It will"))
    second = scripted("b", Fail(DOWN), Say("rain", pieces=["ra", "in"]))
    assistant = Assistant(first, store=MemoryStore(), policies=[Fallback(second), Retry(base=0)])
    events, error = await read(assistant)
    assert (error, shown(events)) == (None, "rain")
    assert Token("ra") in events
    assert "retrying" in [event.kind for event in events]


async def test_a_model_outside_of_the_quotas_answers_users_who_have_used_theirs_up() -> None:
    day = Quota("a day", limit=2, unit="requests", window="day", per="user", models=["a"])
    simple = scripted("simple", "in short", "in short again")
    policies = Policies(others=[Fallback(simple, on=["quota"])], quotas=Quotas(day, state=MemoryState()))
    assistant = Assistant(scripted("a", "one", "two", "three"), policies=policies)
    answers = [(await assistant.run("x", user=user)).output for user in ("ann", "ann", "ann", "ann", "bob")]
    assert answers == ["one", "two", "in short", "in short again", "three"]
