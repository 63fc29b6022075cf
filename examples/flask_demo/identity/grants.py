"""What has been granted and not yet fetched: codes that work once and for a minute, and access tokens."""

import hashlib
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final, Generic, TypeVar

CODE_SECONDS: Final = 60.0
TOKEN_SECONDS: Final = 600.0
_MOST: Final = 10_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who has signed in. `subject` is what their name always becomes here."""

    name: str

    @property
    def subject(self) -> str:
        """What the provider calls them."""
        return hashlib.sha256(self.name.casefold().encode()).hexdigest()[:20]

    @property
    def email(self) -> str:
        """An address that reaches nobody."""
        return f"{self.subject}@example.org"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a code stands for."""

    person: Person
    client_id: str
    redirect_uri: str
    challenge: str
    nonce: str | None

    def is_proved_by(self, verifier: str) -> bool:
        """Whether who brings the verifier is who began (RFC 7636, S256)."""
        digest = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
        return compare_digest(digest, self.challenge.encode())


class Tickets(Generic[T]):
    """Random names for things, each for a time."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic, *, most: int = _MOST) -> None:
        self._seconds = seconds
        self._clock = clock
        self._most = most
        self._kept: dict[str, tuple[float, T]] = {}

    def issue(self, thing: T) -> str:
        """Return a new name of a thing."""
        now = self._clock()
        self._kept = {name: kept for name, kept in self._kept.items() if kept[0] > now}
        while len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        name = secrets.token_urlsafe(32)
        self._kept[name] = (now + self._seconds, thing)
        return name

    def find(self, name: str) -> T | None:
        """Return what a name stands for."""
        ends, thing = self._kept.get(name, (0.0, None))
        return thing if ends > self._clock() else None

    def redeem(self, name: str) -> T | None:
        """Return what a name stands for, once."""
        found = self.find(name)
        self._kept.pop(name, None)
        return found
