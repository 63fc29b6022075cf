"""Bad input: one clear error of one type with its data; nothing stored is lost, and no secret gets out."""

import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.errors import (
    AssistantKitError,
    CannotFit,
    ConfigurationError,
    ConversationNotFound,
    InputError,
    ModelBroke,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelUnauthorized,
    ModelUnreachable,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
    ToolsetError,
    UnknownModel,
)
from assistant_kit.events import ToolRequest
from assistant_kit.models.openai import OpenAI, OpenAIChat, OpenAIResponses
from assistant_kit.policies.retry import Retry
from assistant_kit.settings import Settings, WindowSettings
from assistant_kit.toolsets.functions import tool
from assistant_kit.toolsets.mcp.server import MCPServer
from tests.end_to_end.talking import (
    KEY,
    TWO_WAYS,
    WAYS,
    WIRES,
    Way,
    assert_all_accepted,
    events_of,
    journal,
    model_for,
    opened,
    talk,
    tool_texts,
)
from tests.openai_server import Answer, Behaviour, Call, OpenAIServer, Raw, Request, Status
from tests.toolsets.mcp.servers.control import command

pytestmark = pytest.mark.anyio

every_way = pytest.mark.parametrize("way", WAYS, ids=str)
every_wire = pytest.mark.parametrize("way", WIRES, ids=str)
two_ways = pytest.mark.parametrize("way", TWO_WAYS, ids=str)


@pytest.mark.parametrize("name", ["gpt-5", "", ":", "openai:", "openai: ", "nobody:gpt-5", "OpenAI:x"])
def test_a_model_string_that_names_no_provider_is_named_in_the_error(name: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        Assistant(name)
    assert caught.value.model == name


@pytest.mark.parametrize("kind", [OpenAI, OpenAIResponses, OpenAIChat])
async def test_without_a_key_nothing_is_sent(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, kind: type[OpenAI | OpenAIResponses | OpenAIChat]
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigurationError):
        await Assistant(kind("m")).run("x")
    assert server.requests == []


async def failed_after_a_good_turn(
    server: OpenAIServer, way: Way, folder: Path, spoil: Status | Raw
) -> tuple[AssistantKitError, list[str | None]]:
    """Run a good turn, a spoiled one and a good one; return the error and the outcomes."""
    async with opened(server, way, folder) as assistant:
        server.script([Answer("Hi.")])
        await talk(assistant, way, "Hello")
        before = (await assistant.conversation("c", user="u").history())[0]
        server.script([spoil] * 6)
        with pytest.raises(AssistantKitError) as caught:
            await talk(assistant, way, "And?")
        server.script([Answer("Fine.")])
        assert (await talk(assistant, way, "And now?")).output == "Fine."
        history = await assistant.conversation("c", user="u").history()
        assert history[0] == before
    assert_all_accepted(server)
    return caught.value, [turn.outcome for turn in history]


BAD_SERVERS: dict[str, tuple[Status | Raw, type[ModelError], int | None, str | None]] = {
    "a wrong key": (Status(401), ModelUnauthorized, 401, "invalid_request_error"),
    "a rate limit without end": (Status(429, headers={"retry-after": "0"}), ModelRateLimited, 429, "requests"),
    "no server of models": (Status(200, "<html>nginx</html>"), ModelBroke, None, None),
    "a refused request": (Status(400), ModelRejected, 400, "invalid_request_error"),
    "no word": (Raw(b""), ModelUnreachable, None, None),
}


@every_wire
@pytest.mark.parametrize("bad", BAD_SERVERS)
async def test_a_provider_that_does_not_answer_is_one_error_and_loses_nothing(
    server: OpenAIServer, tmp_path: Path, way: Way, bad: str
) -> None:
    spoil, kind, status, code = BAD_SERVERS[bad]
    with anyio.fail_after(10):
        error, outcomes = await failed_after_a_good_turn(server, way, tmp_path, spoil)
    assert type(error) is kind
    assert isinstance(error, ModelError)
    assert (error.model, error.status, error.code) == ("openai:m", status, code)
    assert outcomes == ["completed", "failed", "completed"]


@every_way
async def test_a_server_that_is_not_there_is_named_in_the_error(tmp_path: Path, way: Way) -> None:
    with OpenAIServer() as gone:
        pass
    model = model_for(way, gone)
    assistant = Assistant(model, store=f"sqlite:///{tmp_path}/journal.db", policies=(Retry(base=0.0),))
    async with assistant:
        with pytest.raises(ModelUnreachable) as caught:
            await talk(assistant, way, "x")
        assert [turn.outcome for turn in await assistant.conversation("c", user="u").history()] == ["failed"]
    await model.aclose()
    assert f"127.0.0.1:{gone.port}" in str(caught.value)
    assert "OPENAI_BASE_URL" in str(caught.value)


@every_way
async def test_a_key_is_in_no_error_no_repr_and_no_log(
    tmp_path: Path, way: Way, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    with OpenAIServer(Behaviour(api_key="another")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        async with opened(server, way, tmp_path) as assistant:
            errors: list[BaseException] = []
            for _ in range(2):
                with pytest.raises(ModelUnauthorized) as caught:
                    await talk(assistant, way, "Hello")
                errors.append(caught.value)
            said = [repr(assistant), repr(assistant.model), repr(vars(errors[0])), caplog.text]
            said += ["".join(traceback.format_exception(error)) for error in errors]
    said += [repr(entry) for entry in await journal(tmp_path)]
    assert len(server.requests) == 2
    assert [text for text in said if KEY in text] == []


@every_way
async def test_a_key_that_the_server_says_again_is_not_quoted(server: OpenAIServer, tmp_path: Path, way: Way) -> None:
    echo = Status(401, {"error": {"message": f"Key {KEY} is wrong", "type": "invalid_request_error"}})
    error, _ = await failed_after_a_good_turn(server, way, tmp_path, echo)
    assert type(error) is ModelUnauthorized
    assert KEY not in f"{error} {error!r} {vars(error)}"
    assert KEY not in "".join(traceback.format_exception(error))
    assert [entry for entry in await journal(tmp_path) if KEY in repr(entry)] == []


@tool(effect="read")
async def weather(city: str, days: int = 1) -> str:
    """The weather in a city."""
    return f"rain in {city} for {days}"


BAD_CALLS: dict[str, Call] = {
    "a tool that is not there": Call("wether", {"city": "Oslo"}),
    "a name that is none": Call("functions.weather\n", {"city": "Oslo"}),
    "no name": Call("", {}),
    "no JSON": Call("weather", "city=Oslo"),
    "half of it": Call("weather", '{"city": "Os'),
    "no object": Call("weather", '["Oslo"]'),
    "nothing": Call("weather", ""),
    "null": Call("weather", "null"),
    "a wrong type": Call("weather", {"city": "Oslo", "days": "many"}),
    "an argument too many": Call("weather", {"city": "Oslo", "town": "Oslo"}),
    "an argument missing": Call("weather", {"days": 3}),
    "too deep": Call("weather", '{"city":' + "[" * 5_000 + "]" * 5_000 + "}"),
    "a number too long": Call("weather", '{"city": "Oslo", "days": ' + "9" * 5_000 + "}"),
    "no number": Call("weather", '{"city": "Oslo", "days": NaN}'),
    "half a character": Call("weather", '{"city": ["\\ud800"]}'),
}


@two_ways
@pytest.mark.parametrize("bad", BAD_CALLS)
async def test_a_call_that_cannot_be_made_is_told_to_the_model_which_goes_on(
    server: OpenAIServer, tmp_path: Path, way: Way, bad: str
) -> None:
    good = Call("weather", {"city": "Oslo"})
    async with opened(server, way, tmp_path, tools=[weather]) as assistant:
        server.script([Answer(tool_calls=(BAD_CALLS[bad], good)), Answer("Rain."), Answer("Bye.")])
        result = await talk(assistant, way, "Rain?")
        await talk(assistant, way, "Thanks")
    assert (result.output, [call.outcome for call in result.tool_calls]) == ("Rain.", ["error", "ok"])
    said, rain = tool_texts(server.requests[1])
    assert (bool(said), rain) == (True, "rain in Oslo for 1")
    assert "Traceback" not in said
    assert len(server.requests) == 3
    assert_all_accepted(server)


async def test_the_model_is_told_what_there_is_and_what_was_wrong(server: OpenAIServer, tmp_path: Path) -> None:
    way = Way("responses", streamed=True)
    bad = (BAD_CALLS["a tool that is not there"], BAD_CALLS["a wrong type"], BAD_CALLS["no JSON"])
    async with opened(server, way, tmp_path, tools=[weather]) as assistant:
        server.script([Answer(tool_calls=bad), Answer("Sorry.")])
        events = await events_of(assistant, "Rain?")
    missing, wrong, garbled = tool_texts(server.requests[1])
    assert "wether" in missing
    assert "weather" in missing.replace("wether", "")
    assert "days" in wrong
    assert "JSON" in garbled
    asked = [event.arguments for event in events if isinstance(event, ToolRequest)]
    assert asked == [{"city": "Oslo"}, {"city": "Oslo", "days": "many"}, None]


@pytest.mark.parametrize(
    "line",
    [["/no/such/program"], [sys.executable, "-c", "raise SystemExit(3)"], [sys.executable, "-c", "print('hello')"]],
    ids=["not there", "dies", "speaks another language"],
)
async def test_a_tool_server_that_does_not_start_is_named_and_nothing_is_sent(
    server: OpenAIServer, tmp_path: Path, line: Sequence[str]
) -> None:
    assistant = Assistant(
        "openai:m", tools=[MCPServer(line, name="calendar")], store=f"sqlite:///{tmp_path}/journal.db"
    )
    with anyio.fail_after(20), pytest.raises(ToolsetError) as caught:
        async with assistant:
            pass
    await assistant.aclose()
    assert caught.value.toolset == "calendar"
    assert server.requests == []


async def test_a_tool_server_that_was_not_connected_is_an_error_before_anything_is_sent(server: OpenAIServer) -> None:
    assistant = Assistant("openai:m", tools=[MCPServer(["some-server"])])
    with pytest.raises(ConfigurationError):
        await assistant.run("x")
    assert server.requests == []


@two_ways
async def test_a_tool_server_that_dies_in_a_call_is_told_to_the_model_which_goes_on(
    server: OpenAIServer, tmp_path: Path, way: Way
) -> None:
    calls = Answer(tool_calls=(Call("die", {"words": "out of memory"}),))
    with anyio.fail_after(20):
        async with opened(server, way, tmp_path, tools=[MCPServer(command("tool_server"))]) as assistant:
            server.script([calls, Answer("Sorry."), Answer(tool_calls=(Call("add", {"a": 1, "b": 2}),)), Answer("3")])
            died = await talk(assistant, way, "Crash")
            again = await talk(assistant, way, "Add")
    assert [call.outcome for call in died.tool_calls] == ["unknown"]
    assert [call.outcome for call in again.tool_calls] == ["ok"]
    assert_all_accepted(server)


def _no_database(folder: Path) -> Path:
    place = folder / "journal.db"
    place.write_bytes(b"this is a letter and no database. " * 300)
    return place


def _no_folder(folder: Path) -> Path:
    return folder / "no" / "journal.db"


def _a_folder(folder: Path) -> Path:
    return folder


PLACES: dict[str, tuple[Callable[[Path], Path], type[StoreError]]] = {
    "no folder": (_no_folder, StoreUnavailable),
    "a folder": (_a_folder, StoreUnavailable),
    "no database": (_no_database, StoreCorrupt),
}


@pytest.mark.parametrize("place", PLACES)
async def test_a_store_that_cannot_be_used_is_an_error_before_the_model_is_paid_for(
    server: OpenAIServer, tmp_path: Path, place: str
) -> None:
    where, kind = PLACES[place]
    path = where(tmp_path)
    before = path.read_bytes() if path.is_file() else None
    async with Assistant("openai:m", store=f"sqlite:///{path}") as assistant:
        with pytest.raises(StoreError) as caught:
            await assistant.run("Hello", user="u", conversation="c")
    assert type(caught.value) is kind
    assert str(path) in str(caught.value)
    assert server.requests == []
    assert (path.read_bytes() if path.is_file() else None) == before


@two_ways
async def test_a_conversation_of_another_user_is_not_there(server: OpenAIServer, tmp_path: Path, way: Way) -> None:
    async with opened(server, way, tmp_path) as assistant:
        await talk(assistant, way, "My secret is 4711", user="alice")
        with pytest.raises(ConversationNotFound) as caught:
            await assistant.conversation("c", user="bob").history()
        with pytest.raises(ConversationNotFound):
            await assistant.conversation("c", user="bob").delete()
        assert await assistant.conversations(user="bob") == ()
        await talk(assistant, way, "What is the secret?", user="bob")
        mine = await assistant.conversation("c", user="bob").history()
        hers = await assistant.conversation("c", user="alice").history()
    assert caught.value.conversation == "c"
    assert b"4711" not in server.requests[1].raw
    assert [turn.input for turn in mine] == ["What is the secret?"]
    assert [turn.input for turn in hers] == ["My secret is 4711"]


@two_ways
async def test_a_message_over_the_budget_is_refused_before_it_is_stored(
    server: OpenAIServer, tmp_path: Path, way: Way
) -> None:
    settings = Settings(window=WindowSettings(max_tokens=600, reserved_output=100))
    async with opened(server, way, tmp_path, settings=settings) as assistant:
        with pytest.raises(CannotFit) as caught:
            await talk(assistant, way, "x" * 1_000)
        assert await assistant.conversations(user="u") == ()
        await talk(assistant, way, "Hello")
        before = await assistant.conversation("c", user="u").history()
        with pytest.raises(CannotFit):
            await talk(assistant, way, "x" * 1_000)
        assert await assistant.conversation("c", user="u").history() == before
    assert (caught.value.part, caught.value.needed) == ("the user message", 1_004)
    assert 0 < caught.value.available < 500
    assert len(server.requests) == 1


@two_ways
async def test_a_tool_result_over_the_budget_is_cut_and_read_in_pages(
    server: OpenAIServer, tmp_path: Path, way: Way
) -> None:
    @tool(effect="read")
    async def read_all() -> str:
        return "x" * 5_000

    settings = Settings(window=WindowSettings(max_tokens=1_600, reserved_output=100))
    async with opened(server, way, tmp_path, tools=[read_all], settings=settings) as assistant:
        server.script([Answer(tool_calls=(Call("read_all"),)), Answer("Long."), Answer("Fine.")])
        read = await talk(assistant, way, "Read")
        assert read.output == "Long."
        assert (await talk(assistant, way, "Never mind")).output == "Fine."
    (call,) = read.tool_calls
    assert len(call.text) < 1_000
    assert f'read_result("{read.turn}/{call.key}"' in call.text
    assert_all_accepted(server)


@pytest.mark.parametrize("message", ["", "  \n", [], b"bytes", None, ["a", 3], "\udcff", {"role": "user"}])
async def test_a_message_that_is_none_is_refused_before_it_is_stored(
    server: OpenAIServer, tmp_path: Path, message: object
) -> None:
    way = Way("responses", streamed=True)
    async with opened(server, way, tmp_path) as assistant:
        with pytest.raises(InputError):
            await talk(assistant, way, message)  # type: ignore[arg-type]
        assert await assistant.conversations(user="u") == ()
    assert server.requests == []


async def test_a_server_that_answers_web_pages_everywhere_is_said_to_be_none() -> None:
    def page(_: Request) -> Status:
        return Status(404, "<html>not found</html>")

    with OpenAIServer(script=page) as server, anyio.fail_after(5):
        model = OpenAI("m", api_key=KEY, base_url=server.base_url)
        with pytest.raises(ModelRejected) as caught:
            await Assistant(model).run("x")
        await model.aclose()
    assert caught.value.status == 404
    assert "OPENAI_BASE_URL" in str(caught.value)
