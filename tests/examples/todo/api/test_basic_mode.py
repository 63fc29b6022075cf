"""What people get when the language model cannot answer."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from assistant_kit import ModelRejected, ModelUnauthorized, ModelUnavailable, Usage
from assistant_kit.testing.scripted_model import Call, CallTools, Cut, Fail, Say, ScriptedModel, Step
from examples.todo_chatbot.assistant import BASIC_MODE
from examples.todo_chatbot.settings import LimitSettings
from tests.examples.todo.service import running, settings_in

pytestmark = pytest.mark.anyio

DOWN = Fail(ModelUnavailable("down", model="large", should_retry=False))
ADD = "add milk to my list"


def _model(*steps: Step) -> ScriptedModel:
    return ScriptedModel(steps, name="large")


async def test_a_language_model_answers_in_its_own_words(tmp_path: Path) -> None:
    model = _model(CallTools(Call("add_task", {"title": "milk"})), Say("I have put milk on your list."))
    async with running(settings_in(tmp_path), model=model) as service:
        ann = await service.person()
        answer = await ann.chat("we are out of milk")
        assert (answer["response"], answer["tool_calls"]) == ("I have put milk on your list.", ["add_task"])
        assert await ann.titles() == ["milk"]


@pytest.mark.parametrize(
    "failing", [[DOWN], [Cut(after="I have", error=ModelUnavailable("down", model="large", should_retry=False))]]
)
async def test_when_it_is_down_rules_answer_and_say_so(tmp_path: Path, failing: Sequence[Step]) -> None:
    async with running(settings_in(tmp_path), model=_model(*failing, *failing)) as service:
        ann = await service.person()
        answer = await ann.chat(ADD)
        assert (answer["response"], answer["tool_calls"]) == (f"{BASIC_MODE}Added: milk.", ["add_task"])
        assert await ann.titles() == ["milk"]
        assert await ann.said(answer["conversation_id"]) == [("user", ADD), ("assistant", f"{BASIC_MODE}Added: milk.")]


async def test_rules_that_cannot_help_say_that(tmp_path: Path) -> None:
    async with running(settings_in(tmp_path), model=_model(DOWN)) as service:
        ann = await service.person()
        answer = await ann.chat("compose a sonnet")
        assert answer["response"].startswith(BASIC_MODE)
        assert (answer["tool_calls"], await ann.titles()) == ([], [])


async def test_a_model_that_stays_down_is_not_asked_any_more(tmp_path: Path) -> None:
    model = _model(*[DOWN] * 100)
    async with running(settings_in(tmp_path), model=model) as service:
        ann = await service.person()
        number = (await ann.chat("hello"))["conversation_id"]
        for _ in range(24):
            assert (await ann.chat("hello", number))["response"].startswith(BASIC_MODE)
        assert len(model.requests) == 20  # as many as its breaker wants to see
        assert (await service.http.get("/health")).json() == {"status": "ok", "assistant": "degraded"}


async def test_who_has_used_up_a_day_is_answered_by_rules(tmp_path: Path) -> None:
    limits = LimitSettings(requests_per_minute=1000, tokens_per_day=20_000)
    spent = Usage(requests=1, input_tokens=20_000, output_tokens=1)
    async with running(
        settings_in(tmp_path, limits=limits), model=_model(Say("Hello.", usage=spent), "Hi.")
    ) as service:
        ann, bob = await service.person(), await service.person()
        assert (await ann.chat("hello"))["response"] == "Hello."
        assert (await ann.chat(ADD))["response"] == f"{BASIC_MODE}Added: milk."
        assert (await bob.chat("hello"))["response"] == "Hi."


@pytest.mark.parametrize("error", [ModelUnauthorized("wrong key", model="large"), ModelRejected("no", model="large")])
async def test_what_an_operator_should_see_is_an_error(tmp_path: Path, error: Exception) -> None:
    async with running(settings_in(tmp_path), model=_model(Fail(error), "Hello.")) as service:
        ann = await service.person()
        answer = await ann.ask("POST", "/chat", {"message": "hello"}, key="k1")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_answer")
        assert str(error) not in answer.text
        answer = await ann.ask("POST", "/chat", {"message": "hello"}, key="k1")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "interrupted")
        answer = await ann.ask("POST", "/chat", {"message": "hello"}, key="k2")
        assert answer.json()["response"] == "Hello."
