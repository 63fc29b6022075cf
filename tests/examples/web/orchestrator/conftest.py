"""An orchestrator for all tests of this folder."""

from collections.abc import AsyncIterator

import pytest

from tests.examples.web.orchestrator.world import Person, World, running


@pytest.fixture(scope="package")
def anyio_backend() -> str:
    """Servers of FastAPI run on asyncio."""
    return "asyncio"


@pytest.fixture(scope="package")
async def world(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> AsyncIterator[World]:
    """An orchestrator on SQLite with the rule-based model."""
    del anyio_backend
    async with running(tmp_path_factory.mktemp("web"), valkey_url) as world:
        yield world


@pytest.fixture
def ann(world: World) -> Person:
    """Somebody who has just signed in."""
    return world.person()


@pytest.fixture
def bob(world: World) -> Person:
    """Somebody else."""
    return world.person()
