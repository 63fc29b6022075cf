"""The code that docs/compaction.md shows."""

import re

import anyio
import pytest

from assistant_kit import Assistant, Settings, WindowSettings
from assistant_kit.compactors.chain import Chain
from assistant_kit.compactors.clear_results import ClearResults
from assistant_kit.compactors.drop_oldest import DropOldest
from assistant_kit.compactors.summarize import Summarize
from assistant_kit.context import Context
from assistant_kit.messages import ToolAnswer, text_of
from assistant_kit.protocols.compactor import Compaction, Crowded
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.settings import ModelSettings
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import Call, CallTools, ScriptedModel
from tests.compactors.crowding import asked, crowded, said, summary

pytestmark = pytest.mark.anyio
PATIENCE = 30


async def test_compactors_are_chosen_and_put_in_a_row() -> None:
    model = ScriptedModel(["Hello."])
    cheap_model = ScriptedModel([])
    # --8<-- [start:choose]
    compactor = Chain([ClearResults(keep_turns=3), Summarize(cheap_model)])
    async with Assistant(model, store=MemoryStore(), context=Context(compactor=compactor)) as assistant:
        result = await assistant.run("Hello", user="u1", conversation="c1")
    # --8<-- [end:choose]
    assert result.output == "Hello."


async def test_a_model_that_thinks_is_given_room_to_think() -> None:
    # --8<-- [start:thinking]
    compactor = Summarize(
        max_summary_tokens=400,
        settings=ModelSettings(max_output_tokens=4_000, reasoning_effort="low"),
    )
    # --8<-- [end:thinking]
    assert compactor.in_background


# --8<-- [start:own]
class ForgetSmallTalk:
    """Keeps only turns in which a tool was called, when they are the newest ones."""

    in_background = False

    async def compact(self, window: Crowded) -> Compaction | None:
        keep = 0
        for turn in reversed(window.turns):
            if not any(block.results for block in turn.blocks):
                break
            keep += 1
        if keep == 0:
            return None  # the next one in the chain decides
        return Compaction(keep=keep, summaries=window.summaries, strategy="forget small talk")


# --8<-- [end:own]


async def test_a_compactor_of_ones_own_decides_or_leaves_it_to_the_next() -> None:
    turns = [said(1, "hello " * 30), asked(2, "Rain."), asked(3, "Sun.")]
    chain = Chain([ForgetSmallTalk(), DropOldest()])
    assert await chain.compact(crowded(turns, 300, summaries=[summary(0)])) == Compaction(
        keep=2, summaries=[summary(0)], strategy="forget small talk"
    )
    assert (await chain.compact(crowded(turns[:1], 30, limit=30))) == Compaction(
        keep=0, strategy="drop the oldest turns"
    )


async def test_a_long_result_is_read_again_in_pages() -> None:
    def report() -> str:
        """Everything we know."""
        return "\n".join(f"{number}: it rains" for number in range(2_000))

    def read_on(request: ModelRequest) -> CallTools:
        handle = re.search(r'read_result\("([^"]+)"', shown(request))
        assert handle is not None
        return CallTools(Call("read_result", {"handle": handle[1], "page": 2}))

    model = ScriptedModel([CallTools(Call("report")), read_on, "It rains."])
    # --8<-- [start:long]
    settings = Settings(window=WindowSettings(max_result_tokens=1_000))
    async with Assistant(model, tools=[report], store=MemoryStore(), settings=settings) as assistant:
        with anyio.fail_after(PATIENCE):
            await assistant.run("What do we know?", user="u1", conversation="c1")
    # --8<-- [end:long]
    assert shown(model.requests[1]).startswith("0: it rains\n1: it rains\n")
    assert shown(model.requests[1]).endswith("1999: it rains")
    assert shown(model.requests[2]).startswith("[page 2 of ")


def shown(request: ModelRequest) -> str:
    """What a model reads of the newest call."""
    answer = request.items[-1]
    assert isinstance(answer, ToolAnswer)
    return text_of(answer.content)
