"""A schema of the test's own, and a store in it."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import psycopg
import pytest

from assistant_kit.stores.postgres import PostgresStore


@pytest.fixture
def schema() -> str:
    return f"schema_{uuid4().hex[:12]}"


@pytest.fixture
def admin(postgres_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def store(postgres_url: str, schema: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(postgres_url, schema=schema, connections=2)
    yield store
    await store.aclose()
