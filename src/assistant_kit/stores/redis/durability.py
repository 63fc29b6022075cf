"""Sees that a server keeps what it acknowledges, before anything is written to it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

from redis.exceptions import ResponseError

from assistant_kit.errors import StoreUnavailable, StoreVolatile

Durability: TypeAlias = Literal["durable", "everysec", "volatile"]
"""What an acknowledged write survives: a power cut; the death of the server, with the last second or two at risk; or
nothing for certain."""

_OR: Final = "or open the store with durability='volatile' if conversations may be lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """What a server says of itself; None where it does not tell."""

    append_only: bool | None
    fsync: str | None
    evicts: str | None


def must_wait_for_disk(ask: Callable[..., object], durability: Durability, place: str) -> bool:
    """Whether writes are on disk only when WAITAOF says so. `ask` sends a command and returns the answer.

    Raises StoreVolatile, StoreUnavailable, redis.RedisError.
    """
    if _info(ask, "replication").get("role") == "slave":
        raise StoreUnavailable(f"{place} is a replica: give the address of the primary")
    if durability == "volatile":
        return False
    settings = _settings(ask)
    if not settings.append_only:
        unknown = "it does not tell whether it has an append-only file: allow CONFIG GET or INFO"
        off = "its append-only file is off: CONFIG SET appendonly yes, and so in its configuration"
        raise StoreVolatile(place, f"{unknown if settings.append_only is None else off}, {_OR}")
    if settings.evicts:
        raise StoreVolatile(
            place, f"its maxmemory-policy is {settings.evicts}: CONFIG SET maxmemory-policy noeviction, {_OR}"
        )
    return _waits(ask, settings, durability, place)


def _waits(ask: Callable[..., object], settings: _Settings, durability: Durability, place: str) -> bool:
    if settings.fsync == "always" or (durability == "everysec" and settings.fsync != "no"):
        return False
    if settings.fsync != "no":
        try:
            ask("WAITAOF", 0, 0, 1)
        except ResponseError:
            pass
        else:
            return True
    raise StoreVolatile(
        place,
        f"its appendfsync is {settings.fsync or 'not told'}: CONFIG SET appendfsync always, and so in its"
        " configuration, or everysec with durability='everysec' if a power cut may take the last seconds",
    )


def _settings(ask: Callable[..., object]) -> _Settings:
    try:
        told = _pairs(ask("CONFIG", "GET", "append*")) | _pairs(ask("CONFIG", "GET", "maxmemory*"))
    except ResponseError:  # forbidden, renamed, or a service that has no CONFIG
        info = _info(ask, "persistence") | _info(ask, "memory")
        enabled = info.get("aof_enabled")
        told = {
            "appendonly": "" if enabled is None else ("yes" if enabled == "1" else "no"),
            "maxmemory": info.get("maxmemory", "0"),
            "maxmemory-policy": info.get("maxmemory_policy", ""),
        }
    policy = told.get("maxmemory-policy", "")
    # Keys of a store never expire, and policies `volatile-…` evict only such as do.
    evicts = told.get("maxmemory", "0") != "0" and policy.startswith("allkeys")
    return _Settings(
        append_only=told["appendonly"] == "yes" if told.get("appendonly") else None,
        fsync=told.get("appendfsync"),
        evicts=policy if evicts else None,
    )


def _pairs(answer: object) -> dict[str, str]:
    words = [word.decode() for word in cast("list[bytes]", answer)]
    return dict(zip(words[::2], words[1::2], strict=True))


def _info(ask: Callable[..., object], section: str) -> dict[str, str]:
    try:
        answer = ask("INFO", section)
    except ResponseError:
        return {}
    lines = cast("bytes", answer).decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)
