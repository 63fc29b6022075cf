"""The code that docs/documents.md shows."""
# ruff: noqa: T201  (it prints)

from pathlib import Path

import anyio
import pytest

from assistant_kit import Assistant, Context
from assistant_kit.embedders.hashing import HashingEmbedder
from assistant_kit.errors import DocumentUnreadable
from assistant_kit.indexes.sqlite import SQLiteIndex
from assistant_kit.maskers.rules import RuleMasker
from assistant_kit.maskers.store_vault import StoreVault
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.protocols.search_index import Where
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.testing import Call, CallTools, Say, ScriptedModel
from assistant_kit.testing.no_leak import assert_no_leak
from tests.documents.test_citations import answer

pytestmark = pytest.mark.anyio

# --8<-- [start:imports]
from assistant_kit.documents import Documents, DocumentSearch, ReadLimits, citations  # noqa: E402

# --8<-- [end:imports]

HOUSE = "# Lighthouse\n\nIt was built in 1851.\n\n# Boat\n\nThe boat leaves at eight.\n"


async def test_documents_are_added_searched_and_cited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def cite(request: ModelRequest) -> Say:
        return answer(request)

    model = ScriptedModel([CallTools(Call("search_documents", {"query": "built lighthouse"})), cite])
    (tmp_path / "lighthouse.md").write_text(HOUSE)
    with anyio.fail_after(30):
        # --8<-- [start:add]
        index = SQLiteIndex(tmp_path / "documents.db")
        documents = Documents(index, HashingEmbedder())

        done = await documents.add("lighthouse.md", tmp_path / "lighthouse.md", labels={"language": "en"})
        print(done.added, done.moved, done.kept, done.removed)
        # --8<-- [end:add]

        # --8<-- [start:ask]
        async with Assistant(model, tools=[DocumentSearch(documents)]) as assistant:
            result = await assistant.run("When was the lighthouse built?")

        found = citations(result)
        for citation in found.known:
            print(citation.label, citation.source, citation.location.headings, citation.text)
        for made_up in found.unknown:
            print("no such passage:", made_up.label)
        # --8<-- [end:ask]

        # --8<-- [start:search]
        for passage in await documents.search(
            "When does the boat leave?", limit=3, max_tokens=500, where=Where(labels={"language": "en"})
        ):
            print(passage.source, passage.location.first_line, passage.score)
        # --8<-- [end:search]

        # --8<-- [start:list]
        for info in await documents.sources(limit=20):
            print(info.source, info.title, info.chunks)
        await documents.remove("lighthouse.md")
        # --8<-- [end:list]
        assert not await documents.sources()
        await index.aclose()

    printed = capsys.readouterr().out.split("\n")
    assert printed[0] == "1 0 0 0"
    assert "no such passage: D000-0000" in printed
    assert "lighthouse.md Lighthouse 1" in printed


async def test_documents_of_a_user_are_masked(tmp_path: Path) -> None:
    folder = tmp_path
    model = ScriptedModel([CallTools(Call("search_documents", {"query": "<EMAIL_1>"})), answer])
    letter = "# Letter\n\nAsk bob@example.org for the key of the lighthouse.\n"
    with anyio.fail_after(30):
        # --8<-- [start:masked]
        masker = RuleMasker(StoreVault(SQLiteStore(folder / "vault.db")))
        index = SQLiteIndex(folder / "documents.db")
        documents = Documents(index, HashingEmbedder(), masker=masker)
        await documents.for_user("u1").add("letter-17", letter, title="letter.md")  # the index has <EMAIL_1>

        search = DocumentSearch(documents, scope="user")
        async with Assistant(model, tools=[search], context=Context(masker=masker)) as assistant:
            result = await assistant.run("Where does bob@example.org come in?", user="u1")
            (cited, *_) = citations(result).known  # the model has read <EMAIL_1>
            assert cited.text == "# Letter\n\nAsk bob@example.org for the key of the lighthouse."
        # --8<-- [end:masked]
        await index.aclose()
        await masker.aclose()

    assert_no_leak([folder / "documents.db", repr(model.requests)], ["bob@example.org"])


async def test_users_have_documents_of_their_own_and_bad_ones_are_refused(tmp_path: Path) -> None:
    upload = tmp_path / "upload.pdf"
    upload.write_bytes(b"%PDF-1.7 broken")
    with anyio.fail_after(30):
        # --8<-- [start:users]
        index = SQLiteIndex(tmp_path / "documents.db")
        documents = Documents(index, limits=ReadLimits(max_bytes=5_000_000, max_seconds=20))
        mine = documents.for_user("u1")
        try:
            await mine.add("upload.pdf", upload)
        except DocumentUnreadable as error:
            print(error.source, error.problem)
        search = DocumentSearch(documents, scope="both")  # the collection, and the documents of the run's user
        # --8<-- [end:users]
        assert search.name == "search_documents"
        assert not await mine.sources()
        await index.aclose()
