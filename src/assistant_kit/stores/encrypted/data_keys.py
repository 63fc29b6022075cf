"""The data keys of one user, and the form of what is sealed under them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from assistant_kit.stores.encrypted.aead import KEY_BYTES, OVERHEAD, Aead

_VERSION: Final = b"\x01"
_ID_BYTES: Final = 8
_HEAD: Final = len(_VERSION) + _ID_BYTES

SEALED_OVERHEAD: Final = _HEAD + OVERHEAD
"""Bytes by which a sealed text is longer than the plain one."""


class UnknownKey(ValueError):
    """What is to be opened was sealed under a data key that is not there."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key with its name: both random, so that a name is never used for two keys."""

    key_id: bytes
    secret: bytes

    @classmethod
    def new(cls) -> Self:
        """Make a key."""
        return cls(os.urandom(_ID_BYTES), os.urandom(KEY_BYTES))

    def __repr__(self) -> str:
        return f"DataKey({self.key_id.hex()})"


class DataKeys:
    """All data keys of a user; `current`, the last one, seals. `ring` is the record in which they stand, wrapped."""

    __slots__ = ("_aeads", "current", "keys", "ring")

    def __init__(self, keys: Mapping[bytes, DataKey], *, ring: bytes) -> None:
        self.ring: bytes = ring
        self.keys: Mapping[bytes, DataKey] = keys
        self._aeads = {key_id: Aead(key.secret) for key_id, key in keys.items()}
        self.current: bytes = next(reversed(self._aeads))

    def covers(self, other: "DataKeys") -> bool:
        """Whether what `other` seals can be opened."""
        return other.current in self._aeads

    def seal(self, plain: bytes, *place: str) -> bytes:
        """Seal a text for its place: only there it can be opened."""
        return _VERSION + self.current + self._aeads[self.current].seal(plain, _context(place))

    def open(self, sealed: bytes, *place: str) -> bytes:
        """Return the plain text. Raises ValueError, UnknownKey."""
        if len(sealed) < SEALED_OVERHEAD or not sealed.startswith(_VERSION):
            message = "it is not encrypted, or was encrypted by a newer version of assistant_kit"
            raise ValueError(message)
        aead = self._aeads.get(sealed[len(_VERSION) : _HEAD])
        if aead is None:
            raise UnknownKey("the data key under which it was sealed is not there")
        return aead.open(sealed[_HEAD:], _context(place))


def _context(place: tuple[str, ...]) -> bytes:
    """Return the parts of a place as bytes, each behind its length, so that no two places look alike."""
    parts = [part.encode() for part in place]
    return b"".join([len(part).to_bytes(4, "big") + part for part in parts])
