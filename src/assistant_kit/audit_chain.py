"""The audit chain of a user: what was done to the journals, each link bound to the one before it.

A link is `SHA-256(previous link, digest, time)` and the digest is `SHA-256(salt, payload)`. Payloads are hashed apart,
so that the chain can still be verified when they and their salts are erased, and say nothing then. Payloads hold hashes
of record bodies, never the bodies. Records bear the time of their link and the fence that its payload tells; payloads
without a version were written before that, and tell neither.
How a log is chained: https://www.rfc-editor.org/rfc/rfc9162 (there as a tree).
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

APPEND_VERSION: Final = 2
"""Of a payload about records: from 2 on it has their fence, and their time is that of the link."""

FENCE_IS_TIME: Final = "time"
"""In place of a fence: it is the time of the link in microseconds."""

Fence: TypeAlias = int | Literal["time"] | None
"""The fence of records, `FENCE_IS_TIME`, or None where the server is to put it in."""

GENESIS: Final = bytes(32)
"""Stands in for the link before the first one."""

_SALT_BYTES: Final = 16
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLink:
    """One link. `n` counts from 1 without gaps, `at_us` is the time in microseconds since 1970.

    `payload` and `salt` are None when the user was erased.
    """

    n: int
    at_us: int
    payload: bytes | None
    salt: bytes | None
    digest: bytes
    link: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditNote:
    """What is about to be chained: a payload with its salt and digest."""

    payload: bytes
    salt: bytes
    digest: bytes


def link_after(previous: bytes, digest: bytes, at_us: int) -> bytes:
    """Return the link that follows `previous`."""
    return hashlib.sha256(previous + digest + at_us.to_bytes(8, "big")).digest()


def digest_of(payload: bytes, salt: bytes) -> bytes:
    """Return the digest of a payload."""
    return hashlib.sha256(salt + payload).digest()


def appended(conversation: str, records: Iterable[tuple[str, str, int, bytes]], *, fence: Fence) -> AuditNote:
    """Note that records were appended under a fence, each given as id, kind, tokens and body."""
    shown = [[record_id, kind, tokens, hashlib.sha256(body).hexdigest()] for record_id, kind, tokens, body in records]
    return _note({"v": APPEND_VERSION, "do": "append", "conversation": conversation, "fence": fence, "records": shown})


def forked(conversation: str, *, source: str, at: int) -> AuditNote:
    """Note that `conversation` began as the first `at` records of `source`."""
    return _note({"do": "fork", "conversation": conversation, "source": source, "at": at})


def rewound(conversation: str, *, to: int) -> AuditNote:
    """Note that a conversation goes on after its record `to`."""
    return _note({"do": "rewind", "conversation": conversation, "to": to})


def renamed(conversation: str, title: str) -> AuditNote:
    """Note that a conversation has a new title."""
    digest = hashlib.sha256(title.encode()).hexdigest()
    return _note({"do": "rename", "conversation": conversation, "title": digest})


def deleted(conversation: str) -> AuditNote:
    """Note that a conversation was deleted."""
    return _note({"do": "delete", "conversation": conversation})


def erased() -> AuditNote:
    """Note that all data of the user was erased; the payloads of all links before go with it."""
    return _note({"do": "erase"})


def _note(payload: dict[str, object]) -> AuditNote:
    body = _CANONICAL(payload).encode()
    salt = os.urandom(_SALT_BYTES)
    return AuditNote(payload=body, salt=salt, digest=digest_of(body, salt))
