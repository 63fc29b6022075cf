"""Tokens between services: JWTs that say for a minute which user a request is for. The algorithm is pinned to ES256.

Who issues them holds a ring of private keys and publishes the public ones at `PUBLISHED`. Who checks them asks there.

To change the key without a pause: add a new one at the end of the file (it is published and does not sign), restart,
wait for `KEEP` seconds, put it first, restart, and take the old one away when its last token has expired.
"""

import hashlib
import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final, Self, cast

import anyio
import httpx2
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

ALGORITHM: Final = "ES256"
PUBLISHED: Final = "/.well-known/jwks.json"
SECONDS: Final = 60.0  # how long a token holds
LEEWAY: Final = 10.0  # seconds by which clocks may differ
KEEP: Final = 300.0  # seconds for which fetched keys count; who is taken off the list is refused then
PAUSE: Final = 10.0  # seconds between two fetches, however many unknown keys are named
RETRY: Final = 1.0  # seconds after a fetch that failed, while no key is known
MOST_BYTES: Final = 65_536  # of a list of keys
_PATIENCE: Final = 5.0  # seconds for a fetch
_CLAIMS: Final = ["iss", "sub", "aud", "iat", "exp", "jti"]


class TokenRefused(Exception):
    """The token is not valid here, or not any more: 401."""


class KeysUnavailable(Exception):
    """The keys cannot be fetched, so nobody can be told from anybody: 503."""


class KeysUnusable(Exception):
    """A file or a text holds no keys that can sign; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a valid token says: the user, the token's own id, and when it ends (seconds since 1970)."""

    user: str
    id: str
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private key of P-256, and the name by which tokens refer to it (RFC 7638)."""

    id: str
    private: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def made(cls) -> Self:
        """Return a new key."""
        return cls.of(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def of(cls, private: ec.EllipticCurvePrivateKey) -> Self:
        """Return a key with its name."""
        members = {name: _public(private)[name] for name in ("crv", "kty", "x", "y")}
        canonical = json.dumps(members, separators=(",", ":"), sort_keys=True)
        return cls(id=hashlib.sha256(canonical.encode()).hexdigest()[:32], private=private)

    def pem(self) -> bytes:
        """Return the private key as PEM, without a password."""
        return self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


class KeyRing:
    """Private keys. The first one signs, and all are published."""

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        """Take the keys, the newest first. Raises KeysUnusable when there is none."""
        if not keys:
            raise KeysUnusable("there is no key: give one as PEM, made by `openssl ecparam -genkey -name prime256v1`")
        self.keys: tuple[SigningKey, ...] = tuple(keys)

    @classmethod
    def made(cls) -> Self:
        """Return a ring of one new key, for a process that publishes it itself."""
        return cls([SigningKey.made()])

    @classmethod
    def from_pem(cls, text: bytes) -> Self:
        """Return the keys of PEM blocks in their order. Raises KeysUnusable."""
        return cls([_signing_key(block) for block in _blocks(text)])

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Return the keys of a file; it is made with one new key when it is missing. Raises KeysUnusable."""
        try:
            if not path.exists():
                _make(path)
            return cls.from_pem(path.read_bytes())
        except OSError as error:
            raise KeysUnusable(f"{path} cannot be used for signing keys ({error.strerror})") from error
        except KeysUnusable as error:
            raise KeysUnusable(f"{path}: {error}") from error

    def issue(self, user: str, *, issuer: str, audience: str, seconds: float = SECONDS, at: float | None = None) -> str:
        """Return a token for a user, from now on or from a moment (seconds since 1970)."""
        at = time.time() if at is None else at
        claims = {
            "iss": issuer,
            "sub": user,
            "aud": audience,
            "iat": at,
            "exp": at + seconds,
            "jti": secrets.token_hex(16),
        }
        return jwt.encode(claims, self.keys[0].private, algorithm=ALGORITHM, headers={"kid": self.keys[0].id})

    def published(self) -> dict[str, Any]:
        """Return the public keys as a JWK set (RFC 7517), for `PUBLISHED`."""
        return {
            "keys": [_public(key.private) | {"kid": key.id, "use": "sig", "alg": ALGORITHM} for key in self.keys],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownKeys:
    """Public keys by name, and when they may be asked for again. Times are those of a clock that only goes forward."""

    keys: Mapping[str, ec.EllipticCurvePublicKey] = field(default_factory=dict[str, ec.EllipticCurvePublicKey])
    fresh_until: float = float("-inf")
    not_before: float = float("-inf")

    def must_ask(self, name: str, now: float) -> bool:
        """Tell whether the keys are to be fetched before one of this name is looked up."""
        return (name not in self.keys or now >= self.fresh_until) and now >= self.not_before

    def fetched(self, keys: Mapping[str, ec.EllipticCurvePublicKey], now: float) -> "KnownKeys":
        """Return what is known after a fetch: keys that are not in it count no longer."""
        return KnownKeys(keys=keys, fresh_until=now + KEEP, not_before=now + PAUSE)

    def failed(self, now: float) -> "KnownKeys":
        """Return what is known after a fetch that failed: the keys as before, so that a short outage stops nobody."""
        pause = PAUSE if self.keys else RETRY
        return KnownKeys(keys=self.keys, fresh_until=self.fresh_until, not_before=now + pause)


class Verifier:
    """Tells whose token it is, for one issuer and one audience; from threads and from tasks of one event loop."""

    def __init__(
        self,
        keys: KeyRing | str,
        *,
        issuer: str,
        audience: str,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the keys themselves or the URL where they are published; `tls` is for asking there by mTLS."""
        self._url = keys if isinstance(keys, str) else ""
        self._issuer = issuer
        self._audience = audience
        self._tls = tls
        self._clock = clock
        self._known = KnownKeys()
        if isinstance(keys, KeyRing):
            public = {key.id: key.private.public_key() for key in keys.keys}
            self._known = KnownKeys(keys=public, fresh_until=float("inf"), not_before=float("inf"))
        self._asking = anyio.Lock()
        self._asking_thread = threading.Lock()

    async def verify(self, token: str) -> Claims:
        """Return what a token says. Raises TokenRefused, KeysUnavailable."""
        name = _key_name(token)
        if self._must_ask(name):
            async with self._asking:
                if self._must_ask(name):  # nobody has asked while this task waited
                    self._take(await self._fetched())
        return self._claims(token, name)

    def verify_blocking(self, token: str) -> Claims:
        """Return what a token says, in a thread that may wait. Raises TokenRefused, KeysUnavailable."""
        name = _key_name(token)
        if self._must_ask(name):
            with self._asking_thread:
                if self._must_ask(name):
                    self._take(self._fetched_blocking())
        return self._claims(token, name)

    def _must_ask(self, name: str) -> bool:
        return self._known.must_ask(name, self._clock())

    def _take(self, body: bytes | None) -> None:
        keys = None if body is None else _public_keys(body)
        now = self._clock()
        self._known = self._known.failed(now) if keys is None else self._known.fetched(keys, now)

    async def _fetched(self) -> bytes | None:
        with suppress(httpx2.HTTPError), anyio.move_on_after(_PATIENCE):
            async with (
                httpx2.AsyncClient(**self._connection()) as client,
                client.stream("GET", self._url) as answer,
            ):
                body = b""
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > MOST_BYTES:
                        return None
                return body if answer.is_success else None
        return None

    def _fetched_blocking(self) -> bytes | None:
        with (
            suppress(httpx2.HTTPError),
            httpx2.Client(**self._connection()) as client,
            client.stream("GET", self._url) as answer,
        ):
            body = b""
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > MOST_BYTES:
                    return None
            return body if answer.is_success else None
        return None

    def _connection(self) -> dict[str, Any]:
        return {"timeout": _PATIENCE, "trust_env": False, "verify": True if self._tls is None else self._tls}

    def _claims(self, token: str, name: str) -> Claims:
        known = self._known
        if not known.keys:
            raise KeysUnavailable(f"the keys of {self._issuer} cannot be fetched from {self._url}")
        if name not in known.keys:
            raise TokenRefused("the token is signed by a key that is not known, or not any more")
        try:
            claims = jwt.decode(
                token,
                known.keys[name],
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY,
                options={"require": _CLAIMS, "strict_aud": True},
            )
        except jwt.PyJWTError as error:
            raise TokenRefused("the token is not valid here, or not any more") from error
        if not claims["sub"] or not isinstance(claims["jti"], str):
            raise TokenRefused("the token names nobody")
        return Claims(user=claims["sub"], id=claims["jti"], expires_at=float(claims["exp"]))


def bearer(header: str | None) -> str:
    """Return the token of an `Authorization` header. Raises TokenRefused."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise TokenRefused("a request needs `Authorization: Bearer …`")
    return token.strip()


def _key_name(token: str) -> str:
    try:
        name = jwt.get_unverified_header(token).get("kid")
    except jwt.PyJWTError as error:
        raise TokenRefused("this is no token") from error
    if not isinstance(name, str):
        raise TokenRefused("the token does not say which key has signed it")
    return name


def _public(private: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    return ECAlgorithm.to_jwk(private.public_key(), as_dict=True)


def _public_keys(body: bytes) -> dict[str, ec.EllipticCurvePublicKey] | None:
    """Return the keys of a JWK set by their names, without those of other kinds; None when it is no such set."""
    try:
        entries: object = json.loads(body)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if not isinstance(entries, list):
        return None
    keys = [(entry, _public_key(entry)) for entry in cast("list[object]", entries)]
    return {cast("dict[str, str]", entry)["kid"]: key for entry, key in keys if key is not None}


def _public_key(entry: object) -> ec.EllipticCurvePublicKey | None:
    if not isinstance(entry, dict):
        return None
    given = cast("dict[str, object]", entry)
    if (given.get("kty"), given.get("crv")) != ("EC", "P-256") or not isinstance(given.get("kid"), str):
        return None
    public = {name: given.get(name) for name in ("kty", "crv", "x", "y")}  # a private part would not be looked at
    with suppress(jwt.PyJWTError, ValueError, TypeError, AttributeError):
        return cast("ec.EllipticCurvePublicKey", ECAlgorithm.from_jwk(public))
    return None


def _signing_key(block: bytes) -> SigningKey:
    try:
        key = serialization.load_pem_private_key(block, password=None)
    except (ValueError, TypeError) as error:
        raise KeysUnusable("a PEM block is no private key, or has a password") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeysUnusable("a key is not of P-256, which ES256 needs")
    return SigningKey.of(key)


def _blocks(text: bytes) -> list[bytes]:
    """Return the PEM blocks of private keys; `openssl ecparam` writes a block of parameters before its key."""
    parts = text.split(b"-----BEGIN ")[1:]
    return [b"-----BEGIN " + part for part in parts if part.partition(b"-----")[0].endswith(b"PRIVATE KEY")]


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent) as new:  # readable by its owner alone
        new.write(SigningKey.made().pem())
        new.flush()
        with suppress(FileExistsError):  # of several processes that start together, one key is kept
            path.hardlink_to(new.name)
