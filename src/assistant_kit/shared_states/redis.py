"""Small values in Redis or Valkey, shared by the processes of any number of machines.

With the prefix `assistant_kit:state`:

    assistant_kit:state:{owner=OWNER}          hash: by key a mark, when it was written, until when it counts, the value
    assistant_kit:state:{owner=OWNER}:until    sorted set: keys, by when they may be forgotten

All of an owner lies in one slot of a cluster. Both expire with the last value; keys that are forgotten before go, a few
at a time, with other changes.
"""

# redis leaves its keyword arguments without types.
# pyright: reportUnknownMemberType=false

import math
import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import sha1
from struct import Struct
from typing import Any, Final, Self

from assistant_kit.errors import (
    ConfigurationError,
    MissingDependency,
    StoreCorrupt,
    StoreError,
    UnknownStore,
)

try:
    import redis
    import redis.exceptions as foreign
except ImportError as _missing:
    raise MissingDependency("redis", "redis") from _missing

from assistant_kit.redis_address import SCHEMES, Address
from assistant_kit.redis_failures import FOREIGN, Advice
from assistant_kit.shared_states._combining import Update, settle
from assistant_kit.shared_states._rules import Held, Spot, Write
from assistant_kit.shared_states._threaded import Backend, ThreadedState

_CLOSING: Final = 10.0  # seconds beyond the timeout that what still waits may take
_MARK: Final = 8  # bytes of chance
_HEAD: Final = Struct(f">3s{_MARK}sdd")
_OURS: Final = b"ak1"
"""In front of each value: that it is ours, its mark, when it was written, until when it counts."""

_FOREVER: Final = 1e11
"""Seconds since 1970 from which on nothing expires: beyond what the server's clock can say."""

_WRITE: Final = """
local values, untils = KEYS[1], KEYS[2]
local key, seen, value, expiry, clock = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local held = redis.call('HGET', values, key)
if (held and string.sub(held, 4, 11) or '') ~= seen then return 0 end
if value == '' then
  redis.call('HDEL', values, key)
  redis.call('ZREM', untils, key)
else
  local left = {redis.call('PTTL', values), redis.call('PTTL', untils)}
  redis.call('HSET', values, key, value)
  redis.call('ZADD', untils, expiry, key)
  for i, name in ipairs(KEYS) do
    if expiry == '+inf' then
      redis.call('PERSIST', name)
    elseif left[i] == -2 or (left[i] >= 0 and left[i] < expiry - clock) then
      redis.call('PEXPIREAT', name, expiry)
    end
  end
end
for _, old in ipairs(redis.call('ZRANGEBYSCORE', untils, '-inf', clock, 'LIMIT', 0, 20)) do
  redis.call('HDEL', values, old)
  redis.call('ZREM', untils, old)
end
return 1
"""
_SHA: Final = sha1(_WRITE.encode(), usedforsecurity=False).hexdigest()

ADVICE: Final = Advice(
    rights="allow this user the commands and keys that docs/shared-state.md lists (ACL SETUSER)",
    doubt="what was under way may have taken place or not",
)


class RedisState(ThreadedState):
    """Values in the server at `url`: `redis://user:password@host:6379/0`, `rediss://…` for TLS, or `valkey://…`.

    `prefix` begins every key; `timeout` is how many seconds to wait for the server. Times are by the server's clock;
    when it is set back, time stands still for a value until it has caught up. The server need not write to a disk: when
    it forgets, or throws values away for want of memory, counters start anew. When its primary has died and a replica
    takes over, the last changes may be missing.

    Event loops and threads may share an object. Raises ConfigurationError.
    """

    def __init__(self, url: str, *, prefix: str = "assistant_kit:state", timeout: float = 10.0) -> None:
        if not prefix or "{" in prefix or "}" in prefix or not prefix.isprintable():
            raise ConfigurationError(f"prefix {prefix!r} cannot begin keys: give printable characters without braces")
        address = Address(url, timeout=timeout, of="RedisState")
        super().__init__(
            Backend(
                name="redis",
                place=address.place,
                connect=partial(_Server, address.pool, address.place, prefix, timeout),
                foreign=FOREIGN,
                meaning=ADVICE.store_error,
                patience=timeout + _CLOSING,
            )
        )

    @classmethod
    def from_address(cls, address: str) -> Self:
        """Return the state at `redis://user:password@host:6379/0` and its like. Raises ConfigurationError."""
        if address.partition(":")[0] not in SCHEMES:
            raise UnknownStore(address, [f"{scheme}:" for scheme in SCHEMES])
        return cls(address)


class _Server:
    """The server as its thread has it connected."""

    def __init__(self, pool: redis.ConnectionPool, where: str, prefix: str, timeout: float) -> None:
        self._place = where
        self._prefix = prefix
        self._timeout = timeout
        self._client = redis.Redis(connection_pool=pool)
        self._load()

    def update(self, updates: Sequence[Update[object]]) -> None:
        settle(self, updates, place=self._place, patience=self._timeout)

    def read(self, spots: Sequence[Spot]) -> tuple[float, Mapping[Spot, Held[bytes] | StoreError]]:
        asked = [("TIME",), *(("HGET", self._root(owner), key) for owner, key in spots)]
        clock, *answers = self._exchange(asked)
        found = zip(spots, answers, strict=True)
        return _seconds(clock), {spot: self._found(spot[0], answer) for spot, answer in found if answer is not None}

    def write(self, writes: Sequence[Write[bytes]], clock: float) -> Sequence[Spot]:
        answers = self._exchange([self._writing(write, clock) for write in writes])
        if any(isinstance(answer, foreign.NoScriptError) for answer in answers):
            self._load()
        refused = [isinstance(answer, foreign.NoScriptError) or not _good(answer) for answer in answers]
        return [write.spot for write, again in zip(writes, refused, strict=True) if again]

    def values(self, owner: str) -> Mapping[str, bytes]:
        clock, stored = map(_good, self._exchange([("TIME",), ("HGETALL", self._root(owner))]))
        held = {key.decode(errors="replace"): self._held(owner, value) for key, value in stored.items()}
        now = _seconds(clock)
        return {key: each.value for key, each in held.items() if each.until > max(now, each.at)}

    def erase(self, owner: str) -> None:
        self._ask("UNLINK", self._root(owner), self._untils(owner))

    def close(self) -> None:
        self._client.connection_pool.disconnect()

    def _root(self, owner: str) -> str:
        # Braces in a name do no harm: a key's place in a cluster depends on what stands in its first ones.
        return f"{self._prefix}:{{owner={owner}}}"

    def _untils(self, owner: str) -> str:
        return f"{self._root(owner)}:until"

    def _writing(self, write: Write[bytes], clock: float) -> tuple[Any, ...]:
        owner, key = write.spot
        value = b""
        if write.value is not None:
            value = _HEAD.pack(_OURS, secrets.token_bytes(_MARK), write.at, write.until) + write.value
        expiry = "+inf" if write.until >= _FOREVER else str(math.ceil(write.until * 1000))
        keys = (self._root(owner), self._untils(owner))
        return ("EVALSHA", _SHA, 2, *keys, key, write.seen or b"", value, expiry, int(clock * 1000))

    def _found(self, owner: str, answer: Any) -> Held[bytes] | StoreError:
        """Return what stands at a spot, or why it cannot be read. Raises redis.RedisError."""
        try:
            return self._held(owner, _good(answer))
        except StoreCorrupt as error:
            return error
        except foreign.ResponseError as error:
            return ADVICE.store_error(error, self._place)

    def _held(self, owner: str, stored: bytes) -> Held[bytes]:
        """Return a value as it is stored. Raises StoreCorrupt."""
        if len(stored) < _HEAD.size or not stored.startswith(_OURS):
            raise StoreCorrupt(f"{self._root(owner)} at {self._place} is another program's: give another prefix")
        _, mark, at, until = _HEAD.unpack_from(stored)
        return Held(value=stored[_HEAD.size :], at=at, until=until, mark=mark)

    def _load(self) -> None:
        self._ask("SCRIPT", "LOAD", _WRITE)

    def _ask(self, *command: str) -> Any:
        """Send a command and return its answer. Raises redis.RedisError."""
        (answer,) = self._exchange([command])
        return _good(answer)

    def _exchange(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send commands at once and return the answers, of which some may be errors. Raises redis.RedisError."""
        with self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            # What redis-py raises by itself shows the names and values of the command.
            return pipeline.execute(raise_on_error=False)


def _good(answer: Any) -> Any:
    """Return an answer that is no error. Raises redis.RedisError."""
    if isinstance(answer, Exception):
        raise answer
    return answer


def _seconds(answer: tuple[int, int]) -> float:
    return answer[0] + answer[1] / 1e6
