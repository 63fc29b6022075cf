"""What is done after a turn: something is remembered, a long conversation is compacted before it is full."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio
import pytest

from assistant_kit import Assistant, Settings, WindowSettings
from assistant_kit.context import Context
from assistant_kit.deadline import Deadline
from assistant_kit.entries import Compacted, Entry, MemoriesExtracted, Summary
from assistant_kit.errors import ModelUnavailable
from assistant_kit.journal_reader import JournalReader
from assistant_kit.messages import UserMessage, text_of
from assistant_kit.protocols.compactor import Compaction, Crowded
from assistant_kit.protocols.memory import Extracted, UserMemory
from assistant_kit.protocols.model import Model
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import Say, ScriptedModel
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.turns import Turn
from assistant_kit.usage import Usage
from tests.run.test_preparation import Notebook

pytestmark = pytest.mark.anyio


@dataclass
class Summing:
    """Sums up all but the newest turns; waits at a gate, if there is one, and may fail."""

    in_background: bool = True
    gate: anyio.Event | None = None
    fails: bool = False
    entered: anyio.Event = field(default_factory=anyio.Event)
    asked: list[Crowded] = field(default_factory=list[Crowded])

    async def compact(self, window: Crowded) -> Compaction | None:
        self.asked.append(window)
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.fails:
            raise ModelUnavailable("down", model="m")
        if len(window.turns) < 3:
            return None
        summary = Summary(text=f"{len(window.turns) - 2} turns", first=1, last=window.turns[-3].seq)
        usage = Usage(requests=1, input_tokens=7)
        return Compaction(keep=2, summaries=(*window.summaries, summary), strategy="sum up", model="m", usage=usage)


@dataclass
class Learning:
    """Learns one memory from each turn."""

    fails: bool = False
    gate: anyio.Event | None = None
    entered: anyio.Event = field(default_factory=anyio.Event)
    seen: list[tuple[list[str], str]] = field(default_factory=list[tuple[list[str], str]])

    async def extract(
        self, turns: Sequence[Turn], memory: UserMemory, *, source: str, model: Model, deadline: Deadline
    ) -> Extracted:
        del memory, model, deadline
        said = [text_of(turn.started.input.content) for turn in turns if turn.started is not None]
        self.seen.append((said, source))
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.fails:
            raise ModelUnavailable("down", model="m")
        return Extracted(memories=tuple(f"m:{text[0]}" for text in said), model="m", usage=Usage(requests=1))


def talking(
    store: MemoryStore, model: Model, *, compactor: Summing | None = None, extractor: Learning | None = None
) -> Assistant[str]:
    memory = None if extractor is None else Notebook()
    context = Context(token_counter=UpperBound(), compactor=compactor, extractor=extractor, memory=memory)
    return Assistant(
        model,
        store=store,
        settings=Settings(window=WindowSettings(max_tokens=1_500, reserved_output=0)),
        context=context,
    )


def model() -> ScriptedModel:
    return ScriptedModel([Say("y" * 100) for _ in range(20)])


async def say(assistant: Assistant[str], *numbers: int) -> None:
    for number in numbers:
        await assistant.run(f"{number}:" + "x" * 100, user="u", conversation="c")


async def entries(store: MemoryStore) -> list[Entry]:
    return [measured.entry for measured in await JournalReader(store.for_user("u"), "c").read()]


async def compactions(store: MemoryStore) -> list[Compacted]:
    return [entry for entry in await entries(store) if isinstance(entry, Compacted)]


async def test_a_window_that_is_nearly_full_is_compacted_after_the_turn_and_before_the_next() -> None:
    store, script = MemoryStore(), model()
    with anyio.fail_after(10):
        async with talking(store, script, compactor=Summing()) as assistant:
            for number in range(9):
                await say(assistant, number)
                await assistant.settled()
    first, *_ = await compactions(store)
    assert first.strategy == "sum up"
    assert first.key.startswith("compact/after/")
    assert first.usage.requests == 1
    assert first.summaries[0].text.endswith("turns")
    sizes = [len(request.items) for request in script.requests]
    assert max(sizes) == 11
    assert any(text_of(item.content).startswith("[Summary") for item in _users(script, -1))


def _users(script: ScriptedModel, request: int) -> list[UserMessage]:
    return [item for item in script.requests[request].items if isinstance(item, UserMessage)]


async def test_another_worker_goes_on_from_a_compaction_that_was_made_after_a_turn() -> None:
    store, script = MemoryStore(), model()
    with anyio.fail_after(10):
        async with talking(store, model(), compactor=Summing()) as assistant:
            await say(assistant, *range(6))
            await assistant.settled()
        assert len(await compactions(store)) == 1
        await say(talking(store, script, compactor=Summing()), 6)
    assert text_of(_users(script, 0)[0].content).startswith("[Summary")
    assert len(await compactions(store)) == 1


async def test_nothing_is_learned_without_a_memory_or_from_a_turn_that_is_gone() -> None:
    store, extractor = MemoryStore(), Learning()
    context = Context(token_counter=UpperBound(), extractor=extractor)
    with anyio.fail_after(10):
        async with Assistant(model(), store=store, context=context) as assistant:
            await say(assistant, 1)
            await assistant.settled()
        assert extractor.seen == []
        extractor.gate = anyio.Event()
        async with talking(store, model(), extractor=extractor) as assistant:
            await say(assistant, 2)
            await extractor.entered.wait()
            await assistant.conversation("c", user="u").rewind(to_turn=None)
            await say(assistant, 3)
            extractor.gate.set()
            await assistant.settled()
            await Assistant(model(), store=store, context=context).settled()  # there is nothing to wait for
    noted = [entry for entry in await entries(store) if isinstance(entry, MemoriesExtracted)]
    assert [entry.memories for entry in noted] == [("m:3",)]


async def test_a_turn_that_finds_the_window_full_waits_for_the_compactor() -> None:
    store, script = MemoryStore(), model()
    with anyio.fail_after(10):
        await say(talking(store, script, compactor=Summing()), *range(8))  # not entered: nothing runs beside it
    first, *_ = await compactions(store)
    assert (first.strategy, first.key) == ("sum up", "compact/1")


async def test_a_compaction_that_comes_too_late_is_discarded() -> None:
    store = MemoryStore()
    slow = Summing(gate=anyio.Event())
    with anyio.fail_after(10):
        async with talking(store, model(), compactor=slow) as assistant:
            await say(assistant, *range(6))
            await slow.entered.wait()
            assert slow.gate is not None
            await say(talking(store, model(), compactor=Summing()), *range(6, 9))  # meanwhile, by another worker
            before = await compactions(store)
            slow.gate.set()
            await assistant.settled()
    assert len(before) > 0
    assert await compactions(store) == before


async def test_a_compaction_of_what_was_rewound_meanwhile_is_discarded() -> None:
    store = MemoryStore()
    slow = Summing(gate=anyio.Event())
    with anyio.fail_after(10):
        async with talking(store, model(), compactor=slow) as assistant:
            await say(assistant, *range(6))
            await slow.entered.wait()
            assert slow.gate is not None
            conversation = assistant.conversation("c", user="u")
            await conversation.rewind(to_turn=(await conversation.history(limit=3))[0].turn)
            slow.gate.set()
            await assistant.settled()
            assert await compactions(store) == []
            await conversation.rewind(to_turn=None)
            await say(assistant, 1)
            await assistant.settled()
    assert await compactions(store) == []


async def test_a_compactor_that_fails_or_finds_nothing_changes_nothing() -> None:
    for compactor in (Summing(fails=True), Summing()):
        store = MemoryStore()
        with anyio.fail_after(10):
            async with talking(store, model(), compactor=compactor) as assistant:
                await say(assistant, 0, 1)
                await say(assistant, *range(2, 6 if compactor.fails else 3))
                await assistant.settled()
        assert await compactions(store) == []


async def test_what_was_said_is_learned_from_once() -> None:
    store, extractor = MemoryStore(), Learning()
    with anyio.fail_after(10):
        async with talking(store, model(), extractor=extractor) as assistant:
            await say(assistant, 1)
            await assistant.settled()
            await say(assistant, 2, 3)
            await assistant.settled()
            await assistant.settled()
    learned = [entry for entry in await entries(store) if isinstance(entry, MemoriesExtracted)]
    assert [number for said, _ in extractor.seen for number in (text[0] for text in said)] == ["1", "2", "3"]
    assert [memory for entry in learned for memory in entry.memories] == ["m:1", "m:2", "m:3"]
    assert all(source.startswith("c/") for _, source in extractor.seen)


async def test_what_could_not_be_learned_from_is_tried_again_after_the_next_turn() -> None:
    store, extractor = MemoryStore(), Learning(fails=True)
    with anyio.fail_after(10):
        async with talking(store, model(), extractor=extractor) as assistant:
            await say(assistant, 1)
            await assistant.settled()
            extractor.fails = False
            await say(assistant, 2)
            await assistant.settled()
    assert [[text[0] for text in said] for said, _ in extractor.seen] == [["1"], ["1", "2"]]


async def test_a_turn_that_began_meanwhile_is_no_trouble_and_the_next_finds_the_window_as_it_was() -> None:
    store, script = MemoryStore(), model()
    with anyio.fail_after(10):
        async with talking(store, script, extractor=Learning()) as assistant:
            for number in range(4):
                await say(assistant, number)
    first, second, third, fourth = (request.items for request in script.requests)
    for earlier, later in ((first, second), (second, third), (third, fourth)):
        assert list(later[: len(earlier)]) == list(earlier)
