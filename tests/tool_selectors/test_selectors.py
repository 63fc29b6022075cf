"""Selectors find the tool that a question needs, within the tokens that there are."""

import logging
from array import array
from collections.abc import Callable, Sequence

import anyio
import pytest

from assistant_kit.embedders.hashing import HashingEmbedder
from assistant_kit.errors import ModelUnavailable
from assistant_kit.protocols.embedder import Purpose, Vector
from assistant_kit.protocols.tool_selector import ToolSelector
from assistant_kit.request_tokens import tool_tokens
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.tool_selectors.embedding import MOST, EmbeddingSelector
from assistant_kit.tool_selectors.keyword import KeywordSelector
from assistant_kit.tool_spec import ToolSpec
from tests.tool_selectors.catalogue import CATALOGUE, QUESTIONS

pytestmark = pytest.mark.anyio
SELECTORS: dict[str, Callable[[], ToolSelector]] = {
    "keyword": KeywordSelector,
    "embedding": lambda: EmbeddingSelector(HashingEmbedder(1024)),
}
GAMES = tuple(ToolSpec(name=name, description="", parameters={}) for name in ("chess", "tennis", "rowing"))


class Sports:
    """An embedder that knows one thing: which texts are about games on a board. It keeps what it was asked."""

    name = "sports"
    dimensions = 2

    def __init__(self) -> None:
        self.asked: list[tuple[Purpose, str]] = []
        self.is_down = False

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Sequence[Vector]:
        if self.is_down:
            raise ModelUnavailable("down", model=self.name)
        self.asked.extend((purpose, text) for text in texts)
        on_board = [float("chess" in text or "checkmate" in text) for text in texts]
        return [array("f", [value, 1 - value]) for value in on_board]

    async def aclose(self) -> None: ...


def one(_: ToolSpec) -> int:
    return 1


def count(tool: ToolSpec) -> int:
    return tool_tokens(tool, UpperBound())


async def recall(selector: ToolSelector, *, tools: int) -> float:
    """Return the share of questions whose tool is among so many that were chosen."""
    found = 0
    with anyio.fail_after(30):
        for question, name in QUESTIONS.items():
            chosen = await selector.select(question, CATALOGUE, max_tokens=tools, tokens=one)
            assert len(chosen) == tools
            found += name in {tool.name for tool in chosen}
    return found / len(QUESTIONS)


@pytest.mark.parametrize(("selector", "least"), [("keyword", 0.9), ("embedding", 0.8)])
async def test_the_right_tool_is_among_eight_of_sixty_four(selector: str, least: float) -> None:
    assert await recall(SELECTORS[selector](), tools=8) >= least


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("room", [0, 200, 1_000, 5_000, 1_000_000])
async def test_what_is_chosen_fits_and_stands_in_the_order_in_which_it_was_given(selector: str, room: int) -> None:
    with anyio.fail_after(30):
        chosen = await SELECTORS[selector]().select("Book a flight", CATALOGUE, max_tokens=room, tokens=count)
    assert sum(map(count, chosen)) <= room
    assert [tool for tool in CATALOGUE if tool in chosen] == list(chosen)
    assert (len(chosen) == len(CATALOGUE)) == (room == 1_000_000)


@pytest.mark.parametrize("selector", SELECTORS)
async def test_the_same_question_gets_the_same_tools(selector: str) -> None:
    with anyio.fail_after(30):
        one_choice, other = [
            await SELECTORS[selector]().select("Where is my parcel?", CATALOGUE, max_tokens=800, tokens=count)
            for _ in range(2)
        ]
    assert one_choice == other
    assert "track_shipment" in {tool.name for tool in one_choice}


async def test_a_question_that_shares_no_word_with_any_tool_gets_the_first_ones_that_fit() -> None:
    with anyio.fail_after(5):
        chosen = await KeywordSelector().select("???", CATALOGUE, max_tokens=3, tokens=one)
    assert chosen == CATALOGUE[:3]


async def test_no_tools_are_no_choice() -> None:
    with anyio.fail_after(5):
        for make in SELECTORS.values():
            assert list(await make().select("Hello", (), max_tokens=100, tokens=one)) == []


async def test_meaning_finds_what_shares_no_word() -> None:
    with anyio.fail_after(5):
        chosen = await EmbeddingSelector(Sports()).select(
            "Was that a checkmate?", GAMES[::-1], max_tokens=1, tokens=one
        )
    assert [tool.name for tool in chosen] == ["chess"]


async def test_tools_are_embedded_once() -> None:
    embedder = Sports()
    selector = EmbeddingSelector(embedder)
    with anyio.fail_after(5):
        for question in ("one", "two"):
            await selector.select(question, (*GAMES, GAMES[0]), max_tokens=1, tokens=one)
    assert [text for purpose, text in embedder.asked if purpose == "query"] == ["one", "two"]
    assert len([text for purpose, text in embedder.asked if purpose == "document"]) == len(GAMES)


async def test_vectors_are_kept_of_so_many_tools() -> None:
    embedder = Sports()
    selector = EmbeddingSelector(embedder)
    many = [ToolSpec(name=f"game_{number}", description="", parameters={}) for number in range(MOST)]
    with anyio.fail_after(30):
        await selector.select("?", many, max_tokens=1, tokens=one)
        await selector.select("?", GAMES, max_tokens=1, tokens=one)
        before = len(embedder.asked)
        await selector.select("?", GAMES, max_tokens=1, tokens=one)
        assert len(embedder.asked) == before + 1
        await selector.select("?", many, max_tokens=1, tokens=one)
    assert len(embedder.asked) == before + 1 + MOST + 1


async def test_an_embedder_that_is_down_leaves_the_choice_to_the_words(caplog: pytest.LogCaptureFixture) -> None:
    embedder = Sports()
    embedder.is_down = True
    with anyio.fail_after(5), caplog.at_level(logging.WARNING, "assistant_kit.tools"):
        chosen = await EmbeddingSelector(embedder).select("Play some tennis", GAMES, max_tokens=1, tokens=one)
    assert [tool.name for tool in chosen] == ["tennis"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
