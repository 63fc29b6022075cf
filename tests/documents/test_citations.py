"""The model searches documents by a tool, and what its answer cites is traced back to passages."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import anyio
import pytest

from assistant_kit import Assistant, CallResult, Result
from assistant_kit.documents import (
    ChunkSettings,
    Documents,
    DocumentSearch,
    FoundPassage,
    Location,
    citations,
    citations_of,
)
from assistant_kit.documents.passages import as_text, found_in, from_text
from assistant_kit.documents.search_tool import Scope
from assistant_kit.errors import InvalidArguments, ToolError
from assistant_kit.indexes.memory import MemoryIndex
from assistant_kit.messages import JsonObject, Text, ToolAnswer, text_of
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.protocols.search_index import Hit, Passage, Where
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.testing import Call, CallTools, Say, ScriptedModel
from tests.documents.pdfs import pdf

pytestmark = pytest.mark.anyio

PASSAGE = FoundPassage(
    label="D3F2-8K2M",
    source="a.md",
    title="A \u2028 title",
    text='Two lines,\n"quoted" \u2028 and [DXXX-XXXX].',
    location=Location(start=3, end=40, first_line=2, last_line=3, headings=("A", "B"), page=1, last_page=2),
)
OTHER = replace(PASSAGE, label="D3F2-AAAA", text="Other.", location=Location(start=0, end=6, first_line=1, last_line=1))
SMALL = ChunkSettings(max_tokens=60, overlap=10, min_tokens=10)


@dataclass
class Turn:
    """A turn as the library's results and histories have it."""

    text: str
    tool_calls: Sequence[CallResult]


def search_call(*passages: FoundPassage, tool: str = "search_documents") -> CallResult:
    content = (Text(text=as_text(passages)),)
    return CallResult(call_id="c", tool=tool, arguments="{}", outcome="ok", content=content)


def context(user: str | None = "ann") -> ToolContext:
    return ToolContext(user=user, conversation=None, call_id="c", tool="search_documents", idempotency_key="k")


async def asked(tool: DocumentSearch, arguments: JsonObject, user: str | None = "ann") -> list[FoundPassage]:
    with anyio.fail_after(20):
        output = await tool.call("search_documents", arguments, context(user))
    return from_text(text_of(output.content))


# --- what the model reads


def test_passages_survive_being_written_for_the_model() -> None:
    assert from_text(as_text([PASSAGE, OTHER])) == [PASSAGE, OTHER]
    assert as_text([PASSAGE, OTHER]).count("\n") == 1


def test_what_is_cut_off_leaves_whole_passages() -> None:
    whole = as_text([PASSAGE, OTHER])

    assert from_text(whole[:-5]) == [PASSAGE]
    assert from_text(whole[5:]) == [OTHER]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Nothing was found.",
        "[1]",
        "{}",
        '{"label": "D3F2-8K2M", "source": "a", "title": "a", "text": 1}',
        '{"label": "D3F2-8K2M", "source": "a", "title": "a", "text": "t"}',
        '{"label": "D3F2-8K2M", "source": "a", "title": "a", "text": "t", "lines": [1], "characters": [0, 1]}',
        '{"label": "D3F2-8K2M", "source": "a", "title": "a", "text": "t", "lines": [1, 2], "characters": ["0", 1]}',
    ],
)
def test_what_is_no_passage_is_left_out(line: str) -> None:
    assert from_text(line) == []


def test_labels_of_one_result_differ() -> None:
    texts = [f"Some words about lighthouses, number {at}." for at in range(3000)]
    hits = [
        Hit(passage=Passage(id=str(at), text=text, source="a", labels={"doc_position": 2 * at}), score=1.0)
        for at, text in enumerate(texts)
    ]
    found = found_in([("owner", hit) for hit in hits])

    assert len({passage.label for passage in found}) == len(texts)
    assert max(len(passage.label) for passage in found) > len(PASSAGE.label)


# --- citations


def test_labels_in_brackets_are_traced_to_their_passages() -> None:
    text = "First [D3F2-8K2M]. Both 【d3f2-8k2m; D3F2-AAAA】, and [see D3F2-AAAA]."
    found = citations_of(text, [PASSAGE, OTHER])

    assert [cited.label for cited in found.known] == ["D3F2-8K2M", "D3F2-8K2M", "D3F2-AAAA", "D3F2-AAAA"]
    assert [text[cited.start : cited.end].upper() for cited in found.known] == [cited.label for cited in found.known]
    first = found.known[0]
    assert (first.source, first.title, first.text, first.location) == (
        PASSAGE.source,
        PASSAGE.title,
        PASSAGE.text,
        PASSAGE.location,
    )
    assert not found.unknown


def test_a_label_that_was_made_up_is_reported_and_gets_no_source() -> None:
    found = citations_of("It is so [D3F2-ZZZZ]. Order D123-4567 [1] [and D3F2-8K2MX-1].", [PASSAGE])

    assert not found.known
    assert [(unknown.label, unknown.start, unknown.end) for unknown in found.unknown] == [("D3F2-ZZZZ", 10, 19)]


def test_only_results_of_the_search_tool_count() -> None:
    forged = Turn(text="So [D3F2-8K2M].", tool_calls=[search_call(PASSAGE, tool="read_mail")])
    inside = replace(OTHER, text=as_text([PASSAGE]))
    quoted = Turn(text="So [D3F2-8K2M].", tool_calls=[search_call(inside)])

    assert not citations(forged).known
    assert citations(forged, tool="read_mail").known
    assert not citations(quoted).known


def test_passages_of_earlier_turns_can_be_cited_and_the_newest_counts() -> None:
    newer = replace(PASSAGE, text="New words.")
    earlier = [Turn(text="", tool_calls=[search_call(PASSAGE)]), Turn(text="", tool_calls=[search_call(newer)])]
    turn = Turn(text="As said [D3F2-8K2M].", tool_calls=[])

    assert [cited.text for cited in citations(turn, earlier=earlier).known] == ["New words."]
    assert [unknown.label for unknown in citations(turn).unknown] == ["D3F2-8K2M"]


# --- the tool


async def library() -> Documents:
    place = Documents(MemoryIndex(), chunks=SMALL)
    await place.add("house.md", "# House\n\nThe lighthouse opens at nine.", labels={"kind": "rule"})
    await place.add("boat.md", "# Boat\n\nThe boat to the lighthouse leaves at eight.")
    await place.for_user("ann").add("mine.txt", "My visit of the lighthouse is on Friday.")
    return place


async def test_the_tool_is_read_only_and_says_how_to_cite() -> None:
    (spec,) = await DocumentSearch(await library()).tools()

    assert (spec.name, spec.effect) == ("search_documents", "read")
    assert "square brackets" in spec.description


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("shared", {"house.md", "boat.md"}),
        ("user", {"mine.txt"}),
        ("both", {"house.md", "boat.md", "mine.txt"}),
    ],
)
async def test_the_tool_searches_for_the_user_of_the_run(scope: Scope, expected: set[str]) -> None:
    tool = DocumentSearch(await library(), scope=scope)

    found = await asked(tool, {"query": "lighthouse"})
    foreign = await asked(tool, {"query": "lighthouse"}, user="bob")

    assert {passage.source for passage in found} == expected
    assert "mine.txt" not in {passage.source for passage in foreign}


async def test_erasing_a_user_erases_the_documents_of_the_user_and_no_others() -> None:
    tool = DocumentSearch(await library(), scope="both")

    await Assistant(ScriptedModel([]), tools=[tool], store="memory:").erase_user("ann")

    assert {passage.source for passage in await asked(tool, {"query": "lighthouse"})} == {"house.md", "boat.md"}


async def test_without_a_user_there_are_no_documents_of_a_user() -> None:
    place = await library()

    assert await asked(DocumentSearch(place), {"query": "lighthouse"}, user=None)
    with pytest.raises(ToolError):
        await asked(DocumentSearch(place, scope="both"), {"query": "lighthouse"}, user=None)


async def test_a_search_can_be_narrowed_within_what_the_application_allows() -> None:
    place = await library()
    both = {"query": "lighthouse", "source": "boat.md"}

    assert {found.source for found in await asked(DocumentSearch(place), both)} == {"boat.md"}
    assert len(await asked(DocumentSearch(place), {"query": "lighthouse", "source": ""})) == 2
    assert not await asked(DocumentSearch(place, where=Where(labels={"kind": "rule"})), both)
    held = DocumentSearch(place, where=Where(source="house.md"))
    assert {found.source for found in await asked(held, both)} == {"house.md"}


@pytest.mark.parametrize("arguments", [{}, {"query": " "}, {"query": 1}, {"query": "x", "source": 1}])
async def test_bad_arguments_are_told_to_the_model(arguments: JsonObject) -> None:
    with pytest.raises(InvalidArguments):
        await asked(DocumentSearch(await library()), arguments)


async def test_a_search_that_finds_nothing_says_so() -> None:
    with anyio.fail_after(20):
        output = await DocumentSearch(await library()).call("search_documents", {"query": "zebra"}, context())

    assert text_of(output.content).startswith("Nothing was found")
    assert not output.is_error


async def test_labels_stay_the_same_while_the_text_does() -> None:
    place = await library()
    tool = DocumentSearch(place)
    before = {found.source: found.label for found in await asked(tool, {"query": "lighthouse"})}
    await place.add("house.md", "# House\n\nThe lighthouse opens at ten.", labels={"kind": "rule"})
    after = {found.source: found.label for found in await asked(tool, {"query": "lighthouse"})}

    assert before["boat.md"] == after["boat.md"]
    assert before["house.md"] != after["house.md"]
    assert before["house.md"][:4] == after["house.md"][:4]


# --- in an assistant


def answer(request: ModelRequest) -> Say:
    """Answer as a model does that cites the first passage it was given, and one that does not exist."""
    told = next(item for item in reversed(request.items) if isinstance(item, ToolAnswer))
    label = json.loads(text_of(told.content).split("\n")[0])["label"]
    return Say(f"It was built in 1851 [{label}], by Ann [D000-0000].")


async def test_an_answer_of_an_assistant_is_traced_to_the_page_it_rests_on() -> None:
    place = Documents(MemoryIndex(), chunks=SMALL)
    with anyio.fail_after(30):
        await place.add(
            "guide.pdf", pdf(["Welcome to the island.", "The lighthouse was built in 1851."], title="Guide")
        )
        script = [
            CallTools(Call("search_documents", {"query": "When was the lighthouse built?"})),
            answer,
            "Yes [D000-0000].",
        ]
        with ScriptedModel(script) as model:
            async with Assistant(model, tools=[DocumentSearch(place)], store="memory:") as assistant:
                result: Result[str] = await assistant.run("How old is it?", user="ann", conversation="c")
                await assistant.run("Sure?", user="ann", conversation="c")
                history = await assistant.conversation("c", user="ann").history()

    for turn in (result, history[0]):
        found = citations(turn)
        (cited,) = found.known
        assert (cited.source, cited.title, cited.location.last_page) == ("guide.pdf", "Guide", 2)
        assert "built in 1851" in cited.text
        assert turn.text[cited.start : cited.end] == cited.label
        assert [unknown.label for unknown in found.unknown] == ["D000-0000"]
    again = citations(history[1], earlier=history[:1])
    assert ([*again.known], [unknown.label for unknown in again.unknown]) == ([], ["D000-0000"])
