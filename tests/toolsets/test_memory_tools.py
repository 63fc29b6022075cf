"""Tools over a memory, for the user whose turn it is."""

import json

import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.embedders.hashing import HashingEmbedder
from assistant_kit.errors import InvalidArguments, ToolError
from assistant_kit.indexes.memory import MemoryIndex
from assistant_kit.memories.indexed import IndexMemory
from assistant_kit.messages import JsonObject, text_of
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import Call, CallTools, ScriptedModel
from assistant_kit.toolsets.memory_tools import MemoryTools

pytestmark = pytest.mark.anyio
DAY = 86_400.0


def memory_of_day_one() -> IndexMemory:
    return IndexMemory(MemoryIndex(), HashingEmbedder(64), now=lambda: DAY)


async def call(
    tools: MemoryTools, name: str, arguments: JsonObject, *, user: str | None = "u1", conversation: str | None = "c1"
) -> str:
    context = ToolContext(user=user, conversation=conversation, call_id="call_1", tool=name, idempotency_key="k")
    return text_of((await tools.call(name, arguments, context)).content)


async def test_a_model_remembers_recalls_and_forgets_for_its_user() -> None:
    memory = memory_of_day_one()
    tools = MemoryTools(memory)

    told = await call(tools, "remember", {"text": "The user is allergic to nuts."})
    (kept,) = await memory.for_user("u1").memories()
    recalled = json.loads(await call(tools, "recall_memories", {"query": "nuts"}))
    gone = await call(tools, "forget", {"id": kept.id})
    again = await call(tools, "forget", {"id": kept.id})
    nothing = await call(tools, "recall_memories", {"query": "nuts"})

    assert kept.id in told
    assert kept.source == "tool:c1"
    assert recalled == [{"id": kept.id, "text": "The user is allergic to nuts.", "day": "1970-01-02"}]
    assert gone != again
    assert await memory.for_user("u1").memories() == []
    assert "Nothing" in nothing


async def test_a_model_replaces_what_has_changed() -> None:
    memory = memory_of_day_one()
    tools = MemoryTools(memory)
    old = await memory.for_user("u1").remember("The user lives in Rome.")
    await call(tools, "remember", {"text": "The user lives in Oslo.", "replaces": old.id})
    await call(tools, "remember", {"text": "The user has a dog.", "replaces": ""})
    found = await memory.for_user("u1").memories()
    assert sorted(found.text for found in found) == ["The user has a dog.", "The user lives in Oslo."]


async def test_memories_of_other_users_are_out_of_reach() -> None:
    memory = memory_of_day_one()
    foreign = await memory.for_user("u2").remember("The code name is Rex.")
    tools = MemoryTools(memory)
    assert "Rex" not in await call(tools, "recall_memories", {"query": "code name"})
    await call(tools, "forget", {"id": foreign.id})
    await call(tools, "remember", {"text": "Something else.", "replaces": foreign.id})
    assert await memory.for_user("u2").memories() == [foreign]


@pytest.mark.parametrize("name", ["remember", "recall_memories", "forget"])
async def test_without_a_user_there_is_no_memory(name: str) -> None:
    with pytest.raises(ToolError):
        await call(MemoryTools(memory_of_day_one()), name, {"text": "x", "query": "x", "id": "x"}, user=None)


async def test_a_user_without_a_conversation_has_memories_too() -> None:
    memory = memory_of_day_one()
    await call(MemoryTools(memory), "remember", {"text": "Tea."}, conversation=None)
    assert [found.source for found in await memory.for_user("u1").memories()] == ["tool"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("remember", {}),
        ("remember", {"text": "  "}),
        ("remember", {"text": "Tea.", "replaces": 7}),
        ("recall_memories", {"query": 7}),
        ("forget", {"id": None}),
    ],
)
async def test_arguments_that_make_no_sense_are_told_to_the_model(name: str, arguments: JsonObject) -> None:
    memory = memory_of_day_one()
    with pytest.raises(InvalidArguments):
        await call(MemoryTools(memory), name, arguments)
    assert await memory.for_user("u1").memories() == []


@pytest.mark.parametrize("text", ["x" * 3_000, "The user's password is hunter2."])
async def test_what_the_memory_refuses_is_told_to_the_model(text: str) -> None:
    with pytest.raises(ToolError):
        await call(MemoryTools(memory_of_day_one()), "remember", {"text": text})


async def test_what_is_recalled_is_bounded() -> None:
    memory = memory_of_day_one()
    for number in range(9):
        await memory.for_user("u1").remember(f"Tea {number}.")  # 6 bytes
    few = MemoryTools(memory, limit=3)
    short = MemoryTools(memory, max_tokens=13)
    assert len(json.loads(await call(few, "recall_memories", {"query": "tea"}))) == 3
    assert len(json.loads(await call(short, "recall_memories", {"query": "tea"}))) == 2


async def test_each_tool_tells_its_effect_and_changes_may_need_approval() -> None:
    plain = {spec.name: (spec.effect, spec.needs_approval) for spec in await MemoryTools(memory_of_day_one()).tools()}
    assert plain == {
        "remember": ("idempotent", False),
        "recall_memories": ("read", False),
        "forget": ("idempotent", False),
    }
    careful = await MemoryTools(memory_of_day_one(), approve_changes=True).tools()
    assert [spec.name for spec in careful if spec.needs_approval] == ["remember", "forget"]


async def test_an_assistant_uses_them_and_leaves_the_memory_open() -> None:
    # --8<-- [start:tools]
    memory = IndexMemory(MemoryIndex(), HashingEmbedder())
    model = ScriptedModel([CallTools(Call("remember", {"text": "The user is allergic to nuts."})), "I will."])
    async with Assistant(model, tools=[MemoryTools(memory)], store=MemoryStore()) as assistant:
        await assistant.run("Remember that I am allergic to nuts.", user="u1", conversation="c1")
    # --8<-- [end:tools]
    assert [found.text for found in await memory.for_user("u1").memories()] == ["The user is allergic to nuts."]
