"""What Postgres's errors mean to somebody who keeps journals in it."""

from typing import Final

from assistant_kit.errors import StoreBusy, StoreUnavailable
from assistant_kit.postgres_failures import Advice

_AGAIN: Final = "nothing that was acknowledged is lost, and writing again is safe"
_HELD: Final = "another process holds what is needed for too long: try again, or allow longer Timeouts"

ADVICE: Final = Advice(
    silent=f"see that it is a Postgres server, that it runs and is reached; {_AGAIN}",
    stopping=f"the server is being stopped or started; {_AGAIN}",
    held=_HELD,
    rights="grant this role what docs/postgres.md lists, or let a role that may do so run PostgresStore.sql()",
    foreign="the schema is not as this version of assistant_kit made it: put back a backup, or give another",
    room=f"the server has no room left; {_AGAIN}",
    files=f"the server cannot read or write its files; {_AGAIN}",
    more={
        "25P03": (StoreUnavailable, "a transaction stood idle for longer than Timeouts(idle=…): nothing of it is kept"),
        "25P04": (StoreBusy, _HELD),
    },
)
