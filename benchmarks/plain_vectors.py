"""What indexes are measured against: one table, one statement, and nothing around it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import anyio.to_thread
import apsw
import psycopg
import sqlite_vec  # pyright: ignore[reportMissingTypeStubs]
from pgvector import Vector as PgVector
from pgvector.psycopg import register_vector

from assistant_kit.protocols.embedder import Vector
from assistant_kit.protocols.search_index import Passage

FOUND = 8
"""Passages that are looked for."""


class Asked(Protocol):
    """A question."""

    @property
    def vector(self) -> Vector: ...


class PlainSQLite:
    """A table of sqlite-vec as its documentation has it, with the texts in it."""

    def __init__(self, path: Path, dimensions: int) -> None:
        self._connection: Any = apsw.Connection(str(path))
        self._connection.enable_load_extension(enable=True)
        self._connection.load_extension(sqlite_vec.loadable_path())
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(
            "CREATE VIRTUAL TABLE memories USING"
            f" vec0(owner TEXT PARTITION KEY, embedding FLOAT[{dimensions}] distance_metric=cosine, +text TEXT)"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def fill(self, passages: Iterable[Passage]) -> None:
        """Add passages, in one transaction."""
        rows = (("o", passage.vector.tobytes(), passage.text) for passage in passages if passage.vector is not None)
        with self._connection:
            self._connection.executemany("INSERT INTO memories (owner, embedding, text) VALUES (?, ?, ?)", rows)

    async def nearest(self, question: Asked) -> Sequence[str]:
        """Return the nearest texts, asked for in another thread, as every program with an event loop has to."""
        return await anyio.to_thread.run_sync(self._nearest, question.vector.tobytes())

    def _nearest(self, vector: bytes) -> list[str]:
        found = self._connection.execute(
            "SELECT text FROM memories WHERE owner = 'o' AND embedding MATCH ? AND k = ? ORDER BY distance",
            (vector, FOUND),
        )
        return [text for (text,) in found]


class PlainPostgres:
    """A table of pgvector, searched as a whole."""

    def __init__(self, url: str, dimensions: int) -> None:
        # The extension is there already, in a schema of its own.
        self._connection = psycopg.connect(url, autocommit=True, options="-c search_path=public,pgvector")
        self._connection.execute(
            f"CREATE TABLE memories (owner text, text text, embedding vector({dimensions}))".encode()
        )
        self._connection.execute("ALTER TABLE memories ALTER COLUMN embedding SET STORAGE PLAIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def fill(self, passages: Iterable[Passage]) -> None:
        """Add passages, in one transaction."""
        register_vector(self._connection)
        with self._connection.cursor().copy("COPY memories FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["text", "text", "vector"])
            for passage in passages:
                if passage.vector is not None:
                    copy.write_row(("o", passage.text, PgVector(passage.vector.tolist())))

    async def nearest(self, question: Asked) -> Sequence[str]:
        """Return the nearest texts, asked for in another thread."""
        return await anyio.to_thread.run_sync(self._nearest, written(question.vector))

    def _nearest(self, vector: str) -> list[str]:
        found = self._connection.execute(
            "SELECT text FROM memories WHERE owner = 'o' ORDER BY embedding <#> %s::vector LIMIT %s", (vector, FOUND)
        )
        return [text for (text,) in found]


def analyse(url: str, tables: str) -> None:
    """Let a server know what tables hold: before it does, its plans are those for small ones."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"VACUUM ANALYZE {tables}".encode())


def written(vector: Vector) -> str:
    """A vector as Postgres reads it."""
    return f"[{','.join(map(str, vector))}]"
