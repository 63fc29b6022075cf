"""What is known of an artifact, and the key of its bytes, as one short sealed text."""

import json
import os
import secrets
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import Final

from assistant_kit.artifact_stores.encrypted.sealing import KEY_BYTES, open_text, seal_text
from assistant_kit.artifact_stores.encrypted.user_keys import KEY_ID_BYTES, UserKey

_MARK: Final = 11  # characters
_MARKS: Final = "0123456789abcdefghijklmnopqrstuv"

LARGEST: Final = 8_192
"""Bytes that a record of facts has at most, by far."""

_VERSION: Final = b"\x01"
_HEAD: Final = len(_VERSION) + KEY_ID_BYTES + _MARK


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What users say of an artifact, what its clear bytes are, and the key under which they are sealed."""

    name: str
    media_type: str
    size: int
    sha256: str
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where facts belong: they open nowhere else. `sealed` is the id of the sealed bytes.

    `mark` is random, and part of the artifact's id: by it, facts that were exchanged for others are found.
    """

    user: str
    sealed: str
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Facts as they are kept."""

    key_id: str
    mark: str
    sealed: bytes

    def opened(self, key: UserKey, place: Place) -> Facts:
        """Return the facts. Raises ValueError when key or place are others, or a bit was changed."""
        told = json.loads(open_text(key.secret, self.sealed, _context(place)))
        return Facts(
            name=told["name"],
            media_type=told["media_type"],
            size=told["size"],
            sha256=told["sha256"],
            key=b64decode(told["key"]),
        )


def new_key() -> bytes:
    """Make a key for the bytes of one artifact."""
    return os.urandom(KEY_BYTES)


def new_mark() -> str:
    """Make a mark: 55 bits of chance."""
    return "".join(secrets.choice(_MARKS) for _ in range(_MARK))


def marked(kept: str, mark: str) -> str:
    """Return the id of an artifact whose facts are kept under an id of the wrapped store."""
    return f"{kept}_{mark}"


def kept_as(artifact: str) -> str | None:
    """Return the id in the wrapped store; None for what is no id of ours."""
    kept, _, mark = artifact.rpartition("_")
    return kept if kept and len(mark) == _MARK else None


def written(facts: Facts, key: UserKey, place: Place) -> bytes:
    """Return the record of facts."""
    told = {
        "name": facts.name,
        "media_type": facts.media_type,
        "size": facts.size,
        "sha256": facts.sha256,
        "key": b64encode(facts.key).decode(),
    }
    sealed = seal_text(key.secret, json.dumps(told, ensure_ascii=False).encode(), _context(place))
    return _VERSION + bytes.fromhex(key.key_id) + place.mark.encode() + sealed


def parsed(record: bytes) -> Record:
    """Return a record in its parts. Raises ValueError."""
    if len(record) < _HEAD or not record.startswith(_VERSION):
        message = "it is not encrypted, or was encrypted by a newer version of assistant_kit"
        raise ValueError(message)
    key_id, mark = record[len(_VERSION) : _HEAD - _MARK], record[_HEAD - _MARK : _HEAD]
    return Record(key_id=key_id.hex(), mark=mark.decode("latin-1"), sealed=record[_HEAD:])


def _context(place: Place) -> bytes:
    """Return the parts of a place as bytes, each behind its length, so that no two places look alike."""
    parts = [part.encode() for part in ("facts", place.user, place.sealed, place.mark)]
    return b"".join([len(part).to_bytes(4, "big") + part for part in parts])
