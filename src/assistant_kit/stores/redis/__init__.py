"""Journals in Redis or Valkey: for several machines, with a server that writes an append-only file."""

from importlib.util import find_spec

from assistant_kit.errors import MissingDependency

if find_spec("redis") is None:  # all modules of this package need it
    raise MissingDependency("redis", "redis")

from assistant_kit.stores.redis.store import RedisStore

__all__ = ["RedisStore"]
