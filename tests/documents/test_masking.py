"""With a masker, no private value of a user's documents reaches the index or the embedder; users read clear text."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant_kit import Assistant, Context
from assistant_kit.documents import (
    ChunkSettings,
    Document,
    Documents,
    DocumentSearch,
    FoundPassage,
    Ingested,
    Location,
    ReadLimits,
    citations,
    read_document,
)
from assistant_kit.documents.limits import Watch
from assistant_kit.documents.masking import masked_document
from assistant_kit.documents.passages import as_text, from_text
from assistant_kit.documents.search_tool import Scope
from assistant_kit.errors import DocumentUnreadable, StoreBusy, StoreUnavailable
from assistant_kit.indexes.memory import MemoryIndex
from assistant_kit.indexes.sqlite import SQLiteIndex
from assistant_kit.maskers.memory_vault import MemoryVault
from assistant_kit.maskers.rules import RuleMasker
from assistant_kit.messages import ToolAnswer, text_of
from assistant_kit.protocols.masker import Masker, Private
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.protocols.search_index import Passage, SearchIndex
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.protocols.user_data import UserData
from assistant_kit.testing import Call, CallTools, Say, ScriptedModel
from assistant_kit.testing.no_leak import assert_no_leak
from tests.documents.flaky import CountingEmbedder
from tests.documents.pdfs import pdf

pytestmark = pytest.mark.anyio

BOB, CARL, CARD = "bob@example.org", "carl.jones@example.com", "4111 1111 1111 1111"
LINES = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n" * 4
KEY = f"-----BEGIN PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n{LINES}\n{LINES}-----END PRIVATE KEY-----"
PRIVATE = (BOB, CARL, CARD, "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC")
SIZES = ChunkSettings(max_tokens=60, overlap=10, min_tokens=10)
LETTER = f"""# Letter of {BOB}

Dear Carl, this is what I have found out about the boat to the lighthouse, and about its keeper.

## How to reach {CARL}

The number of the card is
{CARD}
and the boat leaves at eight. Ask {CARL} for it, or write to me.

## Keys

This one opens the server of the island:

{KEY}

Nothing else is needed there.
"""


def documents(
    index: SearchIndex, masker: Masker | None, embedder: CountingEmbedder | None = None, *, user: str | None = "ann"
) -> Documents:
    return Documents(index, embedder, chunks=SIZES, user=user, masker=masker)


def rules() -> RuleMasker:
    return RuleMasker(MemoryVault())


def counts(done: Ingested) -> tuple[int, int, int, int]:
    return done.added, done.moved, done.kept, done.removed


async def kept(index: SearchIndex) -> str:
    """Return all that an index has."""
    found = [passage for owner in await index.owners() for passage in await index.for_owner(owner).page(limit=10_000)]
    return repr(found)


# --- adding


async def test_index_and_embedder_get_pseudonyms_and_users_read_clear_text(tmp_path: Path) -> None:
    with anyio.fail_after(20):
        index, embedder = SQLiteIndex(tmp_path / "documents.db"), CountingEmbedder()
        place = documents(index, rules(), embedder)
        done = await place.add("letter.md", LETTER)
        found = await place.search(f"card of {CARL}", limit=50)
        (info,) = await place.sources()
        exported = [passage async for passage in place.passages()]
        stored = await kept(index)
        await index.aclose()

    for where in (tmp_path, embedder.texts, embedder.queries, stored):
        assert assert_no_leak(where, PRIVATE) > 0
    assert "<EMAIL_1>" in stored
    assert done.title == info.title == f"Letter of {BOB}"
    assert LETTER.strip() in "".join(passage.text for passage in found)
    assert all(LETTER[one.location.start : one.location.end] == one.text for one in found)
    for value in (BOB, CARL, CARD, KEY):
        assert any(value in passage.text for passage in exported)


async def test_a_value_is_found_by_its_exact_text() -> None:
    texts = [f"This line tells of person{at}@example.org, and of no others." for at in range(30)]
    with anyio.fail_after(20):
        place = documents(MemoryIndex(), rules(), CountingEmbedder())
        for at, text in enumerate(texts):
            await place.add(f"{at}.txt", text)
        found = await place.search("person17@example.org", limit=1)

    assert [passage.text for passage in found] == [texts[17]]


async def test_a_document_that_is_added_again_keeps_its_passages() -> None:
    with anyio.fail_after(20):
        index, masker, embedder = MemoryIndex(), rules(), CountingEmbedder()
        await masker.for_user("ann").mask(["somebody.else@example.org"])
        done = await documents(index, masker, embedder).add("letter.md", LETTER)
        before, embedded = await kept(index), len(embedder.texts)
        again = await documents(index, masker, embedder).add("letter.md", LETTER)

        assert counts(again) == (0, 0, done.added, 0)
        assert (await kept(index), len(embedder.texts)) == (before, embedded)


async def test_an_insertion_moves_what_follows_and_its_places_are_those_of_the_clear_text() -> None:
    changed = LETTER.replace("## Keys", f"## More\n\nAlso ask dora@example.org, who knows {BOB} for long.\n\n## Keys")
    with anyio.fail_after(20):
        place = documents(MemoryIndex(), rules(), CountingEmbedder())
        before = await place.add("letter.md", LETTER)
        done = await place.add("letter.md", changed)
        (found,) = await place.search("server of the island", limit=1)

    assert done.moved
    assert done.added < before.added
    assert changed[found.location.start : found.location.end] == found.text
    assert found.location.first_line == changed.count("\n", 0, found.location.start) + 1
    assert found.location.last_line == changed.count("\n", 0, found.location.end) + 1


async def test_passages_of_a_pdf_know_their_pages() -> None:
    with anyio.fail_after(20):
        place = documents(MemoryIndex(), rules())
        await place.add("a.pdf", pdf([f"Nothing but {BOB} here. " * 12, f"The lighthouse was built by {CARL}."]))
        (first,) = await place.search(BOB, limit=1)
        (last,) = await place.search(CARL, limit=1)

    assert (first.location.page, last.location.last_page) == (1, 2)
    assert BOB in first.text
    assert CARL in last.text


async def test_what_looks_like_a_pseudonym_comes_back_as_it_was() -> None:
    text = f"Write <EMAIL_1> in place of {BOB}, and <EMAIL_12345678901234567890> in place of nothing."
    with anyio.fail_after(20):
        place = documents(MemoryIndex(), rules())
        await place.add("a.txt", text)
        (found,) = await place.search("write")
        (other,) = await place.search("<EMAIL_1>")

    assert found.text == other.text == text


async def test_an_index_that_was_filled_without_a_masker_has_pseudonyms_when_documents_are_added_again() -> None:
    clear = "# Island\n\nIt is small, and far away, and has no private values at all in this section of the text."
    with anyio.fail_after(20):
        index, masker = MemoryIndex(), rules()
        await documents(index, None).add("letter.md", LETTER)
        before = await documents(index, None).add("island.md", clear)
        again = await documents(index, masker).add("island.md", clear)
        done = await documents(index, masker).add("letter.md", LETTER)

        assert counts(again) == (0, 0, before.added, 0)
        assert done.removed
        assert_no_leak(await kept(index), PRIVATE)


@pytest.mark.parametrize("length", [280, 290, 295, 299, 300, 5_000])
async def test_a_long_heading_is_cut_and_no_value_in_it(length: int) -> None:
    heading = ("word " * 1_000)[:length] + f" {BOB} and {CARD} " + "more " * 30
    with anyio.fail_after(20):
        index = MemoryIndex()
        place = documents(index, rules())
        await place.add("a.md", f"# {heading}\n\nThe lighthouse.")
        stored = await kept(index)
        (info,) = await place.sources()

    assert_no_leak(stored, PRIVATE)
    assert heading.startswith(info.title)
    assert not re.search(r"(?:bob[^\n]*|4111[^\n]*)\Z", info.title.replace(BOB, "").replace(CARD, ""))


async def test_users_of_one_index_have_pseudonyms_of_their_own() -> None:
    with anyio.fail_after(20):
        shared = documents(MemoryIndex(), rules(), user=None)
        for user, value in (("ann", BOB), ("eve", CARL)):
            await shared.for_user(user).add("a.txt", f"Ask {value} for it.")
        (anns,) = await shared.for_user("ann").search("ask")
        (eves,) = await shared.for_user("eve").search("ask")

    assert (anns.text, eves.text) == (f"Ask {BOB} for it.", f"Ask {CARL} for it.")


async def test_documents_that_users_share_stay_as_they_are() -> None:
    with anyio.fail_after(20):
        index = MemoryIndex()
        shared = documents(index, rules(), user=None)
        await shared.add("a.txt", f"Ask {BOB} for <EMAIL_1>.")
        (found,) = await shared.search(BOB)

        assert found.text == f"Ask {BOB} for <EMAIL_1>."
        assert BOB in await kept(index)


# --- what goes wrong


class Forgetful(MemoryVault):
    """A vault whose user is erased as soon as a value was hidden."""

    def reveal(self, user: str, pseudonyms: object) -> dict[str, str]:
        del user, pseudonyms
        return {}


async def test_a_user_who_is_erased_meanwhile_leaves_the_index_as_it_was() -> None:
    with anyio.fail_after(20):
        index = MemoryIndex()
        with pytest.raises(StoreBusy):
            await documents(index, RuleMasker(Forgetful())).add("letter.md", LETTER)

        assert not await index.owners()


class Down(MemoryVault):
    """A vault that cannot be reached."""

    def hide(self, user: str, values: Sequence[Private]) -> Sequence[str]:
        del user, values
        raise StoreUnavailable("nobody answers")


async def test_without_the_vault_nothing_is_written_and_no_value_is_searched_for() -> None:
    with anyio.fail_after(20):
        index, embedder = MemoryIndex(), CountingEmbedder()
        place = documents(index, RuleMasker(Down()), embedder)
        with pytest.raises(StoreUnavailable):
            await place.add("letter.md", LETTER)
        with pytest.raises(StoreUnavailable):
            await place.search(BOB)

        assert (await index.owners(), embedder.texts, embedder.queries) == ([], [], [])


async def test_a_passage_whose_values_were_erased_is_read_with_pseudonyms() -> None:
    with anyio.fail_after(20):
        masker = rules()
        place = documents(MemoryIndex(), masker)
        await place.add("letter.md", LETTER)
        await masker.erase_user("ann")
        found = await place.search("lighthouse boat server card", limit=50)

    assert_no_leak([passage.text for passage in found], PRIVATE)
    assert found


async def test_masking_that_takes_too_long_is_refused() -> None:
    with anyio.fail_after(20):
        document = await read_document(LETTER, media_type="text/markdown")
        with pytest.raises(DocumentUnreadable):
            await masked_document(document, rules().for_user("ann"), Watch("a", ReadLimits(max_seconds=-1)))


async def test_other_tasks_go_on_while_a_large_document_is_masked() -> None:
    text = f"The boat of {BOB} leaves at eight. " * 2_000
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    with anyio.fail_after(20):
        document = await read_document(text)
        async with anyio.create_task_group() as group:
            group.start_soon(count)
            masked, _ = await masked_document(document, rules().for_user("ann"), Watch("a", ReadLimits()))
            assert masked.text.count("<EMAIL_1>") == 2_000
            group.cancel_scope.cancel()

    assert turns >= len(text) // 4_000


# --- any document


async def test_a_word_that_is_too_long_is_cut_and_no_pseudonym_in_it() -> None:
    with anyio.fail_after(20):
        for before in range(40, 64):
            text = "(" * before + BOB + ")" * 30 + CARD + "(" * 30
            index = MemoryIndex()
            place = Documents(index, user="ann", masker=rules(), chunks=ChunkSettings(max_tokens=16, overlap=0))
            done = await place.add("a.txt", text)
            check_places(await read_document(text), [passage async for passage in place.passages()])
            stored = await kept(index)
            assert done.added > 2
            assert stored.count("<EMAIL_1>") == stored.count("<CARD_1>") == 1


async def test_a_pseudonym_that_is_longer_than_a_chunk_is_a_chunk() -> None:
    with anyio.fail_after(20):
        place = Documents(
            MemoryIndex(), user="ann", masker=rules(), chunks=ChunkSettings(max_tokens=8, overlap=4, min_tokens=0)
        )
        await place.add("a.txt", f"(({KEY}))")
        check_places(await read_document(f"(({KEY}))"), [passage async for passage in place.passages()])


async def test_passages_behind_a_value_of_several_lines_have_their_places() -> None:
    text = LETTER * 3 + "A sentence that stands behind them all. " * 20
    with anyio.fail_after(20):
        place = documents(MemoryIndex(), rules())
        await place.add("letter.md", text)
        check_places(await read_document(text), [passage async for passage in place.passages()])


VALUES = st.sampled_from(
    [BOB, CARL, CARD, KEY, "DE89 3704 0044 0532 0130 00", "<EMAIL_1>", "https://u:p4ss@h.example/"]
)
WORDS = st.text(st.sampled_from("aB .!?\n#-|`>é字\u0301👩\u200d。 \t1"), max_size=40)


@settings(max_examples=60)
@given(
    pieces=st.lists(
        VALUES | WORDS | st.just("\n\n") | st.just(" ") | st.sampled_from(["x" * 70, "(" * 70]), min_size=1, max_size=14
    ),
    kind=st.sampled_from(["text/markdown", "text/plain", "text/csv"]),
    room=st.integers(16, 60),
)
def test_passages_of_any_document_have_their_places_and_no_values(pieces: list[str], kind: str, room: int) -> None:
    text = "a " + "".join(pieces)
    sizes = ChunkSettings(max_tokens=room, overlap=room // 4, min_tokens=room // 6)

    async def check() -> None:
        index, masker = MemoryIndex(), rules()
        place = Documents(index, user="ann", masker=masker, chunks=sizes)
        with anyio.fail_after(20):
            document = await read_document(text, media_type=kind)
            done = await place.add("a", text, media_type=kind)
            assert counts(await place.add("a", text, media_type=kind)) == (0, 0, done.added, 0)
            (masked,) = await masker.for_user("ann").mask([document.text])
            stored = await index.for_owner(place.owner).page(limit=1_000)
            assert all(words(passage) in masked for passage in stored)
            check_places(document, [passage async for passage in place.passages()])

    anyio.run(check)


def check_places(document: Document, passages: Sequence[Passage]) -> None:
    reached = 0
    for passage in sorted(passages, key=lambda one: int(one.labels["doc_position"])):
        start, end, first, last = (
            int(passage.labels[f"doc_{name}"]) for name in ("start", "end", "first_line", "last_line")
        )
        assert words(passage) == document.text[start:end]
        assert not document.text[reached:start].strip()
        assert first == document.text.count("\n", 0, start) + 1
        assert last == document.text.count("\n", 0, end - 1) + 1
        reached = max(reached, end)
    assert not document.text[reached:].strip()


def words(passage: Passage) -> str:
    return passage.text[int(passage.labels["doc_lead"]) :]


# --- the tool, and an assistant


FILE = f"""name\taddress\tcard
Carl Jones\t{CARL}\t{CARD}
Bob Smith\t{BOB}\t5555 5555 5555 4444
{CARD}
{KEY}
"""


@pytest.mark.parametrize("query", [BOB, "<EMAIL_1>"])
async def test_the_tool_finds_a_value_by_its_text_and_by_its_pseudonym(query: str) -> None:
    with anyio.fail_after(20):
        embedder = CountingEmbedder()
        shared = documents(MemoryIndex(), rules(), embedder, user=None)
        await shared.for_user("ann").add("a.txt", f"Ask {BOB} about it.")
        await shared.for_user("ann").add("b.txt", f"Ask {CARL} about it.")
        found = await asked(DocumentSearch(shared, scope="user", limit=1), query)

    assert [passage.text for passage in found] == [f"Ask {BOB} about it."]
    assert embedder.queries == ["<EMAIL_1>"]


@pytest.mark.parametrize("scope", ["shared", "both"])
async def test_shared_documents_are_found_by_a_value_that_no_embedder_gets(scope: Scope) -> None:
    with anyio.fail_after(20):
        embedder = CountingEmbedder()
        shared = documents(MemoryIndex(), rules(), embedder, user=None)
        await shared.add("a.txt", f"Ask {BOB} about it.")
        found = await asked(DocumentSearch(shared, scope=scope), BOB)
        nobody = await asked(DocumentSearch(shared), BOB, user=None)

    assert [passage.text for passage in found] == [f"Ask {BOB} about it."]
    assert nobody == found
    assert set(embedder.queries[:-1]) == {"<EMAIL_1>"}


@pytest.mark.parametrize("source", [f"{BOB}.txt", "<EMAIL_1>.txt"])
async def test_a_search_is_narrowed_to_a_source_as_the_model_knows_it(source: str) -> None:
    with anyio.fail_after(20):
        shared = documents(MemoryIndex(), masker := rules(), user=None)
        await masker.for_user("ann").mask([BOB])
        await shared.for_user("ann").add(f"{BOB}.txt", "The boat leaves at eight.")
        await shared.for_user("ann").add("b.txt", "The boat leaves at nine.")
        found = await asked(DocumentSearch(shared, scope="user"), "boat", source=source)

    assert [passage.source for passage in found] == [f"{BOB}.txt"]


async def test_an_export_has_clear_text() -> None:
    with anyio.fail_after(20):
        shared = documents(MemoryIndex(), rules(), user=None)
        await shared.for_user("ann").add("a.txt", f"Ask {BOB} about it.", at=7.0)
        (given,) = [one async for one in DocumentSearch(shared).export_user("ann")]

    assert isinstance(given, UserData)
    assert given.data["text"] == f"a.txt\n\nAsk {BOB} about it."
    assert (given.data["source"], given.data["at"]) == ("a.txt", 7.0)


async def asked(tool: DocumentSearch, query: str, *, source: str = "", user: str | None = "ann") -> list[FoundPassage]:
    context = ToolContext(user=user, conversation=None, call_id="c", tool=tool.name, idempotency_key="k")
    output = await tool.call(tool.name, {"query": query, "source": source}, context)
    return from_text(text_of(output.content))


@given(st.text(st.sampled_from('ab \n\t\r\x00\x1f"\\\u2028')))
def test_a_passage_survives_being_written_for_the_model(text: str) -> None:
    place = Location(start=0, end=1, first_line=1, last_line=1)
    passage = FoundPassage(label="DAAA-AAAA", source="a", title="A", text=text, location=place)

    assert from_text(as_text([passage])) == [passage]


def cite(request: ModelRequest) -> Say:
    """Cite what was found, and repeat how the model knows it."""
    told = next(item for item in reversed(request.items) if isinstance(item, ToolAnswer))
    label = json.loads(text_of(told.content).split("\n")[0])["label"]
    return Say(f"Write to <EMAIL_1>, whose card is <CARD_1> [{label}].")


@pytest.mark.parametrize("raw", [True, False])
async def test_an_answer_that_cites_masked_passages_is_clear_to_its_user_alone(tmp_path: Path, *, raw: bool) -> None:
    model = ScriptedModel([CallTools(Call("search_documents", {"query": "<EMAIL_1>"})), cite])
    embedder, masker = CountingEmbedder(), rules()
    with anyio.fail_after(30):
        index = SQLiteIndex(tmp_path / "documents.db")
        place = documents(index, masker, embedder, user=None)
        await place.for_user("ann").add("people.tsv", FILE, title=f"People of {CARL}")
        async with Assistant(
            model,
            tools=[DocumentSearch(place, scope="user", max_tokens=4_000)],
            store=f"sqlite:///{tmp_path}/chat.db",
            context=Context(masker=masker, raw_arguments={"search_documents"} if raw else ()),
        ) as assistant:
            result = await assistant.run(f"What do I have of {CARL}?", user="ann", conversation="c")
            (turn,) = await assistant.conversation("c", user="ann").history()
        await index.aclose()

    assert "<EMAIL_1>" in repr(model.requests[1])
    for where in (tmp_path, repr(model.requests), embedder.texts, embedder.queries):
        assert assert_no_leak(where, (*PRIVATE, "5555 5555 5555 4444")) > 0
    for answer in (result, turn):
        (cited,) = citations(answer).known
        assert cited.title == f"People of {CARL}"
        assert cited.text in FILE
        assert f"{CARL}\t{CARD}" in cited.text
        assert answer.text.startswith(f"Write to {CARL}, whose card is {CARD}")
