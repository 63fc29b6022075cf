"""What Postgres's errors mean to somebody who searches in it."""

from typing import Final

from assistant_kit.postgres_failures import Advice

_NOT_ANSWERING: Final = "see that it is a Postgres server, that it runs and is reached; putting again is safe"

ADVICE: Final = Advice(
    silent=_NOT_ANSWERING,
    stopping=_NOT_ANSWERING,
    held="another process holds what is needed for too long, or there is much to search: allow a longer timeout",
    rights="grant this role what docs/search-servers.md lists, or let another run PostgresIndex.sql()",
    foreign="the schema is not as this version of assistant_kit made it: put back a backup, or give another",
    room="the server has no room left; nothing that was acknowledged is lost",
    files="the server cannot read or write its files; nothing that was acknowledged is lost",
)
