"""Master keys that this process holds: from a file, from the environment, or from wherever you have them."""

import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from assistant_kit.errors import ConfigurationError
from assistant_kit.protocols.key_provider import WrappedKey
from assistant_kit.stores.encrypted.aead import KEY_BYTES, Aead

_FORM: Final = "each line is a name, a colon and 32 bytes in base64, the newest key first"


class MasterKeys:
    """Master keys by name, the newest first: it wraps, all others only unwrap. Raises ConfigurationError.

    In a file or the environment they stand as `name:base64`, one a line, or with spaces between them.
    `MasterKeys.generate("2026-11")` makes such a line.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise ConfigurationError(f"there is no master key: {_FORM}")
        for name, key in keys.items():
            if not name or len(key) != KEY_BYTES:
                raise ConfigurationError(f"master key {name!r} has {len(key)} bytes: {_FORM}")
        self._newest = next(iter(keys))
        self._aeads = {name: Aead(key) for name, key in keys.items()}

    def __repr__(self) -> str:
        return f"MasterKeys({', '.join(self._aeads)})"

    @classmethod
    def from_text(cls, text: str, *, place: str = "the text") -> Self:
        """Read the keys from a text; messages name its `place` and show nothing of it. Raises ConfigurationError."""
        return cls(_parsed(text, place))

    @classmethod
    def from_environment(cls, variable: str = "ASSISTANT_KIT_MASTER_KEYS") -> Self:
        """Read the keys from an environment variable. Raises ConfigurationError."""
        text = os.environ.get(variable, "")
        return cls.from_text(text, place=f"the environment variable {variable}")

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """Read the keys from a file. Raises ConfigurationError."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"the master keys in {os.fspath(path)!r} cannot be read: {error}") from error
        return cls.from_text(text, place=f"the file {os.fspath(path)!r}")

    @staticmethod
    def generate(name: str) -> str:
        """Make a new key, as a line to be put before all others."""
        return f"{name}:{b64encode(os.urandom(KEY_BYTES)).decode()}"

    async def wrap(self, key: bytes, *, context: str) -> WrappedKey:
        """Encrypt a data key under the newest master key."""
        return WrappedKey(master=self._newest, data=self._aeads[self._newest].seal(key, context.encode()))

    async def unwrap(self, wrapped: WrappedKey, *, context: str) -> bytes:
        """Decrypt a data key. Raises LookupError, ValueError."""
        aead = self._aeads.get(wrapped.master)
        if aead is None:
            raise LookupError(f"there is no master key {wrapped.master!r}")
        return aead.open(wrapped.data, context.encode())


def _parsed(text: str, place: str) -> Mapping[str, bytes]:
    keys: dict[str, bytes] = {}
    for number, line in enumerate(text.split(), start=1):
        name, separator, encoded = line.partition(":")
        try:
            key = b64decode(encoded, validate=True)
        except ValueError as error:
            raise ConfigurationError(f"master key {number} in {place} cannot be read: {_FORM}") from error
        if not separator:  # what stands there may be the key: it is not shown
            raise ConfigurationError(f"master key {number} in {place} has no name: {_FORM}")
        if name in keys:
            raise ConfigurationError(f"two master keys in {place} are named {name!r}: rename one")
        keys[name] = key
    return keys
