"""Access tokens: JWTs that say for a short time who somebody is. The algorithm is pinned."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import jwt

from examples.todo_chatbot.services.errors import Unauthorized

ALGORITHM = "HS256"
ISSUER, AUDIENCE = "todo-chatbot", "todo-chatbot-api"
LIFE = timedelta(minutes=15)
LEAST_SECRET = 32  # bytes, as many as the hash has
_CLAIMS = ["exp", "iat", "iss", "aud", "sub"]
_LEEWAY = timedelta(seconds=5)  # for clocks that differ


class AccessTokens:
    """Makes access tokens, and tells whose they are."""

    def __init__(self, secret: bytes) -> None:
        """Take the key, which all processes share. Raises ValueError when it is too short."""
        if len(secret) < LEAST_SECRET:
            raise ValueError(f"the secret has {len(secret)} bytes: give at least {LEAST_SECRET} random ones")
        self._secret = secret

    def issue(self, user: UUID, *, at: datetime | None = None) -> str:
        """Return a token for a user, from now on or from a moment."""
        at = at or datetime.now(UTC)
        claims = {"sub": str(user), "iss": ISSUER, "aud": AUDIENCE, "iat": at, "exp": at + LIFE, "jti": uuid4().hex}
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM)

    def user_of(self, token: str) -> UUID:
        """Return whose token it is. Raises Unauthorized."""
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                leeway=_LEEWAY,
                options={"require": _CLAIMS},
            )
            return UUID(claims["sub"])
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise Unauthorized("the access token is not valid, or not any more: log in, or refresh it") from error
