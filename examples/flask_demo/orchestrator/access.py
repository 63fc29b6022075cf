"""Who asks: what each route may know of a request."""

from typing import Annotated, Any

from anyio import to_thread
from fastapi import Depends, Header, Path, Request
from pydantic import AfterValidator, StringConstraints

from assistant_kit import StoreError
from examples.flask_demo.orchestrator.errors import NotFound, Unauthorized, Unavailable
from examples.flask_demo.orchestrator.service import Service
from examples.flask_demo.service_tokens import Claims, KeysUnavailable, TokenRefused, bearer

AUDIENCE = "orchestrator"


def plain(text: str) -> str:
    """Return a text that can be kept and shown. Raises ValueError."""
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("the text has characters that are none: NUL, or half of a surrogate pair")
    return text


Plain = Annotated[str, AfterValidator(plain)]
Key = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,100}$")]
"""An idempotency key: the same request again under it is done once."""
RequestKey = Annotated[Key, Header(alias="Idempotency-Key")]


def service_of(request: Request) -> Service:
    """Return the parts of the application that answers."""
    state: Any = request.app.state
    return state.service


Parts = Annotated[Service, Depends(service_of)]


async def _claims(parts: Service, header: str | None) -> Claims:
    try:
        claims = await parts.verifier.verify(bearer(header))
    except TokenRefused as error:
        raise Unauthorized(str(error)) from error
    except KeysUnavailable as error:
        raise Unavailable("it cannot be told now who asks: try again") from error
    await to_thread.run_sync(parts.users.seen, claims.user)
    return claims


Authorization = Annotated[str | None, Header(include_in_schema=False)]


async def reader(parts: Parts, authorization: Authorization = None) -> str:
    """Return who asks to read. Raises Unauthorized, QuotaExceeded."""
    user = (await _claims(parts, authorization)).user
    await parts.limits.count_reading(user)
    return user


async def writer(request: Request, parts: Parts, authorization: Authorization = None) -> str:
    """Return who asks to change something; their token counts for this request alone. Raises Unauthorized."""
    claims = await _claims(parts, authorization)
    key = request.headers.get("idempotency-key", "")
    try:
        await parts.limits.use_token(claims.id, f"{request.method} {request.url.path} {key}")
        await parts.limits.count("requests", claims.user)
    except StoreError as error:
        raise Unavailable("nothing can be changed for the moment: try again") from error
    return claims.user


Reader = Annotated[str, Depends(reader)]
Writer = Annotated[str, Depends(writer)]


def conversation_id(conversation: Annotated[str, Path(description="The id of a conversation")]) -> str:
    """Return an id that one of ours may have. Raises NotFound."""
    if len(conversation) != ID_LENGTH or not conversation.startswith("c_") or not conversation[2:].isalnum():
        raise NotFound("there is no such conversation")
    return conversation


ID_LENGTH = 28
ConversationId = Annotated[str, Depends(conversation_id)]
