"""The code that docs/memory.md shows."""

from pathlib import Path

import pytest

from assistant_kit.deadline import Deadline
from assistant_kit.embedders.hashing import HashingEmbedder
from assistant_kit.entries import TurnStarted
from assistant_kit.indexes.memory import MemoryIndex
from assistant_kit.memories.extraction import ExtractionSettings, ModelExtractor
from assistant_kit.memories.indexed import IndexMemory, MemorySettings
from assistant_kit.messages import user_message
from assistant_kit.protocols.search_index import Where
from assistant_kit.testing.scripted_model import ScriptedModel
from assistant_kit.turns import Turn

pytestmark = pytest.mark.anyio
PAGE = Path(__file__).parents[2] / "docs" / "memory.md"
DAY = 86_400.0


async def test_a_memory_is_written_read_and_erased() -> None:
    # --8<-- [start:memory]
    memory = IndexMemory(MemoryIndex(), HashingEmbedder())
    anna = memory.for_user("anna")

    home = await anna.remember("Anna lives in Rome.", source="application")
    await anna.remember("Anna is allergic to nuts.", labels={"topic": "food"})
    await anna.remember("Anna lives in Oslo.", replaces=home.id)

    for recalled in await anna.recall("Where does she live?", limit=5, max_tokens=500):
        print(recalled.memory.text, recalled.memory.source, recalled.memory.updated_at)  # noqa: T201

    about_food = await anna.recall("allergic", where=Where(labels={"topic": "food"}))
    await anna.forget(about_food[0].memory.id)
    await anna.erase()
    # --8<-- [end:memory]
    assert [found.memory.text for found in about_food] == ["Anna is allergic to nuts."]
    assert await anna.memories() == []
    await memory.aclose()


async def test_settings_and_retention() -> None:
    now = 1_000 * DAY
    # --8<-- [start:settings]
    settings = MemorySettings(half_life=30 * 86_400, patience=2.0)
    memory = IndexMemory(MemoryIndex(), HashingEmbedder(), settings=settings)
    forgotten = await memory.prune(before=now - 365 * 86_400)
    # --8<-- [end:settings]
    assert forgotten == 0


async def test_an_extractor_learns_from_a_turn() -> None:
    memory = IndexMemory(MemoryIndex(), HashingEmbedder())
    change = '{"action": "add", "id": null, "text": "Anna is allergic to nuts.", "quote": "allergic to nuts"}'
    model = ScriptedModel([f'{{"changes": [{change}]}}'])
    turn = Turn(turn="t1", started=TurnStarted(turn="t1", input=user_message("I am allergic to nuts.")))
    # --8<-- [start:extractor]
    extractor = ModelExtractor(model, settings=ExtractionSettings(max_changes=4))
    learned = await extractor.extract([turn], memory.for_user("anna"), source="c1/t1", model=model, deadline=Deadline())
    print(learned.memories, learned.usage)  # noqa: T201
    # --8<-- [end:extractor]
    assert [found.text for found in await memory.for_user("anna").memories()] == ["Anna is allergic to nuts."]


def test_the_page_names_every_setting() -> None:
    page = PAGE.read_text("utf-8")
    for name in (*MemorySettings.__dataclass_fields__, *ExtractionSettings.__dataclass_fields__):
        assert f"`{name}`" in page
