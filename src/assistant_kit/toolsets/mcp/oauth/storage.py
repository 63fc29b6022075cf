"""The contract of what keeps tokens, and the one that keeps them in memory."""

from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """What a kept text belongs to.

    `server` is the URL of the MCP server. A `grant` is one user's (None: the application's own), a `client` is the
    registration of the application, which all its users share; its `user` is None.
    """

    server: str
    kind: Literal["grant", "client"]
    user: str | None = None


class TokenStorage(Protocol):
    """Keeps tokens between runs of a program. The texts are secrets: they let their holder act for the user.

    Errors are StoreError.
    """

    async def load(self, key: TokenKey) -> str | None:
        """Return what was saved last under this key."""
        ...

    async def save(self, key: TokenKey, text: str) -> None:
        """Keep a text, in the place of the one before. Durable on return, where the storage is."""
        ...

    async def delete(self, key: TokenKey) -> None:
        """Forget what is kept under this key, if anything."""
        ...


class MemoryTokens:
    """Keeps tokens as long as the process runs."""

    def __init__(self) -> None:
        self._texts: dict[TokenKey, str] = {}

    def __repr__(self) -> str:
        return f"MemoryTokens({len(self._texts)} kept)"

    async def load(self, key: TokenKey) -> str | None:
        """Return what was saved last under this key."""
        return self._texts.get(key)

    async def save(self, key: TokenKey, text: str) -> None:
        """Keep a text, in the place of the one before."""
        self._texts[key] = text

    async def delete(self, key: TokenKey) -> None:
        """Forget what is kept under this key, if anything."""
        self._texts.pop(key, None)
