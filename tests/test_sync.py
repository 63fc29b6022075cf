"""The same assistant without await."""

import threading

import anyio
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.errors import ModelBroke
from assistant_kit.testing.scripted_model import Call, CallTools, Cut, ScriptedModel
from assistant_kit.toolsets.functions import FunctionTools, tool


@tool(effect="read")
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def test_a_script_runs_turns_without_await() -> None:
    with ScriptedModel([CallTools(Call("add", {"a": 1, "b": 2})), "3", "4"]) as model:
        assistant = Assistant(model, tools=[FunctionTools([add])], store="memory:")
        with assistant.sync as kit:
            assert kit.run("1 + 2?", user="u", conversation="c").output == "3"
            assert kit.run("2 + 2?", user="u", conversation="c").output == "4"


def test_without_a_with_block_the_thread_ends_on_close_and_starts_again_on_use() -> None:
    before = {*threading.enumerate()}
    with ScriptedModel(["a", "b"]) as model:
        kit = Assistant(model).sync
        assert kit.run("x").output == "a"
        assert {*threading.enumerate()} - before
        kit.close()
        kit.close()
        assert kit.run("x").output == "b"
        kit.close()


def test_anything_else_of_an_assistant_is_called_in_its_loop() -> None:
    with ScriptedModel(["a"]) as model:
        assistant = Assistant(model, store="memory:")
        with assistant.sync as kit:
            kit.run("x", user="u", conversation="c")
            chat = assistant.conversation("c", user="u")
            assert [turn.text for turn in kit.call(chat.history)] == ["a"]


def test_events_are_read_as_they_come() -> None:
    with ScriptedModel(["Hello there"]) as model, Assistant(model).sync as kit, kit.stream("x") as run:
        kinds = [event.kind for event in run]
        assert run.result().output == "Hello there"
    assert kinds == ["token", "token", "complete"]


def test_a_stream_may_be_left_early() -> None:
    @tool
    async def wait() -> str:
        await anyio.sleep_forever()
        return ""

    with ScriptedModel([CallTools(Call("wait"), text="Wait"), "now"]) as model:
        assistant = Assistant(model, tools=[wait], store="memory:")
        with assistant.sync as kit:
            with kit.stream("x", user="u", conversation="c") as run:
                assert next(iter(run)).kind == "token"
            assert kit.run("x", user="u", conversation="c").output == "now"


def test_errors_reach_the_caller() -> None:
    with ScriptedModel([Cut(after="a"), Cut(after="a")]) as model, Assistant(model, policies=[]).sync as kit:
        with pytest.raises(ModelBroke):
            kit.run("x")
        with kit.stream("x") as run, pytest.raises(ModelBroke):
            list(run)


def test_threads_share_one_assistant() -> None:
    outputs: list[str] = []
    with ScriptedModel(["ok"] * 8) as model, Assistant(model).sync as kit:
        threads = [threading.Thread(target=lambda: outputs.append(kit.run("x").output)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert outputs == ["ok"] * 8
