"""The contract of what keeps master keys: a file, the environment, a key management service."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedKey:
    """A data key, encrypted under the master key named `master`."""

    master: str
    data: bytes


class KeyProvider(Protocol):
    """Encrypts data keys, 32 random bytes each, under master keys that it never gives away.

    `context` tells whose key it is. It must be the same for `wrap` and `unwrap`, and is no secret: associated data of
    an AEAD, or the encryption context of a service. Both may be called often; results are kept for some time. A
    service that cannot be reached is StoreUnavailable.
    """

    async def wrap(self, key: bytes, *, context: str) -> WrappedKey:
        """Encrypt a data key under the newest master key."""
        ...

    async def unwrap(self, wrapped: WrappedKey, *, context: str) -> bytes:
        """Decrypt a data key.

        Raises LookupError when there is no such master key, ValueError when the data does not open under it.
        """
        ...
