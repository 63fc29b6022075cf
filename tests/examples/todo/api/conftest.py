"""A service for the tests of a file."""

from collections.abc import AsyncIterator, Iterator

import pytest

from examples.todo_chatbot.settings import Settings
from tests.examples.todo.core.databases import postgres_database
from tests.examples.todo.service import Person, Running, running, settings_in


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Servers of FastAPI run on asyncio."""
    return "asyncio"


@pytest.fixture(scope="module")
async def service(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """A service on SQLite with the rule-based model."""
    del anyio_backend
    async with running(settings_in(tmp_path_factory.mktemp("todo"))) as service:
        yield service


@pytest.fixture
async def ann(service: Running) -> Person:
    """Somebody who has just signed up."""
    return await service.person()


@pytest.fixture(scope="module")
async def bob(service: Running) -> Person:
    """Somebody who signed up before: for tests that change nothing of theirs."""
    return await service.person()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The settings of a service on each of the two databases; the tests of a file share it."""
    folder = tmp_path_factory.mktemp("todo")
    if request.param == "sqlite":
        yield settings_in(folder)
    else:
        with postgres_database(request.getfixturevalue("postgres_url")) as url:
            yield settings_in(folder, database=url)
