"""What an address says about a Redis server, and the connections that it stands for."""

# redis leaves its keyword arguments without types.
# pyright: reportUnknownMemberType=false

import math
from collections.abc import Iterable
from typing import Any, Final, Protocol, cast
from urllib.parse import parse_qs, urlsplit

from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.retry import Retry

from assistant_kit.errors import ConfigurationError

SCHEMES: Final = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss", "unix": "unix"}
"""What an address may begin with, and what redis-py calls it. Those in `s` are encrypted (TLS)."""

_OPTIONS: Final = {"db", "client_name", "username", "password", "socket_keepalive"}


class Wire(Protocol):
    """A connection of redis-py: what is used of `redis.Connection`. All of it may raise errors of redis-py."""

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
    """A server, by its address; `place` names it without user and password, `pool` makes connections.

    `of` is the class that is given the address, for what is said of options that belong there. `timeout` is in seconds.
    Raises ConfigurationError.
    """

    def __init__(self, url: str, *, timeout: float, of: str) -> None:
        if not 0 < timeout < math.inf:
            raise ConfigurationError(f"timeout is a positive number of seconds, not {timeout!r}")
        scheme, _, rest = url.partition(":")
        if scheme not in SCHEMES:
            raise ConfigurationError(f"an address of Redis begins with one of {', '.join(SCHEMES)}, followed by '://'")
        try:
            _check_options(url, of)
            self.pool: ConnectionPool = ConnectionPool.from_url(
                f"{SCHEMES[scheme]}:{rest}",
                protocol=2,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                # Only who asks knows what may be repeated.
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError:
            # Not a word of what could not be understood: it may be a piece of the password.
            raise ConfigurationError(
                f"this address of Redis cannot be read: write {scheme}://user:password@host:port/0, with %2F and its"
                " like for special characters in user and password"
            ) from None
        known = self.pool.connection_kwargs
        at = f"{known.get('host', 'localhost')}:{known.get('port', 6379)}/{known.get('db', 0)}"
        self.place: str = f"unix://{known['path']}" if "path" in known else f"{scheme}://{at}"
        self.timeout: float = timeout

    def wire(self) -> Wire:
        """Return a new connection, which is not connected yet."""
        return cast("Wire", self.pool.make_connection())


def _check_options(url: str, of: str) -> None:
    """Refuse options that would change how redis-py answers. Raises ConfigurationError, ValueError."""
    parts = urlsplit(url)
    if parts.scheme != "unix" and not parts.path.strip("/").isdigit() and parts.path.strip("/"):
        raise ConfigurationError("the path of an address of Redis is the number of a database, such as /0")
    for name in parse_qs(parts.query, keep_blank_values=True):
        if name not in _OPTIONS and not name.startswith("ssl_"):
            raise ConfigurationError(
                f"an address of Redis has no option {name!r}: there are {', '.join(sorted(_OPTIONS))} and ssl_…;"
                f" others are given as {of}(url, …)"
            )
