"""Stores by their addresses, opened for one command."""

import os
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol, runtime_checkable
from urllib.parse import unquote

from anyio import CancelScope

from assistant_kit import registry
from assistant_kit.errors import StoreUnavailable
from assistant_kit.protocols.store import Store

_FILE: Final = "sqlite:///"
_USERINFO: Final = re.compile(r"(://[^/\s:@]*:)\S*@")
_GIVEN: Final = re.compile(r"(://[^/\s:@]*:).*@", re.DOTALL)
_PARAMETER: Final = re.compile(r"(?i)([?&][^=&\s]*(?:pass|secret|token)[^=&\s]*=)[^&\s'\"]*")


_KEYS: Final = "ASSISTANT_KIT_MASTER_KEYS"
"""The environment variable with the master keys of encrypted stores; without it a store is taken as it is."""

_ENCRYPTED: Final = ("assistant_kit.stores.encrypted", "EncryptedStore")
_MASTER_KEYS: Final = ("assistant_kit.stores.encrypted", "MasterKeys")


@runtime_checkable
class Wrapping(Protocol):
    """A store around another one, which holds what is really kept."""

    @property
    def kept(self) -> Store:
        """The other one."""
        ...


def masked(text: str, *given: str) -> str:
    """Return text without the passwords of addresses that stand in it, those among `given` whatever they look like."""
    for address in given:
        text = text.replace(address, _GIVEN.sub(r"\1…@", address))
    return _PARAMETER.sub(r"\1…", _USERINFO.sub(r"\1…@", text))


@asynccontextmanager
async def opened(address: str, *, make: bool = False) -> AsyncGenerator[Store]:
    """Open a store for a block; with `make` its file may be new. Raises StoreError, ConfigurationError.

    With master keys in the environment it is an encrypted one.
    """
    store: Store = registry.make_store(address)
    if os.environ.get(_KEYS):
        store = registry.load(_ENCRYPTED)(store, registry.load(_MASTER_KEYS).from_environment(_KEYS))
    # A mistyped path would make an empty store, in which everything looks well.
    if not make and not _may_be_there(address):
        raise StoreUnavailable(f"there is no store at {address}: `assistant-kit store migrate {address}` makes one")
    try:
        await store.open()
        yield store
    finally:
        with CancelScope(shield=True):
            await store.aclose()


def _may_be_there(address: str) -> bool:
    return not address.startswith(_FILE) or Path(unquote(address.removeprefix(_FILE))).is_file()
