"""The cipher: XAES-256-GCM, which is AES-256-GCM under a key of its own for each message.

Nonces of plain AES-GCM are so short that a key must not encrypt more than 2**32 messages under random ones, and many
workers would have to count together. Here half of a random nonce of 192 bits makes the message's key: 2**80 messages.
https://c2sp.org/XAES-256-GCM, a derivation after NIST SP 800-108r1 (CMAC, counter) in front of SP 800-38D.
"""

import os
from typing import Final

from assistant_kit.errors import MissingDependency

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.ciphers.algorithms import AES256
    from cryptography.hazmat.primitives.ciphers.modes import ECB
except ImportError as _missing:
    raise MissingDependency("cryptography", "encryption") from _missing

KEY_BYTES: Final = 32
OVERHEAD: Final = 40
"""Bytes by which a sealed text is longer: 24 of the nonce, 16 of the tag."""

_NONCE_BYTES: Final = 24
_HALF: Final = 12
_BLOCK: Final = 16
_REDUCTION: Final = 0x87  # of CMAC's subkeys, for blocks of 128 bits: SP 800-38B, 5.3


class Aead:
    """Seals and opens under one key of 32 bytes."""

    __slots__ = ("_cipher", "_first", "_second")

    def __init__(self, key: bytes) -> None:
        self._cipher = Cipher(AES256(key), ECB())  # noqa: S305  (single blocks, as the derivation has it)
        subkey = int.from_bytes(self._cipher.encryptor().update(bytes(_BLOCK)), "big") << 1
        subkey = subkey ^ (1 << 128) ^ _REDUCTION if subkey >> 128 else subkey
        self._first = subkey ^ int.from_bytes(b"\0\1X\0" + bytes(_HALF), "big")
        self._second = subkey ^ int.from_bytes(b"\0\2X\0" + bytes(_HALF), "big")

    def __repr__(self) -> str:
        return "Aead(…)"

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """Return the nonce and the encrypted text; the same `context` opens it again."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self.seal_under(nonce, plain, context)

    def seal_under(self, nonce: bytes, plain: bytes, context: bytes) -> bytes:
        """Return the encrypted text; a nonce must never be used twice."""
        return self._message_key(nonce).encrypt(nonce[_HALF:], plain, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Return the plain text. Raises ValueError when key or context are others, or a bit was changed."""
        nonce = sealed[:_NONCE_BYTES]
        try:
            return self._message_key(nonce).decrypt(nonce[_HALF:], sealed[_NONCE_BYTES:], context)
        except (InvalidTag, ValueError) as error:
            message = "it was changed, belongs elsewhere, or was sealed under another key"
            raise ValueError(message) from error

    def _message_key(self, nonce: bytes) -> AESGCM:
        half = int.from_bytes(nonce[:_HALF], "big")
        blocks = (self._first ^ half).to_bytes(_BLOCK, "big") + (self._second ^ half).to_bytes(_BLOCK, "big")
        return AESGCM(self._cipher.encryptor().update(blocks))
