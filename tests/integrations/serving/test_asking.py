"""An assistant that others may ask: who asks, what is kept, what is told on the way; in virtual time."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import anyio
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.deadline import Deadline
from assistant_kit.errors import (
    CircuitOpen,
    DuplicateTool,
    ModelUnavailable,
    ToolError,
)
from assistant_kit.integrations.serving import assistant_server
from assistant_kit.integrations.serving.asking import AskedAssistant
from assistant_kit.messages import text_of
from assistant_kit.policies.circuit_breaker import CircuitBreaker
from assistant_kit.policies.fallback import Fallback
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.protocols.toolset import Offering, ToolContext
from assistant_kit.registry import CHILD
from assistant_kit.settings import Settings
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import Call, CallTools, Cut, Delay, Fail, Refuse, Say, ScriptedModel, Step
from assistant_kit.tool_spec import ToolSpec
from assistant_kit.toolsets.functions import FunctionTools, tool
from tests.integrations.serving.hosting import called, pay
from tests.policies.timing import LOOPS, in_virtual_time

Main = Callable[[], Awaitable[None]]
Report = tuple[float, float | None, str | None]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Main], None]:
    return lambda main: in_virtual_time(request.param, main)


Run = Callable[[Main], None]


def asked(steps: Sequence[Step], **options: Any) -> AskedAssistant:
    """What others see of an assistant whose model plays `steps`."""
    options = {"tools": [add, pay], "settings": Settings(name="clerk"), **options}
    return AskedAssistant(Assistant(ScriptedModel(steps), **options), ask="ask", description="Ask the clerk.")


async def ask(clerk: AskedAssistant, message: str = "Hello?", *, told: ToolContext | None = None, **more: str) -> str:
    output = await clerk.call("ask", {"message": message, **more}, told or called("ask"))
    assert not output.is_error
    return text_of(output.content)


@tool(effect="read")
async def add(a: int, b: int) -> int:
    return a + b


def after(items: int) -> Step:
    """Answer, if the model is shown so many items."""

    def answer(request: ModelRequest) -> Step:
        assert len(request.items) == items
        return "Well."

    return answer


def heard_by(reports: list[Report]) -> ToolContext:
    def hear(progress: float, total: float | None, message: str | None) -> None:
        reports.append((progress, total, message))

    return replace(called("ask"), show_progress=hear)


def test_it_is_a_tool_beside_those_that_it_uses_itself(run: Run) -> None:
    async def main() -> None:
        async with asked(["Good day."]) as clerk:
            specs = await clerk.tools()
            assert [spec.name for spec in specs] == ["ask", "add", "pay"]
            assert specs[0].description == "Ask the clerk."
            assert specs[0].parameters["required"] == ["message"]
            assert (await clerk.tools_for("ann")).tools is specs
            assert await ask(clerk) == "Good day."
            assert text_of((await clerk.call("add", {"a": 1, "b": 2}, called("add"))).content) == "3"
            with pytest.raises(ToolError):
                await clerk.call("nothing", {}, called("nothing"))
            assert (clerk.name, clerk.deferred) == ("clerk", False)

    run(main)


def test_a_tool_of_the_same_name_is_refused(run: Run) -> None:
    @tool(name="ask")
    def other() -> str:
        return ""

    async def main() -> None:
        async with asked([], tools=[other]) as clerk:
            with pytest.raises(DuplicateTool):
                await clerk.tools()

    run(main)


def test_users_whose_tools_differ_are_not_mixed_up(run: Run) -> None:
    class Differing(FunctionTools):
        deferred = False

        async def tools_for(self, user: str | None) -> Offering:
            return Offering(tools=[ToolSpec(name=f"of_{user}", description="", parameters={"type": "object"})])

    async def main() -> None:
        async with asked([], tools=[Differing([])]) as clerk:
            for user in [*map(str, range(70)), "0"]:
                assert [spec.name for spec in (await clerk.tools_for(user)).tools] == ["ask", f"of_{user}"]

    run(main)


def test_a_conversation_belongs_to_who_asks_whatever_the_arguments_say(run: Run) -> None:
    store = MemoryStore()

    async def main() -> None:
        async with asked(steps, store=store) as clerk:
            ann, bob = called("ask", user="ann"), called("ask", user="bob")
            await ask(clerk, "I am Ann.", told=ann, conversation="c")
            await ask(clerk, "Who am I?", told=called("ask", user="ann"), conversation="c")
            await ask(clerk, "Who am I?", told=bob, conversation="c", user="ann")
        assert [len(await store.for_user(user).conversations(limit=9)) for user in ("ann", "bob")] == [1, 1]

    steps: Sequence[Step] = ["Hello Ann.", after(3), after(1)]
    run(main)


def test_the_same_question_under_the_same_key_is_answered_once(run: Run) -> None:
    async def main() -> None:
        async with asked(["Paid."], store=MemoryStore()) as clerk:
            told = called("ask")
            assert await ask(clerk, told=told, conversation="c") == await ask(clerk, told=told, conversation="c")

    run(main)


def test_a_question_may_be_repeated_and_one_that_was_cancelled_has_ended(run: Run) -> None:
    store = MemoryStore()

    async def main() -> None:
        async with asked([Delay(100, "late"), "Paid."], store=store) as clerk:
            effects = [(await clerk.tools_for(user)).tools[0].effect for user in (None, "u1")]
            assert effects == ["once", "idempotent"]
            given_up, told = called("ask"), called("ask")
            with anyio.move_on_after(5):
                await ask(clerk, told=given_up)
            with pytest.raises(ToolError):
                await ask(clerk, told=given_up)
            assert await ask(clerk, told=told) == await ask(clerk, told=told) == "Paid."
        listed = await store.for_user("u1").conversations(limit=9)
        assert all(each.conversation.startswith(CHILD) for each in listed)

    run(main)


def test_nobody_in_particular_has_no_conversations(run: Run) -> None:
    async def main() -> None:
        async with asked(["Good day."], store=MemoryStore()) as clerk:
            nobody = called("ask", user=None)
            with pytest.raises(ToolError):
                await ask(clerk, told=nobody, conversation="c")
            assert await ask(clerk, told=nobody) == "Good day."

    run(main)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"message": 7},
        {"message": "a", "conversation": 7},
        {"message": "a", "conversation": f"{CHILD}a"},
    ],
)
def test_what_is_no_question_is_refused(run: Run, arguments: dict[str, Any]) -> None:
    async def main() -> None:
        async with asked([], store=MemoryStore()) as clerk:
            with pytest.raises(ToolError):
                await clerk.call("ask", arguments, called("ask"))

    run(main)


def test_what_it_says_and_does_is_told_on_the_way(run: Run) -> None:
    reports: list[Report] = []
    slow = Delay(1, Say("It is three.", pieces=["It ", "is ", "three."]))

    async def main() -> None:
        async with asked([CallTools(Call("add", {"a": 1, "b": 2}), text="Wait."), slow]) as clerk:
            assert await ask(clerk, told=heard_by(reports)) == "It is three."

    run(main)
    assert [report[:2] for report in reports] == [(number, None) for number in range(1, len(reports) + 1)]
    words = [report[2] or "" for report in reports]
    assert any("add" in each for each in words)
    assert words[-1].startswith("It")


def test_text_that_is_taken_back_is_said_to_be(run: Run) -> None:
    reports: list[Report] = []
    fallback = Fallback(ScriptedModel(["It is three."]))

    async def main() -> None:
        async with asked([Cut(after="It is four")], policies=[fallback]) as clerk:
            assert await ask(clerk, told=heard_by(reports)) == "It is three."

    run(main)
    assert len(reports) == 1


def test_a_refusal_is_an_answer_and_a_call_that_waits_for_approval_is_said_to(run: Run) -> None:
    async def main() -> None:
        async with asked([Refuse("No."), CallTools(Call("pay", {"amount": 1}))], store=MemoryStore()) as clerk:
            assert await ask(clerk) == "No."
            waiting = await ask(clerk, conversation="c")
            assert "pay" in waiting
            with pytest.raises(ToolError):  # the conversation waits
                await ask(clerk, conversation="c")

    run(main)


def test_what_fails_is_told_without_secrets(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    failure = Fail(ModelUnavailable("https://user:hunter2@models.example fails", model="scripted"))

    async def main() -> None:
        async with asked([failure] * 3) as clerk:
            with pytest.raises(ToolError) as told:
                await ask(clerk)
            assert "hunter2" not in str(told.value)
            assert "ModelUnavailable" in str(told.value)

    run(main)


def test_the_time_of_the_call_bounds_the_turn(run: Run) -> None:
    async def main() -> None:
        async with asked([Delay(100, "late")]) as clerk:
            began = anyio.current_time()
            with pytest.raises(ToolError):
                await ask(clerk, told=called("ask", deadline=Deadline.after(5, now=began)))
            assert anyio.current_time() - began == pytest.approx(5, abs=0.5)

    run(main)


def test_its_tools_are_called_through_its_policies(run: Run) -> None:
    @tool
    async def break_down() -> str:
        raise RuntimeError

    async def main() -> None:
        breaker = CircuitBreaker(min_calls=1)
        async with asked([], tools=[break_down], policies=[breaker]) as clerk:
            with pytest.raises(RuntimeError):
                await clerk.call("break_down", {}, called("break_down"))
            with pytest.raises(CircuitOpen):
                await clerk.call("break_down", {}, called("break_down"))

    run(main)


def test_a_server_is_made_of_it() -> None:
    assistant = Assistant(ScriptedModel([]), settings=Settings(name="clerk"))
    assert assistant_server(assistant, description="Ask the clerk.").name == "clerk"
