from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from assistant_kit import SQLiteIndex
from assistant_kit.messages import text_of
from examples.flask_demo.tool_servers.search import HANDBOOK, Handbook
from tests.integrations.serving.hosting import called

pytestmark = pytest.mark.anyio


@pytest.fixture
async def handbook(tmp_path: Path) -> AsyncIterator[Handbook]:
    folder = tmp_path / "handbook"
    folder.mkdir()
    (folder / "tea.md").write_text("# Tea\n\nTea is served at four o'clock.\n")
    (folder / "keys.md").write_text("# Keys\n\nKeys are kept at the desk.\n")
    made = Handbook(SQLiteIndex(tmp_path / "index"), folder)
    await made.open()
    yield made
    await made.close()


async def found(handbook: Handbook, query: str) -> str:
    return text_of(
        (await handbook.search().call("search_handbook", {"query": query}, called("search_handbook"))).content
    )


async def test_passages_are_found_with_their_source(handbook: Handbook) -> None:
    assert "four o'clock" in await found(handbook, "When is tea served?")
    assert "tea.md" in await found(handbook, "When is tea served?")


async def test_a_file_that_is_gone_or_changed_is_so_after_the_next_start(handbook: Handbook, tmp_path: Path) -> None:
    (tmp_path / "handbook" / "keys.md").unlink()
    (tmp_path / "handbook" / "tea.md").write_text("# Tea\n\nTea is served at five o'clock.\n")
    await handbook.open()
    await handbook.ping()

    assert "four o'clock" not in await found(handbook, "When is tea served?")
    assert "five o'clock" in await found(handbook, "When is tea served?")
    assert "desk" not in await found(handbook, "keys desk")


async def test_the_handbook_that_comes_along_answers(tmp_path: Path) -> None:
    handbook = Handbook(SQLiteIndex(tmp_path / "index"), HANDBOOK)
    await handbook.open()
    assert "10 megabytes" in await found(handbook, "How large may a file be?")
    await handbook.close()


async def test_the_tool_says_what_it_searches(handbook: Handbook) -> None:
    (spec,) = await handbook.search().tools()
    assert (spec.name, spec.effect) == ("search_handbook", "read")
    assert "handbook" in spec.description
