"""Finding passages by their words, at a cost that does not grow with how common these are."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from assistant_kit.indexes._words import words
from assistant_kit.indexes.sqlite.connection import Binding, Connection
from assistant_kit.indexes.sqlite.filters import condition
from assistant_kit.indexes.sqlite.reading import hits
from assistant_kit.indexes.sqlite.writing import mark
from assistant_kit.protocols.search_index import Hit, Where

MAX_WORDS: Final = 32
"""Words of a question that are looked for: the rarest ones."""

MAX_ROWS: Final = 20_000
"""Occurrences that are weighed, beginning with those of the rarest word."""

LEAST_ROWS: Final = 1_000
"""Occurrences that are weighed of each word beyond that: those in the passages that were added last."""

_TALLY: Final = "SELECT owners.owner, owners.passages, store.passages FROM owners, store WHERE owners.name = ?"
_FREQUENCY: Final = "SELECT doc FROM vocabulary WHERE term = ?"
_ONE_WORD: Final = (
    "SELECT * FROM (SELECT rowid AS passage, bm25(words) * ? AS score FROM words WHERE words MATCH ?{}"
    " ORDER BY rowid DESC LIMIT ?)"
)
_BEST: Final = "SELECT passage, sum(score) FROM ({}) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?"
_FITTING: Final = " AND EXISTS (SELECT 1 FROM passages WHERE passages.passage = words.rowid"


def keywords(connection: Connection, owner: str, query: str, *, limit: int, where: Where | None) -> list[Hit]:
    """Return the passages that share words with `query`, the best first: Okapi BM25."""
    tally = connection.execute(_TALLY, (owner,)).fetchone()
    if tally is None:
        return []
    number, owned, total = tally
    frequencies = _frequencies(connection, number, words(query))
    if not frequencies:
        return []
    fitting, bindings = condition(where)
    if fitting:
        fitting = f"{_FITTING}{fitting})"
    parts: list[str] = []
    values: list[Binding] = []
    for word, frequency, rows in shares(frequencies, limit):
        parts.append(_ONE_WORD.format(fitting))
        values += [_weight(frequency, owned=owned, total=total), f'"{word}"', *bindings, rows]
    sql = _BEST.format(" UNION ALL ".join(parts))
    return hits(connection, connection.execute(sql, (*values, limit)).fetchall())


def _frequencies(connection: Connection, owner: int, asked: Sequence[str]) -> Mapping[str, int]:
    """Return in how many passages the rarest of these words are, as they stand in the index, the rarest first."""
    found: dict[str, int] = {}
    for word in dict.fromkeys(asked):
        marked = mark(word, owner)
        for (count,) in connection.execute(_FREQUENCY, (marked,)):
            found[marked] = count
    return dict(sorted(found.items(), key=lambda item: item[1])[:MAX_WORDS])


def shares(frequencies: Mapping[str, int], limit: int) -> list[tuple[str, int, int]]:
    """Return each word with how often it is there, and how many of its rows are weighed."""
    left = MAX_ROWS
    shares: list[tuple[str, int, int]] = []
    for word, frequency in frequencies.items():
        rows = max(left, LEAST_ROWS, limit)
        shares.append((word, frequency, rows))
        left -= min(frequency, rows)
    return shares


def _weight(frequency: int, *, owned: int, total: int) -> float:
    """Return by what to multiply FTS5's `bm25` so that a word is as rare as it is with its owner.

    FTS5 returns a negative number, and takes a word for as rare as it is in the whole file, of which other owners have
    their part: by the formula of https://sqlite.org/fts5.html#the_bm25_function.
    """
    in_file = math.log((total - frequency + 0.5) / (frequency + 0.5))
    in_file = in_file if in_file > 0 else 1e-6
    return -math.log1p((owned - frequency + 0.5) / (frequency + 0.5)) / in_file
