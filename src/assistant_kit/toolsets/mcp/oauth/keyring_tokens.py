"""Tokens in the keyring of the operating system."""

import json
from collections.abc import Callable
from typing import Final, TypeVar

from anyio import Lock
from anyio.to_thread import run_sync

from assistant_kit.errors import MissingDependency, StoreUnavailable
from assistant_kit.toolsets.mcp.oauth.storage import TokenKey

try:
    import keyring
    from keyring.errors import KeyringError, PasswordDeleteError
except ImportError as _missing:
    raise MissingDependency("keyring", "keyring") from _missing

SERVICE: Final = "assistant_kit MCP"
T = TypeVar("T")


class KeyringTokens:
    """Keeps tokens in the keyring of the user who runs this program: Keychain, Secret Service, Credential Locker.

    `service` is the name under which they stand there. Windows keeps at most 2,560 bytes an entry, which long tokens
    pass: StoreUnavailable.
    """

    def __init__(self, service: str = SERVICE) -> None:
        self._service = service
        self._one = Lock()  # backends do not say that they may be used by several threads

    def __repr__(self) -> str:
        return f"KeyringTokens({self._service!r})"

    async def load(self, key: TokenKey) -> str | None:
        """Return what was saved last under this key. Raises StoreUnavailable."""
        return await self._ask(lambda: keyring.get_password(self._service, _name(key)))

    async def save(self, key: TokenKey, text: str) -> None:
        """Keep a text, in the place of the one before. Raises StoreUnavailable."""
        await self._ask(lambda: keyring.set_password(self._service, _name(key), text))

    async def delete(self, key: TokenKey) -> None:
        """Forget what is kept under this key, if anything. Raises StoreUnavailable."""
        await self._ask(lambda: self._delete(key))

    def _delete(self, key: TokenKey) -> None:
        try:
            keyring.delete_password(self._service, _name(key))
        except PasswordDeleteError:
            # That is what backends raise when there is none; and what is still there could not be deleted.
            if keyring.get_password(self._service, _name(key)) is not None:
                raise

    async def _ask(self, work: Callable[[], T]) -> T:
        async with self._one:
            try:
                return await run_sync(work)
            except (KeyringError, OSError) as error:
                raise StoreUnavailable(f"the keyring of this machine cannot be used: {type(error).__name__}") from error


def _name(key: TokenKey) -> str:
    return json.dumps([key.kind, key.server, key.user])
