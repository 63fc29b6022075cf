"""Calls in rounds, and questions within a session, message by message."""

import json
from typing import Any

import anyio
import anyio.from_thread
import pytest
from mcp.types import INVALID_PARAMS

from assistant_kit.errors import ConfigurationError, NoAnswer, ToolError
from assistant_kit.integrations.serving import ServingSettings, tool_server
from assistant_kit.integrations.serving.call_log import Levels
from assistant_kit.integrations.serving.rounds import Known, known
from assistant_kit.messages import Json
from assistant_kit.protocols.caller import Caller, Form, Reply
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.toolsets.functions import tool
from tests.integrations.serving.asking_tools import caller_of, form_of
from tests.integrations.serving.test_asking_back import NAME, face_of, forgiving, greet
from tests.integrations.serving.wire import wired
from tests.toolsets.mcp.servers.control import until

pytestmark = pytest.mark.anyio

KEYS = (b"k" * 32,)


def accept(**content: Any) -> dict[str, Any]:
    return {"action": "accept", "content": content}


def text(result: dict[str, Any]) -> str:
    (block,) = result["content"]
    return block["text"]


async def test_a_round_ends_with_questions_and_the_next_one_brings_the_answers() -> None:
    async with face_of(greet) as face, wired(face) as wire:
        first = await wire.call("greet")
        assert first["resultType"] == "input_required"
        ((name, request),) = first["inputRequests"].items()
        assert (name, request["method"], request["params"]["message"]) == ("form", "elicitation/create", "Who?")
        state = first["requestState"]
        assert text(await wire.call("greet", answers={name: accept(name="Ada")}, state=state)) == "Hello Ada"


async def test_who_knows_the_questions_may_answer_in_advance() -> None:
    async with face_of(greet) as face, wired(face) as wire:
        answers = {"form": accept(name="Ada"), "other": accept(name="Bo")}
        assert text(await wire.call("greet", answers=answers)) == "Hello Ada"


@pytest.mark.parametrize("answer", [accept(), accept(name=7), {"roots": []}], ids=["empty", "wrong", "another kind"])
async def test_what_is_no_answer_is_asked_again(answer: Any) -> None:
    async with face_of(greet) as face, wired(face) as wire:
        first = await wire.call("greet")
        again = await wire.call("greet", answers={"form": answer}, state=first["requestState"])
        assert again["inputRequests"] == first["inputRequests"]
        state = again["requestState"]
        assert text(await wire.call("greet", answers={"form": accept(name="Ada")}, state=state)) == "Hello Ada"


async def test_an_answer_counts_for_the_question_that_was_asked_and_no_other() -> None:
    prices = [5, 500]

    @tool
    async def buy(context: ToolContext) -> str:
        reply = await caller_of(context).elicit(f"Buy for {prices[0]}?", form_of(ok={"type": "boolean"}))
        return f"bought for {prices[0]}: {reply.content['ok']}"

    async with face_of(buy) as face, wired(face) as wire:
        first = await wire.call("buy")
        del prices[0]
        second = await wire.call("buy", answers={"form": accept(ok=True)}, state=first["requestState"])
        assert second["inputRequests"]["form"]["params"]["message"] == "Buy for 500?"
        third = await wire.call("buy", answers={"form": accept(ok=False)}, state=second["requestState"])
        assert text(third) == "bought for 500: False"


async def test_what_was_answered_is_kept_while_something_else_is_asked() -> None:
    @tool
    async def both(context: ToolContext) -> str:
        names: list[str] = []

        async def ask(message: str) -> None:
            names.append(str((await caller_of(context).elicit(message, NAME)).content["name"]))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, "Who?")
            tasks.start_soon(ask, "And who?")
        return " ".join(sorted(names))

    async with face_of(both) as face, wired(face) as wire:
        first = await wire.call("both")
        assert sorted(first["inputRequests"]) == ["form", "form#2"]
        second = await wire.call("both", answers={"form": accept(name="Ada")}, state=first["requestState"])
        ((name, request),) = second["inputRequests"].items()
        assert (name, request) == ("form", first["inputRequests"]["form#2"])
        third = await wire.call("both", answers={"form": accept(name="Bo")}, state=second["requestState"])
        assert text(third) == "Ada Bo"


async def refused(face: Any, state: str, tool: str = "greet", **arguments: Any) -> None:
    async with wired(face) as wire:
        answers = {"form": accept(name="Ada")}
        assert (await wire.call(tool, arguments, answers=answers, state=state))["code"] == INVALID_PARAMS


async def state_of(face: Any, tool: str = "greet") -> str:
    async with wired(face) as wire:
        return (await wire.call(tool))["requestState"]


async def test_what_travels_is_sealed() -> None:
    async with face_of(greet, forgiving) as face:
        state = await state_of(face)
        assert "Who?" not in state
        await refused(face, f"{state}x")
        await refused(face, json.dumps({"v": 1, "asked": {}, "answered": {}}))
        await refused(face, state, "forgiving")
        await refused(face, state, name="other arguments")


async def test_what_one_user_was_asked_another_does_not_answer() -> None:
    async with face_of(greet, keys=KEYS, user="ann") as anns, face_of(greet, keys=KEYS, user="bob") as bobs:
        await refused(bobs, await state_of(anns))


async def test_workers_with_a_key_in_common_serve_each_others_rounds() -> None:
    new = (b"n" * 32, *KEYS)
    async with face_of(greet, keys=KEYS) as one, face_of(greet, keys=new) as other, face_of(greet) as stranger:
        state = await state_of(one)
        async with wired(other) as wire:
            answered = await wire.call("greet", answers={"form": accept(name="Ada")}, state=state)
            assert text(answered) == "Hello Ada"
        await refused(stranger, state)


def test_keys_that_are_short_are_refused_at_once() -> None:
    with pytest.raises(ConfigurationError):
        tool_server([greet], name="weak", settings=ServingSettings(state_keys=(b"short",)))
    assert "kkkk" not in repr(ServingSettings(state_keys=KEYS))


@pytest.mark.parametrize("state", ["no JSON", "{}", json.dumps({"v": 0, "asked": {}, "answered": {}})])
def test_what_another_version_has_asked_is_asked_again(state: str) -> None:
    assert known(state, None) == Known()


async def test_a_tool_that_hides_that_it_was_ended_is_asked_again_nevertheless() -> None:
    @tool
    async def hide(context: ToolContext) -> str:
        try:
            await caller_of(context).elicit("Who?", NAME)
        except BaseException as error:
            raise ToolError("no luck") from error
        return "answered"

    async with face_of(hide) as face, wired(face) as wire:
        first = await wire.call("hide")
        assert list(first["inputRequests"]) == ["form"]
        state = first["requestState"]
        assert text(await wire.call("hide", answers={"form": accept(name="Ada")}, state=state)) == "answered"


async def test_behind_a_shield_there_is_no_answer_and_what_the_tool_returns_counts() -> None:
    @tool
    async def shielded(context: ToolContext) -> str:
        with anyio.CancelScope(shield=True):
            try:
                await caller_of(context).elicit("Who?", NAME)
            except NoAnswer as error:
                return f"{error.question}: {error.problem}"
        return "answered"

    async with face_of(shielded) as face, wired(face) as wire:
        assert text(await wire.call("shielded")) == "form: the call is made again when it is answered"


@pytest.mark.parametrize("generation", ["older", "newer"])
async def test_when_the_call_has_ended_nothing_is_asked_or_told(generation: str) -> None:
    left: list[Caller] = []

    @tool
    async def leave(context: ToolContext) -> str:
        left.append(caller_of(context))
        return "left"

    async with face_of(leave) as face, wired(face) as wire:
        if generation == "older":
            await wire.open_session()
            await wire.request("tools/call", {"name": "leave", "arguments": {}})
        else:
            await wire.call("leave", level="debug")
        (caller,) = left
        caller.log("emergency", "too late")
        with pytest.raises(NoAnswer):
            await caller.elicit("Who?", NAME)
        assert (wire.heard, wire.asked) == ([], [])


# The log.


@tool
async def chatter(context: ToolContext) -> str:
    """Log at several levels."""
    caller = caller_of(context)
    data: dict[str, Json] = {"debug": "a", "info": {"n": float("nan")}, "error": "half \ud800"}
    caller.log("debug", data["debug"])
    caller.log("info", data["info"], "chat")
    caller.log("error", data["error"])
    return "said"


@pytest.mark.parametrize(
    ("level", "lines"), [(None, []), ("debug", ["debug", "info", "error"]), ("warning", ["error"])]
)
async def test_a_call_is_told_the_lines_that_it_asks_for(level: str | None, lines: list[str]) -> None:
    async with face_of(chatter) as face, wired(face) as wire:
        assert text(await wire.call("chatter", level=level)) == "said"
        assert [each["level"] for each in wire.heard] == lines


async def test_a_session_is_told_the_lines_that_it_wants() -> None:
    async with face_of(chatter) as face, wired(face) as wire:
        await wire.open_session()
        call: dict[str, Any] = {"name": "chatter", "arguments": {}}
        await wire.request("tools/call", call)
        assert wire.heard == [
            {"level": "info", "logger": "chat", "data": {"n": None}},
            {"level": "error", "data": r"'half \ud800'"},
        ]
        wire.heard.clear()
        await wire.request("logging/setLevel", {"level": "error"})
        await wire.request("tools/call", call)
        assert [each["level"] for each in wire.heard] == ["error"]


async def test_a_synchronous_tool_logs_from_its_thread() -> None:
    @tool
    def slowly(context: ToolContext) -> str:
        caller_of(context).log("notice", "from a thread")
        return "said"

    async with face_of(slowly) as face, wired(face) as wire:
        assert text(await wire.call("slowly", level="debug")) == "said"
        assert [each["data"] for each in wire.heard] == ["from a thread"]


async def test_a_caller_who_does_not_read_holds_nothing_up() -> None:
    @tool
    async def flood(context: ToolContext) -> str:
        for number in range(1000):
            caller_of(context).log("info", number)
        return "said"

    async with face_of(flood) as face, wired(face) as wire:
        assert text(await wire.call("flood", level="debug")) == "said"
        assert 0 < len(wire.heard) < 1000


def test_levels_of_sessions_that_were_set_long_ago_are_forgotten() -> None:
    levels = Levels()
    for number in range(5000):
        levels.set(str(number), "error")
    assert (levels.of("0"), levels.of("4999")) == ("info", "error")


# Questions within a session.


async def test_a_question_that_gets_nonsense_is_asked_three_times() -> None:
    async with face_of(forgiving) as face, wired(face) as wire:
        await wire.open_session()
        assert text(await wire.request("tools/call", {"name": "forgiving", "arguments": {}})) == "no answer to who"
        assert wire.asked == ["elicitation/create"] * 3


async def test_a_question_is_given_up_with_its_call_also_in_a_thread() -> None:
    ends: list[str] = []

    @tool
    def ask_slowly(context: ToolContext) -> str:
        try:
            reply = anyio.from_thread.run(caller_of(context).ask, {"who": Form(message="Who?", schema=NAME)})["who"]
        except BaseException as error:
            ends.append(type(error).__name__)
            raise
        assert isinstance(reply, Reply)
        return "answered"

    async with face_of(ask_slowly) as face, wired(face) as wire:
        await wire.open_session()
        number = await wire.send("tools/call", {"name": "ask_slowly", "arguments": {}})
        wire.answer = _refuse
        with pytest.raises(Asked):
            await wire.next()
        await wire.notify("notifications/cancelled", requestId=number)
        await until(lambda: bool(ends))


class Asked(Exception):
    """The server asks, and there is no answer."""


def _refuse(_: str, __: Any) -> dict[str, Any]:
    raise Asked
