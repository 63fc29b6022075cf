"""Who asks, and whose things they may ask for."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Path, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import AfterValidator, StringConstraints

from examples.todo_chatbot.api.errors import Forbidden
from examples.todo_chatbot.api.service import Service
from examples.todo_chatbot.services.errors import Unauthorized

_bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="The `access_token` of a log-in")


def storable(text: str) -> str:
    """Return a text that a database can keep. Raises ValueError."""
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("the text has characters that are none: NUL, or half of a surrogate pair")
    return text


Storable = Annotated[str, AfterValidator(storable)]
Key = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,100}$")]
"""An idempotency key: the same request again under it is done once."""


def service_of(request: Request) -> Service:
    """Return the parts of the application that answers."""
    state: Any = request.app.state
    return state.service


Parts = Annotated[Service, Depends(service_of)]


def signed_in(parts: Parts, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> UUID:
    """Return who asks. Raises Unauthorized."""
    if given is None:
        raise Unauthorized("log in, and send the access token as `Authorization: Bearer …`")
    user = parts.tokens.user_of(given.credentials)
    if not parts.users.exists(user):
        raise Unauthorized("this user has been deleted")
    return user


def owner(
    user_id: Annotated[str, Path(description="The id of the user")], user: Annotated[UUID, Depends(signed_in)]
) -> UUID:
    """Return who asks for their own things. Raises Forbidden for those of anybody else, who need not exist."""
    if user_id != str(user):
        raise Forbidden("these are not your things: the user in the path is not the one of the access token")
    return user


Owner = Annotated[UUID, Depends(owner)]
