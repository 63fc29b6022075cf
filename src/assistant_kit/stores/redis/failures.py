"""What the errors of Redis and of redis-py mean to somebody who keeps journals there."""

import re
from typing import Final

import redis.exceptions as foreign

from assistant_kit.errors import StoreBusy, StoreCorrupt, StoreError, StoreUnavailable

_AGAIN: Final = "what was under way may have taken place or not: do it again"
_MOVED: Final = (
    "it is one node of a cluster, and keys lie on others: give the address of a proxy, or of a single server"
)
_FULL: Final = "its memory is full: raise maxmemory or make room; nothing was written"
_REPLICA: Final = "it is a replica: give the address of the primary"

_BY_TYPE: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...]] = (
    ((foreign.AuthenticationError, foreign.AuthorizationError), "give the right user and password in the address"),
    (foreign.NoPermissionError, "allow this user the commands and the keys of the store (ACL SETUSER)"),
    (foreign.BusyLoadingError, "it is still reading its data from disk: try again in a moment"),
    (foreign.TimeoutError, f"see whether it hangs, or allow a longer timeout; {_AGAIN}"),
    (foreign.ConnectionError, f"see that it runs and can be reached; {_AGAIN}"),
    (foreign.OutOfMemoryError, _FULL),
    (foreign.ReadOnlyError, _REPLICA),
    ((foreign.MovedError, foreign.AskError, foreign.ClusterCrossSlotError), _MOVED),
    (
        (foreign.ClusterDownError, foreign.TryAgainError),
        "the cluster does not serve these keys now: try again in a moment",
    ),
)
"""Those that mean StoreUnavailable. The first that fits counts."""

_BY_CODE: Final[dict[str, tuple[type[StoreError], str]]] = {
    "BUSY": (StoreBusy, "somebody's script has been running for too long: try again"),
    "MISCONF": (StoreUnavailable, "it cannot write to its disk: look at its log; nothing was written"),
    "OOM": (StoreUnavailable, _FULL),
    "READONLY": (StoreUnavailable, _REPLICA),
    "NOREPLICAS": (StoreUnavailable, "too few replicas are connected (min-replicas-to-write); nothing was written"),
    "WRONGTYPE": (
        StoreCorrupt,
        "another program's data stands under the store's keys: give another prefix. It was left as it is",
    ),
    "DAMAGED": (StoreCorrupt, "keys of the store were deleted or evicted: put back a backup"),
}
"""By the code that stands at the beginning of an error, or in it when a script met with it (before Redis 7 all do)."""


def store_error(error: foreign.RedisError, place: str) -> StoreError:
    """Return what an error of redis-py is in our tree. Raise it `from` the error."""
    for kinds, advice in _BY_TYPE:
        if isinstance(error, kinds):
            return StoreUnavailable(f"{place}: {error}: {advice}")
    text = str(error)
    for code, (kind, advice) in _BY_CODE.items():
        if re.search(rf"(^|: -?){code}[ :]", text):
            return kind(f"{place}: {text}: {advice}")
    return StoreError(f"{place}: {text}: Redis refused this; please report it")
