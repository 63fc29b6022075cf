"""What an address says about a Redis server, and the connections that it stands for."""

# redis leaves its keyword arguments without types.
# pyright: reportUnknownMemberType=false

import math
from typing import Final
from urllib.parse import parse_qs, urlsplit

from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.retry import Retry

from assistant_kit.errors import ConfigurationError

SCHEMES: Final = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss", "unix": "unix"}
"""What an address may begin with, and what redis-py calls it. Those in `s` are encrypted (TLS)."""

_OPTIONS: Final = {"db", "client_name", "username", "password", "socket_keepalive"}


def connections(url: str, *, timeout: float) -> ConnectionPool:
    """Return what makes connections to a server. Raises ConfigurationError."""
    if not 0 < timeout < math.inf:
        raise ConfigurationError(f"timeout is a positive number of seconds, not {timeout!r}")
    scheme, _, rest = url.partition(":")
    if scheme not in SCHEMES:
        raise ConfigurationError(f"an address of Redis begins with one of {', '.join(SCHEMES)}, followed by '://'")
    try:
        _check_options(url)
        return ConnectionPool.from_url(
            f"{SCHEMES[scheme]}:{rest}",
            protocol=2,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            # A change whose answer was lost may have taken place: redis-py would make it a second time.
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError:
        # Not a word of what could not be understood: it may be a piece of the password.
        raise ConfigurationError(
            f"this address of Redis cannot be read: write {scheme}://user:password@host:port/0, with %2F and its"
            " like for special characters in user and password"
        ) from None


def place(url: str, pool: ConnectionPool) -> str:
    """Return the name of the server of an address, without user and password."""
    known = pool.connection_kwargs
    if "path" in known:
        return f"unix://{known['path']}"
    host, port, database = known.get("host", "localhost"), known.get("port", 6379), known.get("db", 0)
    return f"{url.partition(':')[0]}://{host}:{port}/{database}"


def _check_options(url: str) -> None:
    """Refuse options that would change how redis-py answers. Raises ConfigurationError, ValueError."""
    parts = urlsplit(url)
    if parts.scheme != "unix" and not parts.path.strip("/").isdigit() and parts.path.strip("/"):
        raise ConfigurationError("the path of an address of Redis is the number of a database, such as /0")
    for name in parse_qs(parts.query, keep_blank_values=True):
        if name not in _OPTIONS and not name.startswith("ssl_"):
            raise ConfigurationError(
                f"an address of Redis has no option {name!r}: there are {', '.join(sorted(_OPTIONS))} and ssl_…;"
                " others are given as RedisState(url, …)"
            )
