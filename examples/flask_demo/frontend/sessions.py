"""Sessions kept in Redis: the browser has a random id and nothing else.

Redis keeps the SHA-256 of the id, so that who reads Redis cannot take a session over. A session ends when it is not
used for a while, and after a time in all. It is read when something asks for it: what needs none works without Redis.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

import redis
from flask import Flask, Request, Response
from flask.sessions import SessionInterface, SessionMixin
from redis.backoff import NoBackoff
from redis.retry import Retry

COOKIE: Final = "__Host-session"
"""Browsers take a cookie of this prefix only from TLS or this machine, for all paths, and for no other host."""
_BORN: Final = "_born"
_ID_BYTES: Final = 32
_PREFIX: Final = "web:session:"
USER: Final = "user"
"""Where a session has who is signed in."""
_NOBODYS: Final = 600  # seconds that a session without a user is kept: anybody makes as many as they like
_SECONDS: Final = 2.0
_CONNECTIONS: Final = 64


class SessionsUnavailable(Exception):
    """Redis cannot be used now."""


class SessionStore:
    """Sessions by their ids; times in seconds."""

    def __init__(self, client: redis.Redis, *, idle: int, life: int, now: Callable[[], float] = time.time) -> None:
        self._redis = client
        self._idle = idle
        self._life = life
        self._now = now

    def read(self, session_id: str) -> dict[str, Any] | None:
        """Return what a session holds, and let it live on; None when there is no such session, or not any more."""
        key = _key(session_id)
        found = asked(lambda: self._redis.getex(key, ex=self._idle))
        if found is None:
            return None
        values: dict[str, Any] = json.loads(cast("bytes", found))
        if self._now() >= values[_BORN] + self._life:
            self.delete(session_id)
            return None
        return values

    def write(self, session_id: str, values: dict[str, Any], *, new: bool) -> None:
        """Keep what a session holds. One that has been deleted meanwhile, by a sign-out, stays deleted."""
        born = values.setdefault(_BORN, self._now())
        idle = self._idle if USER in values else min(self._idle, _NOBODYS)
        left = min(idle, int(born + self._life - self._now()))
        if left > 0:
            body = json.dumps(values)
            asked(lambda: self._redis.set(_key(session_id), body, ex=left, nx=new, xx=not new))

    def delete(self, session_id: str) -> None:
        """End a session."""
        asked(lambda: self._redis.delete(_key(session_id)))

    def ping(self) -> None:
        """Return when Redis answers. Raises SessionsUnavailable."""
        asked(lambda: cast("Any", self._redis).ping())

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


class Session(SessionMixin):
    """What we know of a browser: read when it is first asked for, written when it was changed."""

    modified = False

    def __init__(self, store: SessionStore, session_id: str | None) -> None:
        self._store = store
        self._given = session_id
        self._loaded: dict[str, Any] | None = None
        self.id: str | None = None
        """Of the session as Redis has it; None while there is none."""
        self.replaced: str | None = None
        """The id that this session had before, which is to end."""

    def rotate(self) -> None:
        """Go on under a new id, with nothing of what was there: for the moment in which somebody signs in or out."""
        self.clear()
        self.id, self.replaced = None, self.id

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._values[key] = value
        self.modified = True

    def __delitem__(self, key: str) -> None:
        del self._values[key]
        self.modified = True

    def __iter__(self) -> Iterator[str]:
        return (key for key in self._values if key != _BORN)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def clear(self) -> None:
        """Forget everything, the session's age as well."""
        self._values.clear()
        self.modified = True

    def save(self) -> str | None:
        """Write what has changed; return the id when it is a new one. Raises SessionsUnavailable."""
        self.modified = False  # whatever comes of it, it is tried once
        replaced, self.replaced = self.replaced, None
        if replaced is not None:
            self._store.delete(replaced)
        if not len(self) and self.id is None:
            return None
        made = secrets.token_urlsafe(_ID_BYTES) if self.id is None else None
        self.id = made or self.id
        self._store.write(cast("str", self.id), self._values, new=made is not None)
        return made

    @property
    def _values(self) -> dict[str, Any]:
        if self._loaded is None:
            found = None if self._given is None else self._store.read(self._given)
            if found is not None:  # an id that we do not know is never taken over
                self.id = self._given
            self._loaded = found or {}
        return self._loaded


class RedisSessions(SessionInterface):
    """Lets Flask keep its sessions in Redis."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store

    def open_session(self, app: Flask, request: Request) -> Session:
        """Return the session of a request; nothing is read yet."""
        del app
        return Session(self._store, request.cookies.get(COOKIE))

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Write a session that has changed, and tell the browser a new id. Raises SessionsUnavailable."""
        del app
        if not isinstance(session, Session) or not session.modified:
            return
        ends = session.replaced is not None
        made = session.save()
        if made is not None:
            response.set_cookie(COOKIE, made, secure=True, httponly=True, samesite="Lax", path="/")
        elif ends:
            response.delete_cookie(COOKIE, secure=True, httponly=True, samesite="Lax", path="/")


def asked(ask: Callable[[], Any]) -> Any:
    """Return what Redis answers. Raises SessionsUnavailable."""
    try:
        return ask()
    except redis.RedisError as error:
        raise SessionsUnavailable("sessions cannot be read or written: Redis cannot be used now") from error


def redis_client(url: str) -> redis.Redis:
    """Return a client of the Redis at an address, which all front ends share."""
    once = Retry(NoBackoff(), 1)  # a connection may have been lost since; a server that is down is not waited for
    pool = redis.BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType]
        url,
        max_connections=_CONNECTIONS,
        timeout=_SECONDS,
        socket_timeout=_SECONDS,
        socket_connect_timeout=_SECONDS,
        retry=once,
    )
    return redis.Redis.from_pool(pool)


def _key(session_id: str) -> str:
    return _PREFIX + hashlib.sha256(session_id.encode()).hexdigest()
