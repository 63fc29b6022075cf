"""An application's projection in use: which writes it sees, where it runs, what becomes of its errors."""

from inspect import iscoroutinefunction
from typing import Any

from anyio import CapacityLimiter, to_thread

from assistant_kit.errors import ConfigurationError, LeaseLost, NotTransactional, ProjectionFailed
from assistant_kit.protocols.projection import Projected, Projection
from assistant_kit.protocols.store import Append, Lease, UserStore
from assistant_kit.registry import is_hidden


class Projecting:
    """Calls a projection. `name` is that of the function, or of the class whose objects are called."""

    def __init__(self, projection: Projection) -> None:
        """Take it. Raises ConfigurationError when it is asynchronous: nobody would await it."""
        self.name: str = getattr(projection, "__qualname__", type(projection).__qualname__)
        if iscoroutinefunction(projection) or iscoroutinefunction(type(projection).__call__):
            raise ConfigurationError(f"projection {self.name!r} is an async function: write a plain one")
        self._projection = projection
        self._possible = False

    def sees(self, write: Append) -> bool:
        """Tell whether anything of a write is for the application: not the library's own hidden conversations."""
        return bool(write.records) and not is_hidden(write.lease.conversation)

    async def project(self, connection: Any, user: str, write: Append) -> None:
        """Write the rows of a write, in its transaction. Raises ProjectionFailed."""
        conversation = write.lease.conversation
        written = Projected(
            user=user, conversation=conversation, seq=write.expected_seq + 1, records=tuple(write.records)
        )
        try:
            if isinstance(connection, dict):  # of the store in memory: it waits for nothing
                self._projection(connection, written)
            else:
                # The thread takes it, and so has nothing in hand when it is done: such a connection is lent again.
                handed = [connection]
                # Not among the threads of tools, all of which may wait for this very write.
                await to_thread.run_sync(lambda: self._projection(handed.pop(), written), limiter=CapacityLimiter(1))
        except Exception as error:
            raise ProjectionFailed(self.name, conversation, type(error).__qualname__) from error

    async def check(self, kept: UserStore) -> None:
        """See once that a store has transactions. Raises NotTransactional, StoreError."""
        if self._possible:
            return
        nobodys = Lease(conversation="projection", owner=self.name, fence=0, seq=0, at=0.0)
        try:
            await kept.transact(nobodys, _leave)
        except NotTransactional as error:
            raise NotTransactional(self.name, "the store around which it projects has no transactions") from error
        except (_Entered, LeaseLost):  # an encrypted store looks at the lease first; then the first write tells
            self._possible = True


class _Entered(Exception):
    """Leaves a transaction that was begun to see that it can be."""


async def _leave(_: Any) -> Append:
    raise _Entered
