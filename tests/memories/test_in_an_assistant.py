"""Memory in an assistant, with real parts: learned after one conversation, recalled in another, erased everywhere."""

import json
from pathlib import Path

import anyio
import pytest

from assistant_kit import Assistant, RecallSettings, Settings
from assistant_kit.context import Context
from assistant_kit.embedders.hashing import HashingEmbedder
from assistant_kit.indexes.memory import MemoryIndex
from assistant_kit.indexes.sqlite.index import SQLiteIndex
from assistant_kit.memories.extraction import ModelExtractor
from assistant_kit.memories.indexed import IndexMemory
from assistant_kit.messages import UserMessage, text_of
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.testing.scripted_model import Call, CallTools, ScriptedModel
from assistant_kit.toolsets.memory_tools import MemoryTools
from assistant_kit.transfer import import_lines

pytestmark = pytest.mark.anyio


def noting(text: str) -> str:
    """Note something."""
    return text


def learned(text: str, quote: str) -> str:
    """What a model answers that was asked what to remember."""
    return json.dumps({"changes": [{"action": "add", "text": text, "quote": quote}]})


async def test_what_was_said_in_one_conversation_is_known_in_another() -> None:
    model = ScriptedModel(["Noted.", "Almond milk it is."])
    reader = ScriptedModel([learned("The user is allergic to nuts.", "allergic to nuts"), json.dumps({"changes": []})])
    # --8<-- [start:assistant]
    memory = IndexMemory(MemoryIndex(), HashingEmbedder())
    assistant = Assistant(
        model,
        store=MemoryStore(),
        context=Context(memory=memory, extractor=ModelExtractor(reader)),
        settings=Settings(recall=RecallSettings(limit=5, max_tokens=400)),
    )
    # --8<-- [end:assistant]
    with anyio.fail_after(20):
        async with assistant:
            await assistant.run("By the way, I am allergic to nuts.", user="anna", conversation="c1")
            await assistant.settled()
            await assistant.run("Which nuts and milk do I take in coffee?", user="anna", conversation="c2")
            await assistant.settled()
    said = [text_of(item.content) for item in model.requests[-1].items if isinstance(item, UserMessage)]
    assert "allergic to nuts" in said[0]
    assert len(said) == 2


async def test_a_user_is_erased_in_every_place_and_leaves_no_trace_in_the_files(tmp_path: Path) -> None:
    secret = "xylograph"
    model = ScriptedModel([CallTools(Call("remember", {"text": f"Anna collects {secret} prints."})), "Noted."])
    memory = IndexMemory(SQLiteIndex(tmp_path / "memory.db"), HashingEmbedder())
    store = SQLiteStore(tmp_path / "chat.db")
    with anyio.fail_after(30):
        async with Assistant(
            model, store=store, tools=[noting, MemoryTools(memory)], context=Context(memory=memory)
        ) as assistant:
            await assistant.run(f"I collect {secret} prints.", user="anna", conversation="c1")
            assert [kept.text for kept in await memory.for_user("anna").memories()] == [
                f"Anna collects {secret} prints."
            ]
            assert traces(tmp_path, secret)
            lines = [line async for line in assistant.export_user("anna")]
            await assistant.erase_user("anna")
            assert await memory.for_user("anna").memories() == []
            assert traces(tmp_path, secret) == []
        await store.aclose()
        await memory.aclose()
        elsewhere = IndexMemory(MemoryIndex())
        other = MemoryStore().for_user("anna")
        assert await import_lines(other, lines, memory=elsewhere.for_user("anna")) == ["c1"]
        assert await import_lines(MemoryStore().for_user("anna"), lines) == ["c1"]
        assert [kept.text for kept in await elsewhere.for_user("anna").memories()] == [
            f"Anna collects {secret} prints."
        ]


def traces(folder: Path, secret: str) -> list[str]:
    """The files in which a word stands."""
    return [path.name for path in folder.iterdir() if secret.encode() in path.read_bytes()]
