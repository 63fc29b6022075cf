"""What is asked of the table of passages, on one connection. Every statement names the owner."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final

from psycopg.rows import TupleRow

from assistant_kit.indexes._rules import Space, check_vector, is_storable, space_of
from assistant_kit.indexes.postgres.place import Place
from assistant_kit.indexes.postgres.values import columns, searchable, texts, vector_value
from assistant_kit.postgres_session import Session, one_row
from assistant_kit.protocols.embedder import Vector
from assistant_kit.protocols.search_index import Hit, Passage, Where

_MOST: Final = 2**62
"""A limit that no table reaches, and a bigint holds."""

_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")

_PUT: Final = """
    WITH given AS MATERIALIZED (
        SELECT * FROM unnest(
            %s::text[], %s::text[], %s::text[], %s::float8[], %s::text[], %s::text[], %s::pgvector.vector[]
        ) AS n (id, text, source, at, labels, words, vector)
    ), kept AS (
        INSERT INTO assistant_kit_index.passages (owner, id, text, source, at, labels, words)
        SELECT %s::text, id, text, source, at, labels::jsonb, to_tsvector(%s::regconfig, words) FROM given
        {only_if}
        ON CONFLICT (owner, id) DO UPDATE SET text = excluded.text, source = excluded.source, at = excluded.at,
            labels = excluded.labels, words = excluded.words
        RETURNING owner, id
    ), placed AS (
        INSERT INTO assistant_kit_index.vectors (owner, id, vector)
        SELECT owner, id, vector FROM given JOIN kept USING (id) WHERE vector IS NOT NULL
        ON CONFLICT (owner, id) DO UPDATE SET vector = excluded.vector
    )
    SELECT count(*) FROM kept
"""
_ONLY_IF: Final = """
    WHERE EXISTS (SELECT FROM assistant_kit_index.settings WHERE dimensions = %s AND embedder = %s)
"""
_BARE: Final = "DELETE FROM assistant_kit_index.vectors WHERE owner = %s AND id = ANY (%s::text[])"
_GET: Final = """
    SELECT p.id, p.text, p.source, p.at, p.labels, v.vector FROM assistant_kit_index.passages p
    LEFT JOIN assistant_kit_index.vectors v USING (owner, id)
    WHERE owner = %s AND id = ANY (%s::text[])
"""
_PAGE: Final = """
    SELECT p.id, p.text, p.source, p.at, p.labels, v.vector FROM assistant_kit_index.passages p
    LEFT JOIN assistant_kit_index.vectors v USING (owner, id)
    WHERE owner = %s AND id > %s {fits} ORDER BY id LIMIT %s::bigint
"""
_FOUND: Final = """
    SELECT p.id, p.text, p.source, p.at, p.labels, found.score
    FROM found JOIN assistant_kit_index.passages p ON p.owner = %s AND p.id = found.id
    ORDER BY found.score DESC, p.id
"""
_NEAREST: Final = f"""
    WITH found AS MATERIALIZED (
        SELECT id, -(vector OPERATOR(pgvector.<#>) %s::pgvector.vector) AS score
        FROM assistant_kit_index.vectors v WHERE owner = %s {{fits}}
        ORDER BY vector OPERATOR(pgvector.<#>) %s::pgvector.vector LIMIT %s::bigint
    )
    {_FOUND}
"""  # noqa: S608  (made of constants)
_FITTING: Final = """
    AND EXISTS (SELECT FROM assistant_kit_index.passages p WHERE p.owner = v.owner AND p.id = v.id {fits})
"""
_APPROXIMATE: Final = "vector::pgvector.vector({dimensions})"
_COMMON: Final = 2000
"""Passages of an owner from which on a word is common: then it alone finds this many of them, and no more."""

_KEYWORDS: Final = f"""
    WITH asked AS MATERIALIZED (
        SELECT quote_literal(translate(lexeme, '\\', ''))::tsquery AS one
        FROM unnest(to_tsvector(%s::regconfig, %s))
    ), holding AS MATERIALIZED (
        SELECT asked.one, holder.id, holder.words FROM asked CROSS JOIN LATERAL (
            SELECT p.id, p.words FROM assistant_kit_index.passages p
            WHERE p.owner = %s AND p.words @@ asked.one {{fits}} LIMIT {_COMMON}
        ) holder
    ), counted AS MATERIALIZED (
        SELECT one, count(*) AS n, ln(1 + (size.n - count(*) + 0.5) / (count(*) + 0.5)) AS weight
        FROM holding CROSS JOIN (
            SELECT count(*)::float8 AS n
            FROM (SELECT FROM assistant_kit_index.passages WHERE owner = %s LIMIT {_COMMON}) counted
        ) size GROUP BY one, size.n
    ), chosen AS MATERIALIZED (
        SELECT DISTINCT ON (holding.id) holding.id, holding.words FROM holding JOIN counted USING (one)
        WHERE counted.n < {_COMMON}
            OR (SELECT max(n) FROM counted WHERE n < {_COMMON}) IS NULL
            OR (SELECT max(n) FROM counted WHERE n < {_COMMON}) < %s::bigint
    ), found AS MATERIALIZED (
        SELECT chosen.id, sum(ts_rank(chosen.words, counted.one, 1) * counted.weight) AS score
        FROM chosen JOIN counted ON chosen.words @@ counted.one
        GROUP BY chosen.id ORDER BY score DESC, chosen.id LIMIT %s::bigint
    )
    {_FOUND}
"""  # noqa: S608  (made of constants)
# Rows are locked in one order, so that no two deletions wait for each other in a circle.
_DELETE: Final = """
    WITH doomed AS MATERIALIZED (
        SELECT id FROM assistant_kit_index.passages WHERE owner = %s {fits} ORDER BY id FOR UPDATE
    )
    DELETE FROM assistant_kit_index.passages p USING doomed WHERE p.owner = %s AND p.id = doomed.id
"""
_OWNERS: Final = """
    WITH RECURSIVE found (owner, n) AS (
        (SELECT owner, 1::bigint FROM assistant_kit_index.passages WHERE owner > %s ORDER BY owner LIMIT 1)
        UNION ALL
        SELECT (SELECT p.owner FROM assistant_kit_index.passages p WHERE p.owner > f.owner ORDER BY p.owner LIMIT 1),
            f.n + 1
        FROM found f WHERE f.owner IS NOT NULL AND f.n < %s::bigint
    )
    SELECT owner FROM found WHERE owner IS NOT NULL ORDER BY owner
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fits:
    """A filter as SQL: conditions that begin with AND, and their values."""

    sql: str = ""
    values: tuple[object, ...] = ()


def fitting(where: Where | None) -> Fits | None:
    """Return a filter as SQL; None for one that nothing passes, as it asks for what cannot be stored."""
    if where is None:
        return Fits()
    if any(bound is not None and math.isnan(bound) for bound in (where.since, where.until)):
        return None
    labels = dict(where.labels)
    asked = [*([] if where.source is None else [where.source]), *labels]
    asked += [value for value in labels.values() if isinstance(value, str)]
    if not all(map(is_storable, asked)):
        return None
    conditions: dict[str, tuple[object, ...]] = {
        "hashtextextended(source, 0) = hashtextextended(%s::text, 0) AND source = %s": (where.source, where.source),
        "at >= %s::float8": (where.since,),
        "at <= %s::float8": (where.until,),
        "labels @> %s::jsonb": (json.dumps(labels) if labels else None,),
    }
    chosen = {sql: values for sql, values in conditions.items() if values[0] is not None}
    return Fits(
        sql="".join(f" AND {sql}" for sql in chosen),
        values=tuple(value for values in chosen.values() for value in values),
    )


def put(session: Session, place: Place, owner: str, passages: Sequence[Passage]) -> None:
    """Add or replace passages of different ids, all or none. Raises InputError, IndexMismatch, psycopg.Error."""
    if not passages:
        return
    passages = sorted(passages, key=lambda one: one.id)  # all processes lock rows in one order
    bare = [one.id for one in passages if one.vector is None]
    values: list[object] = [*columns(passages, place.vector_type), owner, place.manner.language]
    if len(bare) == len(passages):
        _put_into(session, place, values, owner, bare)
        return
    space = space_of(passages, place=place.name, kept=place.kept, opened=place.opened)
    while not _put_into(session, place, values, owner, bare, space):
        place.look(session)
        place.settle(session, space_of(passages, place=place.name, kept=place.kept, opened=place.opened))
        space = place.kept


def _put_into(
    session: Session,
    place: Place,
    values: Sequence[object],
    owner: str,
    bare: Sequence[str],
    space: Space | None = None,
) -> int:
    """Put, if the schema keeps vectors of this space, and return how many were put: otherwise none.

    Passages without a vector, `bare`, lose the one that they may have had: in a statement of its own, which sees what
    others wrote until this one had their rows.
    """
    only_if, known = ("", ()) if space is None else (_ONLY_IF, (space.dimensions, space.embedder))
    statement = place.written(_PUT.format(only_if=only_if)).decode()
    with session.transaction() if bare else nullcontext():
        (count,) = one_row(session, statement, [*values, *known], binary=True)
        if bare and count:
            session.execute(place.written(_BARE), (owner, texts(bare)))
    return count


def get(session: Session, place: Place, owner: str, ids: Sequence[str]) -> list[Passage]:
    """Return those of these passages that exist, in the order of `ids`."""
    rows = _rows(session, place, _GET, owner, texts(ids))
    found = {one.id: one for one in map(_passage, rows)}
    return [found[name] for name in ids if name in found]


def page(session: Session, place: Place, owner: str, limit: int, after: str, fits: Fits) -> list[Passage]:
    """Return passages in the order of their ids, behind `after`."""
    statement = _PAGE.format(fits=fits.sql)
    return [*map(_passage, _rows(session, place, statement, owner, _beginning(after), *fits.values, _bounded(limit)))]


def nearest(session: Session, place: Place, owner: str, vector: Vector, limit: int, fits: Fits | None) -> list[Hit]:
    """Return the passages with the nearest vectors. Raises InputError, psycopg.Error."""
    if place.kept.dimensions is None:
        place.look(session)
    dimensions = place.kept.dimensions
    check_vector(vector, dimensions or place.opened.dimensions)
    if dimensions is None or fits is None:
        return []
    asked = vector_value(vector)
    values = (asked, owner, *fits.values, asked, _bounded(limit), owner)
    exact = _NEAREST.format(fits=_FITTING.format(fits=fits.sql) if fits.sql else "")
    if place.manner.approximate:
        near = _APPROXIMATE.format(dimensions=dimensions)
        statement = exact.replace("(vector OP", f"(({near}) OP").replace("BY vector", f"BY ({near})")
        hits = _hits(session, place, statement, *values)
        if len(hits) >= limit:
            return hits
    # A graph that was searched for long enough may have missed some: then all of the owner's are looked at.
    return _hits(session, place, exact, *values)


def keywords(session: Session, place: Place, owner: str, query: str, limit: int, fits: Fits) -> list[Hit]:
    """Return the passages that share words with `query`: rare words count for more, long passages for less."""
    most = _bounded(limit)
    asked = (place.manner.language, searchable(query), owner, *fits.values)
    return _hits(session, place, _KEYWORDS.format(fits=fits.sql), *asked, owner, most, most, owner)


def delete(session: Session, place: Place, owner: str, fits: Fits) -> int:
    """Delete the passages of an owner that are like this, and return their number."""
    return session.execute(place.written(_DELETE.format(fits=fits.sql)), (owner, *fits.values, owner)).rowcount


def among(ids: Sequence[str]) -> Fits:
    """Return the filter that these ids pass."""
    return Fits(sql=" AND id = ANY (%s::text[])", values=(texts(ids),))


def owners(session: Session, place: Place, after: str, limit: int) -> list[str]:
    """Return owners behind `after`: one step in the index for each, however many passages they have."""
    return [owner for (owner,) in _rows(session, place, _OWNERS, _beginning(after), _bounded(limit))]


def _rows(session: Session, place: Place, statement: str, *values: object) -> list[TupleRow]:
    return session.execute(place.written(statement), values, binary=True).fetchall()


def _hits(session: Session, place: Place, statement: str, *values: object) -> list[Hit]:
    rows = _rows(session, place, statement, *values)
    return [Hit(passage=_passage((*row[:-1], None)), score=row[-1]) for row in rows]


def _passage(row: Sequence[Any]) -> Passage:
    name, text, source, at, labels, vector = row
    kept: Mapping[str, Any] = labels
    return Passage(id=name, text=text, source=source, at=at, labels=kept, vector=vector)


def _beginning(after: str) -> str:
    """Return a name up to what cannot be stored: no name that is kept goes on like that."""
    return _UNSTORABLE.split(after)[0]


def _bounded(limit: int) -> int:
    return min(limit, _MOST)
