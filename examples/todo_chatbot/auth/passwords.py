"""Passwords, of which only an Argon2id hash is kept."""

import secrets

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

STRENGTH = PasswordHasher()
"""Argon2id with the parameters of RFC 9106's second choice: some 50 ms for a password, on purpose."""


class Passwords:
    """Hashes passwords, and compares them with hashes; with other parameters for a machine of another size."""

    def __init__(self, hasher: PasswordHasher = STRENGTH) -> None:
        """Take what hashes."""
        self._hasher = hasher
        self._nobodys: str = hasher.hash(secrets.token_hex(16))

    def hash(self, password: str) -> str:
        """Return what is to be kept of a password."""
        return self._hasher.hash(password)

    def fits(self, password: str, hashed: str | None) -> bool:
        """Tell whether a password has this hash. Takes as long when there is none: what is known must not show."""
        try:
            return self._hasher.verify(hashed or self._nobodys, password) and hashed is not None
        except (Argon2Error, InvalidHashError, UnicodeEncodeError):
            return False

    def is_outdated(self, hashed: str) -> bool:
        """Tell whether a hash was made with other parameters than new ones are."""
        return self._hasher.check_needs_rehash(hashed)
