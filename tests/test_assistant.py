"""The facade: what a user of the library meets first."""

import gc
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.context import Context
from assistant_kit.errors import (
    CannotFit,
    ConfigurationError,
    ConversationNotFound,
    DuplicateTool,
    InputError,
    OutputInvalid,
    UnknownModel,
    UnknownStore,
)
from assistant_kit.messages import Image, Text, UserMessage
from assistant_kit.models.openai import OpenAI
from assistant_kit.models.rule_model import RuleModel
from assistant_kit.settings import Settings, WindowSettings
from assistant_kit.testing.scripted_model import Call, CallTools, Refuse, Say, ScriptedModel
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.tool_spec import HostedTool
from assistant_kit.toolsets.functions import FunctionTools, tool

pytestmark = pytest.mark.anyio


@dataclass
class Weather:
    city: str
    degrees: int


@tool(effect="read")
def weather(city: str) -> str:
    """Today's weather."""
    return f"rain in {city}"


@tool(effect="read", name="weather")
async def weather_soon(city: str) -> str:
    """Today's weather."""
    return f"rain in {city}"


async def test_a_one_off_run_answers_without_a_store_or_a_user() -> None:
    with ScriptedModel(["Hello."]) as model:
        result = await Assistant(model, instructions="Be brief.").run("Hi")
    assert (result.output, result.text, result.status, result.conversation) == ("Hello.", "Hello.", "completed", None)
    assert model.requests[0].instructions == "Be brief."
    assert not model.requests[0].stream


async def test_a_stored_conversation_remembers_what_was_said() -> None:
    with ScriptedModel(["Hello Ann.", "Ann."]) as model:
        async with Assistant(model, store="memory:") as assistant:
            await assistant.run("I am Ann.", user="u", conversation="c")
            result = await assistant.run("Who am I?", user="u", conversation="c")
            history = await assistant.conversation("c", user="u").history()
    assert result.conversation == "c"
    assert [item.kind for item in model.requests[1].items] == ["user", "assistant", "user"]
    assert [(turn.input, turn.text, turn.outcome) for turn in history] == [
        ("I am Ann.", "Hello Ann.", "completed"),
        ("Who am I?", "Ann.", "completed"),
    ]


async def test_a_conversation_on_disk_goes_on_in_another_assistant(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'chat.db'}"
    with ScriptedModel(["Hello Ann."]) as model:
        async with Assistant(model, store=address) as assistant:
            await assistant.run("I am Ann.", user="u", conversation="c")
    with ScriptedModel(["Ann."]) as model:
        async with Assistant(model, store=address) as assistant:
            await assistant.conversation("c", user="u").run("Who am I?")
    assert len(model.requests[0].items) == 3


async def test_results_that_arrive_together_are_written_together(tmp_path: Path) -> None:
    step = CallTools(*[Call("weather", {"city": city}) for city in ("Oslo", "Bergen", "Rome")])
    with ScriptedModel([step, "Rain."]) as model:
        async with Assistant(model, tools=[weather_soon], store=f"sqlite:///{tmp_path / 'chat.db'}") as assistant:
            result = await assistant.run("Rain?", user="u", conversation="c")
            (turn,) = await assistant.conversation("c", user="u").history()
    assert [call.text for call in turn.tool_calls] == ["rain in Oslo", "rain in Bergen", "rain in Rome"]
    assert turn.tool_calls == result.tool_calls


async def test_users_with_one_conversation_name_do_not_meet() -> None:
    with ScriptedModel(["A", "B"]) as model:
        async with Assistant(model, store="memory:") as assistant:
            await assistant.run("mine", user="u1", conversation="c")
            await assistant.run("also mine", user="u2", conversation="c")
            assert [turn.input for turn in await assistant.conversation("c", user="u2").history()] == ["also mine"]
            assert [info.conversation for info in await assistant.conversations(user="u1")] == ["c"]
            with pytest.raises(ConversationNotFound):
                await assistant.conversation("other", user="u1").history()
    assert len(model.requests[1].items) == 1


def remembered(text: str) -> int:
    """How many parts of messages with this text live in the process."""
    gc.collect()
    return sum(1 for one in gc.get_objects() if type(one) is Text and one.text == text)


async def test_the_words_of_a_deleted_conversation_leave_the_process() -> None:
    canary = "the words of a conversation that is deleted"
    assistant = Assistant(RuleModel([], fallback="answer"), store="memory:")
    await assistant.run(canary, user="u", conversation="c")
    assert remembered(canary)  # for the next turn
    await assistant.conversation("c", user="u").delete()
    await assistant.run("something else", user="u", conversation="d")
    assert not remembered(canary)


async def test_a_deleted_conversation_is_gone() -> None:
    with ScriptedModel(["A"]) as model:
        async with Assistant(model, store="memory:") as assistant:
            chat = assistant.conversation("c", user="u")
            await chat.run("x")
            await chat.delete()
            assert not await assistant.conversations(user="u")


async def test_all_that_is_kept_of_a_user_is_exported_and_erased() -> None:
    with ScriptedModel(["A", "B", "C"]) as model:
        async with Assistant(model, store="memory:") as assistant:
            await assistant.run("my word", user="u", conversation="c")
            await assistant.run("my word", user="u", conversation="d")
            await assistant.run("theirs", user="other", conversation="c")
            one = [line async for line in assistant.conversation("c", user="u").export()]
            everything = [line async for line in assistant.export_user("u")]
            assert sum("my word" in line for line in one) == 1
            assert sum("my word" in line for line in everything) == 2
            assert await assistant.erase_user("u") == 2
            assert not await assistant.conversations(user="u")
            assert not any(["my word" in line async for line in assistant.export_user("u")])
            assert len(await assistant.conversations(user="other")) == 1


async def test_tools_are_called_and_their_results_reach_the_model() -> None:
    with ScriptedModel([CallTools(Call("weather", {"city": "Oslo"})), "Rain."]) as model:
        result = await Assistant(model, tools=[weather]).run("Rain in Oslo?")
    assert [(call.tool, call.arguments, call.outcome, call.text) for call in result.tool_calls] == [
        ("weather", '{"city": "Oslo"}', "ok", "rain in Oslo")
    ]
    assert [item.kind for item in model.requests[1].items] == ["user", "tool_call", "tool_answer"]
    assert [item.kind for item in result.messages] == ["user", "tool_call", "tool_answer", "assistant"]
    assert result.usage.requests == 2


async def test_a_structured_output_is_validated_and_typed() -> None:
    with ScriptedModel(['{"city": "Oslo", "degrees": 3}']) as model:
        result = await Assistant(model, output_type=Weather).run("Weather?")
    assert result.output == Weather("Oslo", 3)
    schema = model.requests[0].output
    assert schema is not None
    assert (schema.name, schema.strict) == ("Weather", True)


async def test_an_output_that_does_not_validate_is_repaired_once() -> None:
    with ScriptedModel(["Oslo, 3 degrees", '{"city": "Oslo", "degrees": 3}']) as model:
        async with Assistant(model, output_type=Weather).stream("Weather?") as run:
            events = [event async for event in run]
            result = await run.result()
    assert result.output == Weather("Oslo", 3)
    assert [event.text for event in events if event.kind == "text_retracted"] == ["Oslo, 3 degrees"]
    assert [item.kind for item in model.requests[1].items] == ["user", "assistant", "developer"]
    assert [item.kind for item in result.messages] == ["user", "assistant", "developer", "assistant"]


async def test_an_output_that_stays_invalid_is_an_error_with_the_text() -> None:
    with ScriptedModel(["no", "still no"]) as model, pytest.raises(OutputInvalid) as caught:
        await Assistant(model, output_type=Weather).run("Weather?")
    assert caught.value.text == "still no"


async def test_a_refusal_is_no_structured_output() -> None:
    with ScriptedModel([Refuse("No."), Refuse("No!")]) as model, pytest.raises(OutputInvalid) as caught:
        await Assistant(model, output_type=Weather).run("Weather?")
    assert caught.value.text == "No!"
    with ScriptedModel([Refuse("No.")]) as model:
        result = await Assistant(model).run("Weather?")
    assert (result.output, result.refusal) == ("", "No.")


async def test_user_input_may_be_text_and_images() -> None:
    picture = Image(data=b"png", media_type="image/png")
    with ScriptedModel(["A cat."]) as model:
        await Assistant(model).run(["What is this?", picture])
    assert model.requests[0].items == (UserMessage(content=(Text(text="What is this?"), picture)),)


@pytest.mark.parametrize("empty", ["", "  \n", []])
async def test_an_empty_message_is_refused(empty: str) -> None:
    with ScriptedModel([]) as model, pytest.raises(InputError):
        await Assistant(model).run(empty)


async def test_a_stored_run_asks_for_a_user_and_a_store() -> None:
    with ScriptedModel([]) as model:
        with pytest.raises(InputError):
            await Assistant(model, store="memory:").run("x", conversation="c")
        with pytest.raises(ConfigurationError):
            await Assistant(model).run("x", conversation="c", user="u")
        with pytest.raises(InputError):
            await Assistant(model, store="memory:").run("x", request_id="r")


@pytest.mark.parametrize("name", ["gpt-5", "openai:", "acme:x", ""])
async def test_an_unknown_model_string_says_how_to_write_one(name: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        Assistant(name)
    assert caught.value.model == name


async def test_an_unknown_store_address_says_which_are_known() -> None:
    with ScriptedModel([]) as model, pytest.raises(UnknownStore) as caught:
        Assistant(model, store="mongo://x")
    assert caught.value.address == "mongo://x"


async def test_a_model_string_picks_the_provider() -> None:
    assistant = Assistant("openai:gpt-test")
    assert isinstance(assistant.model, OpenAI)
    assert assistant.model.name == "openai:gpt-test"
    await assistant.aclose()


async def test_two_tools_of_one_name_are_an_error_that_names_both() -> None:
    def other() -> str:
        return ""

    other.__name__ = "weather"
    with ScriptedModel([]) as model, pytest.raises(DuplicateTool) as caught:
        Assistant(model, tools=[weather, other])
    assert caught.value.name == "weather"
    assert len(set(caught.value.origins)) == 2


async def test_two_toolsets_with_one_name_are_found_when_they_connect() -> None:
    with ScriptedModel([]) as model, pytest.raises(DuplicateTool):
        async with Assistant(model, tools=[weather, FunctionTools([weather])]):
            pass


async def test_a_window_without_room_for_a_request_is_refused() -> None:
    for sizes in ({"max_tokens": 100, "reserved_output": 100}, {"reserved_output": -1}):
        with pytest.raises(ConfigurationError):
            WindowSettings(**sizes)


async def test_what_is_no_tool_is_refused() -> None:
    with ScriptedModel([]) as model, pytest.raises(ConfigurationError):
        Assistant(model, tools=["npx server"])  # pyright: ignore[reportArgumentType]


async def test_hosted_tools_pass_through_as_declared() -> None:
    hosted = HostedTool(declaration={"type": "web_search"})
    with ScriptedModel(["ok"]) as model:
        assistant = Assistant(model, tools=[weather, hosted])
        await assistant.run("x")
        assert await assistant.tools() == (weather.spec, hosted)
    assert model.requests[0].tools == (weather.spec, hosted)


async def test_the_tools_of_a_model_are_the_same_object_from_run_to_run() -> None:
    with ScriptedModel(["a", "b"]) as model:
        assistant = Assistant(model, tools=[weather])
        await assistant.run("x")
        await assistant.run("x")
    assert model.requests[0].tools is model.requests[1].tools


async def test_toolsets_that_connect_ask_for_async_with() -> None:
    with ScriptedModel(["ok"]) as model:
        assistant = Assistant(model, tools=[FunctionTools([weather])])
        with pytest.raises(ConfigurationError):
            await assistant.run("x")
        async with assistant:
            await assistant.run("x")
            with pytest.raises(ConfigurationError):
                async with assistant:
                    pass


async def test_a_model_that_was_passed_in_stays_open() -> None:
    with ScriptedModel([]) as model:
        async with Assistant(model, store="memory:"):
            pass
    assert not model.closed


async def test_a_message_that_cannot_fit_is_refused_before_it_is_stored() -> None:
    settings = Settings(window=WindowSettings(max_tokens=200, reserved_output=100))
    with ScriptedModel([]) as model:
        async with Assistant(
            model, store="memory:", settings=settings, context=Context(token_counter=UpperBound())
        ) as assistant:
            with pytest.raises(CannotFit) as caught:
                await assistant.run("x" * 1_000, user="u", conversation="c")
            assert caught.value.part == "the user message"
            assert not await assistant.conversations(user="u")
            with pytest.raises(CannotFit):
                await assistant.run("x" * 1_000)


async def test_a_conversation_handle_takes_a_time_limit_and_a_request_id() -> None:
    with ScriptedModel(["one"]) as model:
        async with Assistant(model, store="memory:") as assistant:
            chat = assistant.conversation("c", user="u")
            first = await chat.run("x", request_id="r", timeout=60)
            assert await chat.run("x", request_id="r", timeout=60) == first


async def test_old_turns_leave_the_request_when_the_window_is_full() -> None:
    settings = Settings(window=WindowSettings(max_tokens=500, reserved_output=100))
    with ScriptedModel([Say("y" * 100) for _ in range(6)]) as model:
        async with Assistant(
            model, store="memory:", settings=settings, context=Context(token_counter=UpperBound())
        ) as assistant:
            for _ in range(6):
                await assistant.run("x" * 50, user="u", conversation="c")
            assert len(await assistant.conversation("c", user="u").history()) == 6
    assert [len(request.items) for request in model.requests] == [1, 3, 5, 3, 5, 3]


async def test_a_given_token_counter_is_used() -> None:
    class Counting(UpperBound):
        counted = 0

        def count(self, text: str) -> int:
            Counting.counted += 1
            return super().count(text)

    with ScriptedModel(["ok"]) as model:
        await Assistant(model, context=Context(token_counter=Counting())).run("x")
    assert Counting.counted > 0


async def test_many_runs_share_one_assistant() -> None:
    model = ScriptedModel(["ok"] * 50)
    async with Assistant(model, store="memory:") as assistant:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for number in range(50):
                    group.start_soon(_run_once, assistant, number)
    assert len(model.requests) == 50


async def _run_once(assistant: Assistant[str], number: int) -> None:
    result = await assistant.run("x", user=f"u{number % 5}", conversation=f"c{number % 10}")
    assert result.output == "ok"
