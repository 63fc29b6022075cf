"""How bytes are encrypted: AES-256-GCM, for long ones in segments, so that nobody needs them all at once.

Segments are those of STREAM (Hoang, Reyhanitabar, Rogaway, Vizár: Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance, 2015): a segment's nonce is its number and whether it is the last one. So a segment opens in its
place alone, and what was cut off, repeated or exchanged does not open. A key seals one stream, and no nonce twice.
"""

import os
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from typing import Final

from anyio.to_thread import run_sync

from assistant_kit.errors import MissingDependency

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError as _missing:
    raise MissingDependency("cryptography", "encryption") from _missing

KEY_BYTES: Final = 32
SEGMENT: Final = 65_536
"""Bytes of each segment but the last."""

_TAG: Final = 16
_NONCE: Final = 12
_BLOCK: Final = 262_144  # bytes for which a thread is asked
_SMALL: Final = 16_384  # bytes that are done sooner than a thread is asked


def sealed_size(size: int) -> int:
    """Return the bytes that so many have when they are sealed."""
    return size + _TAG * _segments(size)


def seal_text(key: bytes, text: bytes, context: bytes) -> bytes:
    """Seal a short text under a random nonce: a key must not seal more than 2**32 of them (SP 800-38D, 8.3)."""
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, text, context)


def open_text(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """Return the text. Raises ValueError when key or context are others, or a bit was changed."""
    return _opened(AESGCM(key), sealed[:_NONCE], sealed[_NONCE:], context)


class Sealing:
    """Bytes on their way into a store; `size` and `sha256` are of those that have passed."""

    def __init__(self, key: bytes) -> None:
        self.size: int = 0
        self._cipher = AESGCM(key)
        self._hashed = sha256()
        self._number = 0
        self._waiting = bytearray()

    @property
    def sha256(self) -> str:
        """The hash of the clear bytes, in hexadecimal."""
        return self._hashed.hexdigest()

    async def sealed(self, blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Return blocks as they are to be kept."""
        async for block in blocks:
            for start in range(0, len(block), _BLOCK):
                if sealed := await _done(self._take, block[start : start + _BLOCK]):
                    yield sealed
        yield self._seal(bytes(self._waiting), last=True)

    def _take(self, block: bytes) -> bytes:
        self.size += len(block)
        self._hashed.update(block)
        self._waiting += block
        done: list[bytes] = []
        while len(self._waiting) > SEGMENT:  # the last one waits to be known as such
            done.append(self._seal(bytes(self._waiting[:SEGMENT]), last=False))
            del self._waiting[:SEGMENT]
        return b"".join(done)

    def _seal(self, segment: bytes, *, last: bool) -> bytes:
        self._number += 1
        return self._cipher.encrypt(_nonce(self._number, last=last), segment, None)


class Opening:
    """Bytes on their way out of a store, of which there are `size` in clear. No changed byte leaves it."""

    def __init__(self, key: bytes, size: int) -> None:
        self._cipher = AESGCM(key)
        self._segments = _segments(size)
        self._missing = sealed_size(size)
        self._number = 0
        self._waiting = bytearray()

    async def next_piece(self, pieces: AsyncIterator[bytes]) -> bytes:
        """Return the next clear bytes of sealed ones, and none at the end. Raises ValueError."""
        async for piece in pieces:
            if clear := await _done(self._take, piece):
                return clear
        if self._missing:
            message = "it was cut off"
            raise ValueError(message)
        return b""

    def _take(self, piece: bytes) -> bytes:
        self._missing -= len(piece)
        if self._missing < 0:
            message = "something was added to it"
            raise ValueError(message)
        self._waiting += piece
        done: list[bytes] = []
        while len(self._waiting) >= SEGMENT + _TAG or (self._waiting and not self._missing):
            done.append(self._open(bytes(self._waiting[: SEGMENT + _TAG])))
            del self._waiting[: SEGMENT + _TAG]
        return b"".join(done)

    def _open(self, segment: bytes) -> bytes:
        self._number += 1
        return _opened(self._cipher, _nonce(self._number, last=self._number == self._segments), segment, None)


async def _done(take: Callable[[bytes], bytes], block: bytes) -> bytes:
    return take(block) if len(block) <= _SMALL else await run_sync(take, block)


def _segments(size: int) -> int:
    return max(1, -(-size // SEGMENT))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(_NONCE - 1, "big") + bytes([last])


def _opened(cipher: AESGCM, nonce: bytes, sealed: bytes, context: bytes | None) -> bytes:
    try:
        return cipher.decrypt(nonce, sealed, context)
    except (InvalidTag, ValueError) as error:
        message = "it was changed, belongs elsewhere, or was sealed under another key"
        raise ValueError(message) from error
