"""The audit chains in the file: one for each user, with its last link at hand."""

import sqlite3
from collections.abc import Iterator
from typing import Final

from assistant_kit import audit_chain
from assistant_kit.audit_chain import GENESIS, AuditLink, AuditNote
from assistant_kit.stores._rules import name_of_erased
from assistant_kit.stores.sqlite.failures import damaged

_MAX_N: Final = 2**32 - 1

_HASHED: Final = [int, bytes, bytes]
_MAY_BE_ERASED: Final = {bytes, type(None)}

_HEAD: Final = "SELECT chain, n, link FROM chains WHERE user = ?"
_BEGIN: Final = "INSERT INTO chains (user, n, link) VALUES (?, 0, ?)"
_ADD: Final = "INSERT INTO audit (place, at_us, payload, salt, digest, link) VALUES (?, ?, ?, ?, ?, ?)"
_ADVANCE: Final = "UPDATE chains SET n = ?, link = ? WHERE chain = ?"
_EMPTY: Final = "UPDATE audit SET payload = NULL, salt = NULL WHERE place BETWEEN ? AND ?"
_HAND_OVER: Final = "UPDATE chains SET user = ? WHERE chain = ?"
_LOG: Final = """
    SELECT place & 0xFFFFFFFF, at_us, payload, salt, digest, link FROM audit
    WHERE place > (SELECT chain << 32 | :after FROM chains WHERE user = :user)
    AND place <= (SELECT chain << 32 | 0xFFFFFFFF FROM chains WHERE user = :user)
    ORDER BY place LIMIT :limit
"""


def is_kept(connection: sqlite3.Connection) -> bool:
    """Whether this store keeps an audit log."""
    return bool(connection.execute("SELECT audit FROM store").fetchone()[0])


def add(connection: sqlite3.Connection, user: str, note: AuditNote, at: float) -> None:
    """Add a link to the user's chain. `at` is in seconds since 1970."""
    row = connection.execute(_HEAD, (user,)).fetchone()
    if row is None:
        connection.execute(_BEGIN, (user, GENESIS))
        row = connection.execute(_HEAD, (user,)).fetchone()
    chain, n, link = row
    if type(n) is not int or type(link) is not bytes:
        raise damaged("the head of an audit chain")
    at_us = int(at * 1_000_000)
    n, link = n + 1, audit_chain.link_after(link, note.digest, at_us)
    connection.execute(_ADD, ((chain << 32) + n, at_us, note.payload, note.salt, note.digest, link))
    connection.execute(_ADVANCE, (n, link, chain))


def erase(connection: sqlite3.Connection, user: str, at: float) -> None:
    """Take the payloads and salts out of the user's chain, and pass it to a made-up user, under whom it ends so."""
    made_up = name_of_erased()
    row = connection.execute(_HEAD, (user,)).fetchone()
    if row is not None:
        chain = row[0]
        connection.execute(_EMPTY, (chain << 32, (chain << 32) + _MAX_N))
        connection.execute(_HAND_OVER, (made_up, chain))
    add(connection, made_up, audit_chain.erased(), at)


def exists(connection: sqlite3.Connection, user: str) -> bool:
    """Whether the user has a chain."""
    return connection.execute(_HEAD, (user,)).fetchone() is not None


def log(connection: sqlite3.Connection, user: str, *, after: int, limit: int) -> tuple[AuditLink, ...]:
    """Return links of the user's chain, in order."""
    rows = connection.execute(
        _LOG, {"user": user, "after": min(max(0, after), _MAX_N), "limit": min(max(0, limit), _MAX_N)}
    )
    return tuple(_links(rows))


def _links(rows: sqlite3.Cursor) -> Iterator[AuditLink]:
    for n, at_us, payload, salt, digest, link in rows:
        if [type(at_us), type(digest), type(link)] != _HASHED or {type(payload), type(salt)} - _MAY_BE_ERASED:
            raise damaged(f"link {n} of an audit chain")
        yield AuditLink(n=n, at_us=at_us, payload=payload, salt=salt, digest=digest, link=link)
