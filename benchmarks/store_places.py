"""The stores that are measured, each durable as its default is, on servers of their own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from assistant_kit import MemoryStore, SQLiteStore
from assistant_kit.protocols.store import Store
from assistant_kit.stores.postgres import PostgresStore
from assistant_kit.stores.redis import RedisStore
from tests.services.postgres import DURABLE, postgres_cluster
from tests.services.valkey import running_valkey


@asynccontextmanager
async def opened_stores(folder: Path | None) -> AsyncGenerator[Mapping[str, Store]]:
    """All stores, opened, by the names of the table. Files are made in `folder`, servers where they make theirs."""
    with ExitStack() as services:
        own = Path(services.enter_context(TemporaryDirectory(dir=folder)))
        cluster = services.enter_context(postgres_cluster(DURABLE))
        services.enter_context(cluster.running())
        valkey = services.enter_context(running_valkey())
        stores: dict[str, Store] = {
            "memory": MemoryStore(),
            "sqlite": SQLiteStore(own / "full.db"),
            "sqlite normal": SQLiteStore(own / "normal.db", synchronous="NORMAL"),
            "sqlite audit": SQLiteStore(own / "audit.db", audit=True),
            "postgres": PostgresStore(cluster.url),
            "redis": RedisStore(valkey),
        }
        async with AsyncExitStack() as closing:
            for store in stores.values():
                await closing.enter_async_context(aclosing(store))
                await store.open()
            yield stores
