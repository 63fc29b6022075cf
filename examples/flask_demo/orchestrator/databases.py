"""Where the data of this process is: journals, the vault of pseudonyms, passages of documents, users."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Self

from sqlalchemy import Engine
from sqlalchemy.engine import URL

from assistant_kit import EncryptedStore, PostgresIndex, PostgresStore, SQLiteIndex, SQLiteStore
from assistant_kit.indexes import make_search_index
from assistant_kit.protocols.key_provider import KeyProvider
from assistant_kit.protocols.search_index import SearchIndex
from assistant_kit.protocols.store import Store
from examples.flask_demo.tables import database_at, engine_at, is_sqlite, plain

_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Databases:
    """One Postgres, with a schema for each; or files of SQLite side by side."""

    url: URL

    @classmethod
    def at(cls, address: str) -> Self:
        """Take `sqlite:///file` or `postgresql://…`; nothing is opened yet. Raises SettingsError."""
        return cls(database_at(address))

    @property
    def is_sqlite(self) -> bool:
        """Whether these are files."""
        return is_sqlite(self.url)

    def journals(self, keys: KeyProvider) -> EncryptedStore:
        """Return the store of journals: encrypted, and with an audit log."""
        return EncryptedStore(self.kept(), keys)

    def kept(self) -> Store:
        """Return the store of journals as it is kept: what the audit log is about."""
        if self.is_sqlite:
            return SQLiteStore(self._file(""), audit=True)
        return PostgresStore(self._address, schema="web_journals", connections=8, audit=True)

    def vault(self, keys: KeyProvider) -> EncryptedStore:
        """Return the store of pseudonyms: apart from the journals, so that neither tells anything without the other."""
        if self.is_sqlite:
            return EncryptedStore(SQLiteStore(self._file(".vault")), keys)
        return EncryptedStore(PostgresStore(self._address, schema="web_vault"), keys)

    def index(self, address: str | None = None) -> SearchIndex:
        """Return the index of uploaded documents: at an address of its own, or beside the rest.

        Raises ConfigurationError, MissingDependency.
        """
        if address is not None:
            return make_search_index(address)
        if self.is_sqlite:
            return SQLiteIndex(self._file(".documents"))
        return PostgresIndex(self._address, schema="web_documents")

    def users(self) -> Engine:
        """Return the engine for the table of users."""
        return engine_at(self.url, "users")

    @property
    def _address(self) -> str:
        return plain(self.url)

    def _file(self, part: str) -> str:
        return f"{self.url.database}{part}"


async def users_of(store: Store, user: str | None = None) -> AsyncIterator[str]:
    """Yield the users of a store that is open, or the one that is named. Raises StoreError."""
    if user is not None:
        yield user
        return
    after = ""
    while page := await store.users(after=after, limit=_PAGE):
        for each in page:
            yield each
        after = page[-1]
