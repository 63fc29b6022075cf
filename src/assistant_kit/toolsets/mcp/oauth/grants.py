"""What authorization servers have given: tokens, and the name by which they know this application."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pydantic import TypeAdapter, ValidationError

Method: TypeAlias = Literal["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
"""How this application proves at the token endpoint who it is."""

LIFE = 0.9  # of a token's time, after which it is renewed: clocks differ, and requests take time


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """What an authorization server knows this application as. `issuer` is None when it is not bound to one server.

    `redirect_uri` is the one it was registered with.
    """

    client_id: str
    method: Method
    client_secret: str | None = field(default=None, repr=False)
    issuer: str | None = None
    redirect_uri: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Access of one user to one server.

    `expires_at` is in seconds since 1970; `scope` has its names apart by spaces. `issuer` and `token_endpoint` say who
    gave it, to which `client`: nobody else gets the refresh token. `resource` is what it was asked for (RFC 8707).
    """

    access_token: str = field(repr=False)
    token_endpoint: str
    issuer: str
    client: Client
    refresh_token: str | None = field(default=None, repr=False)
    expires_at: float | None = None
    scope: str | None = None
    resource: str | None = None

    def over(self, now: float) -> bool:
        """Whether it is time to renew the token."""
        return self.expires_at is not None and now >= self.expires_at


_GRANT = TypeAdapter(Grant)
_CLIENT = TypeAdapter(Client)


def grant_text(grant: Grant) -> str:
    """Write a grant for a token storage."""
    return _GRANT.dump_json(grant).decode()


def grant_from(text: str | None) -> Grant | None:
    """Read a grant; None for what an older version of this library, or nobody, has written."""
    try:
        return None if text is None else _GRANT.validate_json(text)
    except ValidationError:
        return None


def client_text(client: Client) -> str:
    """Write a registration for a token storage."""
    return _CLIENT.dump_json(client).decode()


def client_from(text: str | None) -> Client | None:
    """Read a registration; None for what cannot be read."""
    try:
        return None if text is None else _CLIENT.validate_json(text)
    except ValidationError:
        return None
