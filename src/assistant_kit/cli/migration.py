"""`store migrate`: makes a store or brings it up to date, or prints the SQL that would."""

from typing import Protocol, runtime_checkable

from assistant_kit import registry
from assistant_kit.cli.addresses import masked, opened
from assistant_kit.cli.screen import Screen
from assistant_kit.errors import ConfigurationError


@runtime_checkable
class PrintsSql(Protocol):
    """A store whose tables somebody may want to review first."""

    def sql(self, *, after: int = 0) -> str:
        """Return the statements that make its tables, or upgrade them from version `after`."""
        ...


async def migrate(address: str, screen: Screen) -> int:
    """Make a store or bring it up to date. Raises StoreError, ConfigurationError."""
    async with opened(address, make=True):
        screen.line(f"up to date: {masked(address)}")
    return 0


async def print_sql(address: str, screen: Screen, *, after: int) -> int:
    """Print the SQL of a store's tables; nothing is opened. Raises ConfigurationError where there is none."""
    store = registry.make_store(address)
    if not isinstance(store, PrintsSql):
        raise ConfigurationError(f"{masked(address)} has no SQL to review: migrate it without --sql")
    for line in store.sql(after=after).splitlines():
        screen.line(line)
    return 0
