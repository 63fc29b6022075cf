"""One conversation through real HTTP: both wire formats, streamed and not, on both event loops, with its journal."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from assistant_kit.entries import ToolFinished, ToolStarted
from assistant_kit.messages import AssistantMessage, Image, Text
from assistant_kit.settings import ModelSettings, Settings, WindowSettings
from assistant_kit.tool_spec import HostedTool
from assistant_kit.toolsets.functions import tool
from assistant_kit.usage import Usage
from tests.end_to_end.talking import (
    WAYS,
    WIRES,
    Way,
    assert_all_accepted,
    assert_each_goes_on,
    events_of,
    instructions,
    items,
    journal,
    opened,
    talk,
    tool_texts,
)
from tests.journals import PNG
from tests.openai_server import Answer, Behaviour, Call, OpenAIServer
from tests.openai_server import Usage as Reported

pytestmark = pytest.mark.anyio

every_way = pytest.mark.parametrize("way", WAYS, ids=str)
every_wire = pytest.mark.parametrize("way", WIRES, ids=str)
streamed_wires = pytest.mark.parametrize("way", [way for way in WIRES if way.streamed], ids=str)


@tool(effect="read")
async def weather(city: str) -> str:
    """Today's weather in a city."""
    return f"rain in {city}"


@tool
async def pay(amount: int) -> str:
    """Pay an amount."""
    raise RuntimeError(f"the bank is closed, password hunter2, {amount}")


THREE_CALLS = Answer(
    reasoning="two cities and a bill",
    tool_calls=(Call("weather", {"city": "Oslo"}), Call("weather", {"city": "Rome"}), Call("pay", {"amount": 5})),
    usage=Reported(input=100, output=20, cached=64, reasoning=8),
)


@every_way
async def test_a_conversation_with_tools_is_sent_as_a_strict_provider_wants_it(
    server: OpenAIServer, tmp_path: Path, way: Way
) -> None:
    replies = [THREE_CALLS, Answer("Rain.", reasoning="done", usage=Reported(input=130, output=5)), Answer("Bye.")]
    with anyio.fail_after(10):
        async with opened(server, way, tmp_path, tools=[weather, pay]) as assistant:
            server.script(replies)
            first = await talk(assistant, way, "Rain in Oslo and Rome? And pay 5.")
            second = await talk(assistant, way, "Thanks")
            history = await assistant.conversation("c", user="u").history()
    assert (first.output, second.output) == ("Rain.", "Bye.")
    assert_all_accepted(server)
    assert_each_goes_on(server.requests)
    assert [request.route for request in server.requests] == [way.wire] * 3
    assert [request.streamed for request in server.requests] == [way.streamed] * 3
    assert {instructions(request) for request in server.requests} == {"Be brief."}
    assert tool_texts(server.requests[1])[:2] == ["rain in Oslo", "rain in Rome"]
    assert b"hunter2" not in server.requests[1].raw
    assert first.usage == Usage(requests=2, input_tokens=230, output_tokens=25, cached_tokens=64, reasoning_tokens=8)
    assert [call.outcome for call in first.tool_calls] == ["ok", "ok", "error"]
    assert [(turn.text, turn.outcome, turn.usage) for turn in history] == [
        ("Rain.", "completed", first.usage),
        ("Bye.", "completed", second.usage),
    ]


@every_way
async def test_the_journal_holds_what_happened_in_its_order(server: OpenAIServer, tmp_path: Path, way: Way) -> None:
    async with opened(server, way, tmp_path, tools=[weather, pay]) as assistant:
        server.script([THREE_CALLS, Answer("Rain.")])
        await talk(assistant, way, "Rain?")
    entries = await journal(tmp_path)
    kinds = [entry.kind for entry in entries]
    assert kinds[:2] + kinds[-2:] == ["turn_started", "model_responded", "model_responded", "turn_finished"]
    started = [entry for entry in entries if isinstance(entry, ToolStarted)]
    finished = [entry for entry in entries if isinstance(entry, ToolFinished)]
    assert kinds[2:6] == ["tool_started"] + ["tool_finished"] * 3
    # A call that may simply be made again needs no intent.
    assert [(entry.key, entry.tool, entry.effect) for entry in started] == [("1.2", "pay", "once")]
    assert sorted(entry.key for entry in finished) == ["1.0", "1.1", "1.2"]


@streamed_wires
async def test_a_reader_sees_the_calls_their_results_and_the_text_as_they_come(
    server: OpenAIServer, tmp_path: Path, way: Way
) -> None:
    async with opened(server, way, tmp_path, tools=[weather, pay]) as assistant:
        server.script([THREE_CALLS, Answer("It rains.", pieces=("It ", "rains", "."))])
        events = await events_of(assistant, "Rain?")
    kinds = [event.kind for event in events if event.kind != "reasoning_token"]
    assert kinds == ["tool_request"] * 3 + ["tool_result"] * 3 + ["token"] * 3 + ["complete"]
    assert "".join(event.text for event in events if event.kind == "token") == "It rains."
    assert events[-1].kind == "complete"
    assert events[-1].output == "It rains."


@every_wire
async def test_tools_that_are_asked_for_together_run_together(server: OpenAIServer, tmp_path: Path, way: Way) -> None:
    both = anyio.Event()
    begun: list[int] = []

    @tool(effect="read")
    async def meet(number: int) -> str:
        begun.append(number)
        if len(begun) == 2:
            both.set()
        await both.wait()
        return f"met {number}"

    server.script([Answer(tool_calls=(Call("meet", {"number": 1}), Call("meet", {"number": 2}))), Answer("ok")])
    with anyio.fail_after(5):
        async with opened(server, way, tmp_path, tools=[meet]) as assistant:
            await talk(assistant, way, "meet")
    assert tool_texts(server.requests[1]) == ["met 1", "met 2"]
    assert_all_accepted(server)


@every_wire
async def test_calls_to_which_a_server_gives_one_id_stay_calls_of_their_own(
    server: OpenAIServer, tmp_path: Path, way: Way
) -> None:
    twins = tuple(Call("weather", {"city": city}, call_id="same") for city in ("Oslo", "Rome"))
    server.script([Answer(tool_calls=twins), Answer(tool_calls=twins[:1]), Answer("Rain.")])
    async with opened(server, way, tmp_path, tools=[weather]) as assistant:
        result = await talk(assistant, way, "Rain?")
    assert [call.text for call in result.tool_calls] == ["rain in Oslo", "rain in Rome", "rain in Oslo"]
    assert len({call.call_id for call in result.tool_calls}) == 3
    assert tool_texts(server.requests[2]) == [call.text for call in result.tool_calls]
    assert_all_accepted(server)


@pytest.mark.parametrize("streamed", [False, True])
async def test_reasoning_is_sent_back_whole_and_where_it_was(
    server: OpenAIServer, tmp_path: Path, *, streamed: bool
) -> None:
    way = Way("responses", streamed)
    async with opened(server, way, tmp_path, tools=[weather]) as assistant:
        server.script(
            [
                Answer(reasoning="first", tool_calls=(Call("weather", {"city": "Oslo"}),)),
                Answer("Rain.", reasoning="second"),
                Answer("ok"),
            ]
        )
        await talk(assistant, way, "Rain?")
        await talk(assistant, way, "Thanks")
    sent = items(server.requests[2])
    kinds = [item["type"] for item in sent]
    assert kinds == [
        "message", "reasoning", "function_call", "function_call_output", "reasoning", "message", "message",
    ]  # fmt: skip
    thoughts = [item for item in sent if item["type"] == "reasoning"]
    assert [thought["summary"][0]["text"] for thought in thoughts] == ["first", "second"]
    assert all(thought["id"] and thought["encrypted_content"].startswith("gAAAAA") for thought in thoughts)
    assert server.requests[0].body["store"] is False
    assert server.requests[0].body["include"] == ["reasoning.encrypted_content"]
    assert_all_accepted(server)


@every_way
async def test_a_refusal_is_a_result_and_stays_in_the_conversation(
    server: OpenAIServer, tmp_path: Path, way: Way
) -> None:
    async with opened(server, way, tmp_path) as assistant:
        server.script([Answer(refusal="I will not."), Answer("Fine.")])
        refused = await talk(assistant, way, "Do harm")
        await talk(assistant, way, "Then be kind")
        history = await assistant.conversation("c", user="u").history()
    assert (refused.output, refused.refusal, refused.status) == ("", "I will not.", "completed")
    assert [turn.text for turn in history] == ["I will not.", "Fine."]
    assert "I will not." in server.requests[1].raw.decode()
    assert_all_accepted(server)


@every_wire
async def test_pictures_travel_in_a_message_and_in_the_history(server: OpenAIServer, tmp_path: Path, way: Way) -> None:
    async with opened(server, way, tmp_path) as assistant:
        await talk(assistant, way, ["What is this?", Image(data=PNG, media_type="image/png")])
        await talk(assistant, way, [Text(text="And this?"), Image(url="https://example.com/cat.png", detail="low")])
        await talk(assistant, way, "Thanks")
    last = items(server.requests[2])
    pictures = [_picture(part) for item in last if item["role"] == "user" for part in _parts(item)]
    assert [url[:22] for url in pictures if url] == ["data:image/png;base64,", "https://example.com/ca"]
    assert_each_goes_on(server.requests)
    assert_all_accepted(server)


def _parts(item: dict[str, Any]) -> list[dict[str, Any]]:
    return [] if isinstance(item["content"], str) else item["content"]


def _picture(part: dict[str, Any]) -> str:
    found = part.get("image_url", "")
    return found if isinstance(found, str) else found["url"]


HOSTED: dict[str, Any] = {"type": "web_search", "search_context_size": "low"}


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_hosted_tool_is_declared_as_it_was_given(
    server: OpenAIServer, tmp_path: Path, *, streamed: bool
) -> None:
    way = Way("responses", streamed)
    async with opened(server, way, tmp_path, tools=[weather, HostedTool(declaration=HOSTED)]) as assistant:
        await talk(assistant, way, "News?")
    assert server.requests[0].body["tools"][-1] == HOSTED
    assert [declared["type"] for declared in server.requests[0].body["tools"]] == ["function", "web_search"]
    assert_all_accepted(server)


@pytest.mark.parametrize("streamed", [False, True])
async def test_what_a_hosted_tool_did_is_sent_back_as_it_came(tmp_path: Path, *, streamed: bool) -> None:
    way = Way("responses", streamed)
    searched = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "q": "x"}}
    with OpenAIServer(Behaviour(strict=False)) as lenient:
        async with opened(lenient, way, tmp_path, tools=[HostedTool(declaration=HOSTED)]) as assistant:
            lenient.script([Answer("Found.", reasoning="look", items=(searched,)), Answer("ok")])
            result = await talk(assistant, way, "News?")
            await talk(assistant, way, "Thanks")
    assert [item for item in items(lenient.requests[1]) if item["type"] == "web_search_call"] == [searched]
    assert [type(item) for item in result.messages][-1] is AssistantMessage


@every_wire
async def test_old_turns_are_left_out_of_a_small_window_and_every_request_is_accepted(
    server: OpenAIServer, tmp_path: Path, way: Way
) -> None:
    server.script(_ask_then_answer)
    settings = Settings(
        window=WindowSettings(max_tokens=2_300, reserved_output=300), model=ModelSettings(max_output_tokens=300)
    )
    with anyio.fail_after(20):
        async with opened(server, way, tmp_path, tools=[weather], settings=settings) as assistant:
            for number in range(12):
                await talk(assistant, way, f"question {number} " + "x" * 100)
            history = await assistant.conversation("c", user="u").history()
    assert_all_accepted(server)
    assert [turn.outcome for turn in history] == ["completed"] * 12
    last = server.requests[-1].raw.decode()
    assert "question 0 " not in last
    assert "question 10 " in last
    assert "question 11 " in last
    assert max(len(items(request)) for request in server.requests) < 24
    added = 3 if way.wire == "responses" else 2
    for asked, answered in zip(server.requests[::2], server.requests[1::2], strict=True):
        kept = items(answered)[:-added]  # as the turn grows, more of the oldest may have to go, and nothing else
        assert kept == items(asked)[-len(kept) :]


def _ask_then_answer(request: Any) -> Answer:
    last = items(request)[-1]
    if last.get("role") == "user":
        return Answer(reasoning="think", tool_calls=(Call("weather", {"city": "Oslo"}),))
    return Answer("It rains. " + "y" * 100, reasoning="more")
