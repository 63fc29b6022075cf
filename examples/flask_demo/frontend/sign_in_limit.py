"""How many sign-ins may come from one address in a minute, counted by all front ends together in Redis.

A sign-in that begins makes a session, and one that ends makes the provider work: nobody has these done without end.
Who is signed in is not touched. The network address of a caller is not kept, but a hash of it, for a minute.
"""

import hashlib
from ipaddress import IPv6Address, ip_address
from typing import Any, Final, Literal, cast

import redis

from examples.flask_demo.frontend.sessions import asked

WINDOW: Final = 60
"""Seconds. A window begins with the first sign-in in it."""
_PREFIX: Final = "web:sign-ins:"
_NETWORK: Final = 64
"""Bits of an IPv6 address that name who has it: the others are theirs to choose."""


class TooManySignIns(Exception):
    """From this address there were too many sign-ins; in `seconds` there may be more."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many sign-ins from one address: more in {seconds} s")
        self.seconds: int = seconds


class SignInLimit:
    """Counts sign-ins by address; from any thread and any process."""

    def __init__(self, client: redis.Redis, *, most: int) -> None:
        """Take how many may begin, and how many may end, in a window."""
        self._redis = client
        self._most = most

    def count(self, step: Literal["start", "callback"], address: str | None) -> None:
        """Count a step of a sign-in. Raises TooManySignIns, SessionsUnavailable."""
        place = hashlib.sha256(network_of(address).encode()).hexdigest()
        number, left = asked(lambda: self._counted(f"{_PREFIX}{step}:{place}"))
        if number > self._most:
            raise TooManySignIns(max(1, left))

    def _counted(self, key: str) -> tuple[int, int]:
        """Return the number of this one in its window, and the seconds that are left of that."""
        pipeline = cast("Any", self._redis).pipeline(transaction=True)
        pipeline.set(key, 0, ex=WINDOW, nx=True)
        pipeline.incr(key)
        pipeline.ttl(key)
        _, number, left = pipeline.execute()
        return number, left


def network_of(address: str | None) -> str:
    """Return what names a caller: an IPv4 address, or the network of an IPv6 one."""
    text = address or ""
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return text
    if isinstance(found, IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped else str(IPv6Address(int(found) >> (128 - _NETWORK) << (128 - _NETWORK)))
    return str(found)
