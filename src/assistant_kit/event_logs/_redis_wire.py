"""How a Redis server is reached: its address, its connections, and what its errors mean."""

# redis leaves its keyword arguments without types.
# pyright: reportUnknownMemberType=false

import math
import re
from collections.abc import Iterable
from typing import Any, Final, Protocol, cast
from urllib.parse import parse_qs, urlsplit

from assistant_kit.errors import (
    ConfigurationError,
    MissingDependency,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
)

try:
    import redis.exceptions as foreign
    from redis import ConnectionPool
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError as _missing:
    raise MissingDependency("redis", "redis") from _missing

SCHEMES: Final = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss", "unix": "unix"}
"""What an address may begin with, and what redis-py calls it. Those in `s` are encrypted (TLS)."""

FOREIGN: Final = (foreign.RedisError, OSError, ValueError)
"""What redis-py and the way to a server raise: a host name that is none is a ValueError."""

_OPTIONS: Final = {"db", "client_name", "username", "password", "socket_keepalive"}
_FULL: Final = "its memory is full: raise maxmemory or make room; nothing was written"
_REPLICA: Final = "it is a replica: give the address of the primary"

_BY_TYPE: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...]] = (
    ((foreign.AuthenticationError, foreign.AuthorizationError), "give the right user and password in the address"),
    (foreign.NoPermissionError, "allow this user the commands, keys and channels that docs/streaming.md lists"),
    (foreign.BusyLoadingError, "it is still reading its data from disk: try again in a moment"),
    (foreign.TimeoutError, "see whether it hangs, or allow a longer timeout"),
    ((foreign.ConnectionError, OSError, ValueError), "see that it runs and can be reached"),
    (foreign.OutOfMemoryError, _FULL),
    (foreign.ReadOnlyError, _REPLICA),
    (
        (foreign.MovedError, foreign.AskError, foreign.ClusterCrossSlotError),
        "it is one node of a cluster, and keys lie on others: give the address of a proxy, or of a single server",
    ),
    ((foreign.ClusterDownError, foreign.TryAgainError), "the cluster does not serve these keys now: try again"),
)
"""Those that mean StoreUnavailable. The first that fits counts."""

_BY_CODE: Final[dict[str, tuple[type[StoreError], str]]] = {
    "BUSY": (StoreBusy, "somebody's script has been running for too long: try again"),
    "MISCONF": (StoreUnavailable, "it cannot write to its disk: look at its log; nothing was written"),
    "OOM": (StoreUnavailable, _FULL),
    "READONLY": (StoreUnavailable, _REPLICA),
    "NOREPLICAS": (StoreUnavailable, "too few replicas are connected (min-replicas-to-write); nothing was written"),
    "WRONGTYPE": (StoreCorrupt, "another program's data stands under the keys: give another prefix"),
}
"""By the code that stands at the beginning of an error, or in it when a script met with it (before Redis 7 all do)."""


class Wire(Protocol):
    """A connection of redis-py: what is used of `redis.Connection`. All of it may raise what stands in FOREIGN."""

    def connect(self) -> None:
        """Connect and log in, if that has not been done."""
        ...

    def disconnect(self) -> None:
        """Close the socket, if there is one."""
        ...

    def can_read(self, timeout: float = 0) -> bool:
        """Whether something has come within so many seconds, or the other side has closed."""
        ...

    def pack_commands(self, commands: Iterable[tuple[Any, ...]]) -> list[bytes]:
        """Return commands as they are sent."""
        ...

    def send_packed_command(self, command: list[bytes], check_health: bool = True) -> None:  # noqa: FBT001, FBT002  (redis-py's)
        """Send commands."""
        ...

    def read_response(self) -> Any:
        """Return the next answer; one that is an error is raised."""
        ...


class Address:
    """A server, by its address. `place` names it without user and password. Raises ConfigurationError."""

    def __init__(self, url: str, *, timeout: float) -> None:
        if not 0 < timeout < math.inf:
            raise ConfigurationError(f"timeout is a positive number of seconds, not {timeout!r}")
        scheme, _, rest = url.partition(":")
        if scheme not in SCHEMES:
            raise ConfigurationError(f"an address of Redis begins with one of {', '.join(SCHEMES)}, followed by '://'")
        try:
            _check_options(url)
            self._pool = ConnectionPool.from_url(
                f"{SCHEMES[scheme]}:{rest}",
                protocol=2,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                # Only who writes knows what may be repeated.
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError:
            # Not a word of what could not be understood: it may be a piece of the password.
            raise ConfigurationError(
                f"this address of Redis cannot be read: write {scheme}://user:password@host:port/0, with %2F and its"
                " like for special characters in user and password"
            ) from None
        known = self._pool.connection_kwargs
        at = f"{known.get('host', 'localhost')}:{known.get('port', 6379)}/{known.get('db', 0)}"
        self.place: str = f"unix://{known['path']}" if "path" in known else f"{scheme}://{at}"
        self.timeout: float = timeout

    def wire(self) -> Wire:
        """Return a new connection, which is not connected yet."""
        return cast("Wire", self._pool.make_connection())


def send(wire: Wire, commands: Iterable[tuple[Any, ...]]) -> None:
    """Send commands at once."""
    wire.send_packed_command(wire.pack_commands(commands), check_health=False)


def store_error(error: Exception, where: str) -> StoreError:
    """Return what an error of redis-py, or of the way to the server, is in our tree. Raise it `from` the error."""
    for kinds, advice in _BY_TYPE:
        if isinstance(error, kinds):
            return StoreUnavailable(f"{where}: {error}: {advice}")
    text = str(error)
    for code, (kind, advice) in _BY_CODE.items():
        if re.search(rf"(^|: -?){code}[ :]", text):
            return kind(f"{where}: {text}: {advice}")
    return StoreError(f"{where}: {text}: Redis refused this; please report it")


def _check_options(url: str) -> None:
    """Refuse options that would change how redis-py answers. Raises ConfigurationError, ValueError."""
    parts = urlsplit(url)
    if parts.scheme != "unix" and not parts.path.strip("/").isdigit() and parts.path.strip("/"):
        raise ConfigurationError("the path of an address of Redis is the number of a database, such as /0")
    for name in parse_qs(parts.query, keep_blank_values=True):
        if name not in _OPTIONS and not name.startswith("ssl_"):
            raise ConfigurationError(
                f"an address of Redis has no option {name!r}: there are {', '.join(sorted(_OPTIONS))} and ssl_…;"
                " others are given as RedisEventLog(url, …)"
            )
