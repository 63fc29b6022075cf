"""The core on both of its databases."""

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from examples.todo_chatbot.auth.passwords import Passwords
from examples.todo_chatbot.database import Database
from examples.todo_chatbot.services.user_service import UserService
from tests.examples.todo.core.databases import QUICK, opened, postgres_database, sqlite_url


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty database, shared by the tests of a file: each has users of its own."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path_factory.mktemp("todo"))
    else:
        with postgres_database(request.getfixturevalue("postgres_url")) as url:
            yield url


@pytest.fixture(scope="module")
def database(database_url: str) -> Iterator[Database]:
    with opened(database_url) as database:
        yield database


@pytest.fixture
def ada(database: Database) -> UUID:
    return UserService(database, Passwords(QUICK)).named(f"ada-{uuid4()}")


@pytest.fixture
def eve(database: Database) -> UUID:
    return UserService(database, Passwords(QUICK)).named(f"eve-{uuid4()}")
