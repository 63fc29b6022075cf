"""The tool by which a model reads again what its window shows no longer."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from assistant_kit.entries import ToolFinished
from assistant_kit.errors import InvalidArguments, ToolError
from assistant_kit.messages import Image, JsonObject, Text
from assistant_kit.protocols.toolset import ToolContext, ToolOutput
from assistant_kit.run.long_results import LongResults
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.toolsets.read_result import NAME, SPEC, ReadResult

pytestmark = pytest.mark.anyio
LONG = "It rains in Oslo.\n" * 200
IMAGE = Image(url="https://example.com/a.png")
CONTEXT = ToolContext(user=None, conversation=None, call_id="1", tool=NAME, idempotency_key="k")
END = ToolFinished(turn="t", key="0.0", call_id="1", tool="weather", outcome="ok", content=(Text(text="Rain."), IMAGE))


class Journal:
    """The recorded ends of calls."""

    def __init__(self, *ends: ToolFinished) -> None:
        self.ends: Mapping[tuple[str, str], ToolFinished] = {(end.turn, end.key): end for end in ends}

    async def find(self, turn: str, key: str) -> ToolFinished | None:
        return self.ends.get((turn, key))


def kept() -> LongResults:
    return LongResults(MemoryStore().for_user("u"), "c", max_tokens=300, counter=UpperBound(), owner="me")


async def read(tool: ReadResult, handle: object, **more: object) -> ToolOutput:
    arguments: JsonObject = {"handle": handle, **more}  # type: ignore[dict-item]
    async with tool:
        return await tool.call(NAME, arguments, CONTEXT)


def words_of(output: ToolOutput) -> str:
    assert isinstance(output.content[0], Text)
    return output.content[0].text


async def test_a_result_that_was_cleared_is_read_from_the_journal() -> None:
    tool = ReadResult(kept(), Journal(END).find, page_tokens=500)
    assert await read(tool, " t/0.0 ") == ToolOutput(content=(Text(text="[page 1 of 1]\nRain."), IMAGE))


async def test_what_others_have_written_is_still_marked_when_it_is_read_again() -> None:
    tool = ReadResult(kept(), Journal(replace(END, untrusted=True)).find, page_tokens=500)
    assert (await read(tool, "t/0.0")).untrusted


async def test_a_long_one_is_read_in_pages_and_its_pictures_come_with_the_first() -> None:
    tool = ReadResult(kept(), Journal(replace(END, content=(Text(text=LONG), IMAGE))).find, page_tokens=2500)
    first, second = await read(tool, "t/0.0"), await read(tool, "t/0.0", page=2)
    assert first.content[1:] == (IMAGE,)
    assert second.content[1:] == ()
    assert words_of(first) + words_of(second).partition("\n")[2] == "[page 1 of 2]\n" + LONG


async def test_a_result_that_was_cut_is_read_whole() -> None:
    results = kept()
    content, name = await results.shortened("t", "0.0", (Text(text=LONG), IMAGE))
    tool = ReadResult(results, Journal(replace(END, content=content, kept=name)).find, page_tokens=2500)
    pages = [words_of(await read(tool, "t/0.0", page=number)).partition("\n")[2] for number in (1, 2)]
    assert "".join(pages) == LONG


async def test_where_the_whole_text_is_gone_the_model_reads_what_is_left() -> None:
    tool = ReadResult(kept(), Journal(replace(END, kept="0" * 32)).find, page_tokens=500)
    assert words_of(await read(tool, "t/0.0")).endswith(")\n[page 1 of 1]\nRain.")


@pytest.mark.parametrize("handle", ["", "/", "t", "t/", "/0.0", "t/0.1", "s/0.0", "weather"])
async def test_what_is_no_result_of_this_conversation_is_refused(handle: str) -> None:
    tool = ReadResult(kept(), Journal(END).find, page_tokens=500)
    with pytest.raises(ToolError) as caught:
        await read(tool, handle)
    assert type(caught.value) is ToolError


async def test_a_page_that_is_not_there_is_refused() -> None:
    tool = ReadResult(kept(), Journal(END).find, page_tokens=500)
    with pytest.raises(ToolError):
        await read(tool, "t/0.0", page=2)


@pytest.mark.parametrize(
    "arguments", [{}, {"handle": 7}, {"handle": "t/0.0", "page": 0}, {"handle": "t/0.0", "page": "2"},
                  {"handle": "t/0.0", "page": True}, {"handle": "t/0.0", "page": 1.5}]
)  # fmt: skip
async def test_arguments_that_do_not_fit_are_refused(arguments: JsonObject) -> None:
    tool = ReadResult(kept(), Journal(END).find, page_tokens=500)
    with pytest.raises(InvalidArguments):
        await tool.call(NAME, arguments, CONTEXT)


async def test_the_tool_only_reads() -> None:
    assert await ReadResult(kept(), Journal().find, page_tokens=500).tools() == (SPEC,)
    assert SPEC.effect == "read"
    assert SPEC.name == NAME
