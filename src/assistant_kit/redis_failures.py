"""What the errors of Redis and of redis-py mean to somebody who keeps something there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import redis.exceptions as foreign

from assistant_kit.errors import StoreBusy, StoreCorrupt, StoreError, StoreUnavailable

FOREIGN: Final = (foreign.RedisError, OSError, ValueError)
"""What redis-py and the way to a server raise: a host name that is none, or a certificate that cannot be read, is one
of the last two."""

Kinds: TypeAlias = type[Exception] | tuple[type[Exception], ...]
_FULL: Final = "its memory is full: raise maxmemory or make room; nothing was written"
_MOVED: Final = (
    "it is one node of a cluster, and keys lie on others: give the address of a proxy, or of a single server"
)
_STRANGERS: Final = (foreign.AuthenticationError, foreign.AuthorizationError)
_REPLICA: Final = "it is a replica: give the address of the primary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to do about errors, in the words of one use.

    `rights` is for a user who may not do what is needed, `theirs` for keys of another program. `doubt` says what is to
    be thought of what was under way when the server did not answer. `soon` is when to try again while a cluster is
    busy with itself. `more` has others, by the code at the beginning of an error.
    """

    rights: str
    theirs: str = "another program's data stands under the keys: give another prefix"
    doubt: str = ""
    soon: str = "try again"
    more: Mapping[str, tuple[type[StoreError], str]] = field(default_factory=dict[str, tuple[type[StoreError], str]])

    def by_type(self) -> tuple[tuple[Kinds, str], ...]:
        """Return those that mean StoreUnavailable. The first that fits counts."""
        doubt = f"; {self.doubt}" if self.doubt else ""
        return (
            (
                (foreign.AuthenticationError, foreign.AuthorizationError),
                "give the right user and password in the address",
            ),
            (foreign.NoPermissionError, self.rights),
            (foreign.BusyLoadingError, "it is still reading its data from disk: try again in a moment"),
            (foreign.TimeoutError, f"see whether it hangs, or allow a longer timeout{doubt}"),
            ((foreign.ConnectionError, OSError, ValueError), f"see that it runs and can be reached{doubt}"),
            (foreign.OutOfMemoryError, _FULL),
            (foreign.ReadOnlyError, _REPLICA),
            ((foreign.MovedError, foreign.AskError, foreign.ClusterCrossSlotError), _MOVED),
            (
                (foreign.ClusterDownError, foreign.TryAgainError),
                f"the cluster does not serve these keys now: {self.soon}",
            ),
        )

    def by_code(self) -> Mapping[str, tuple[type[StoreError], str]]:
        """Return what is known by the code that stands at the beginning of an error.

        It stands within the error when a script met with it; before Redis 7 all do.
        """
        few = "too few replicas are connected (min-replicas-to-write); nothing was written"
        return {
            "BUSY": (StoreBusy, "somebody's script has been running for too long: try again"),
            "MISCONF": (StoreUnavailable, "it cannot write to its disk: look at its log; nothing was written"),
            "OOM": (StoreUnavailable, _FULL),
            "READONLY": (StoreUnavailable, _REPLICA),
            "NOREPLICAS": (StoreUnavailable, few),
            "WRONGTYPE": (StoreCorrupt, self.theirs),
            **self.more,
        }

    def store_error(self, error: Exception, place: str) -> StoreError:
        """Return what an error of redis-py, or of the way to the server, is in our tree. Raise it `from` the error."""
        for kinds, words in self.by_type():
            if isinstance(error, kinds):
                return StoreUnavailable(f"{place}: {error}: {words}")
        text = str(error)
        for code, (kind, words) in self.by_code().items():
            if re.search(rf"(^|: -?){code}[ :]", text):
                return kind(f"{place}: {text}: {words}")
        return StoreError(f"{place}: {text}: Redis refused this; please report it")
