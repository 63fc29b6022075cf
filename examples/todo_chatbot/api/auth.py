"""Signing up, logging in, staying logged in."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from anyio import to_thread
from fastapi import APIRouter
from pydantic import BaseModel, Field

from examples.todo_chatbot.api.access import Parts, Storable
from examples.todo_chatbot.api.errors import documented
from examples.todo_chatbot.api.service import Service
from examples.todo_chatbot.auth.tokens import LIFE
from examples.todo_chatbot.services.user_service import EMAIL_LIMIT, PASSWORD_LEAST, PASSWORD_LIMIT, Login

router = APIRouter(prefix="/api/auth", tags=["auth"], responses=documented(400, 413, 422, 503))

Email = Annotated[Storable, Field(min_length=3, max_length=EMAIL_LIMIT)]


class Credentials(BaseModel):
    """An e-mail address and a password."""

    email: Email
    password: Annotated[Storable, Field(max_length=PASSWORD_LIMIT)]


class NewUser(Credentials):
    """Who signs up."""

    password: Annotated[Storable, Field(min_length=PASSWORD_LEAST, max_length=PASSWORD_LIMIT)]


class Renewal(BaseModel):
    """A refresh token."""

    refresh_token: Annotated[str, Field(min_length=1, max_length=200)]


class LoginOut(BaseModel):
    """The tokens of somebody who is logged in. A refresh token is used once; `expires_in` is in seconds."""

    user_id: UUID
    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  (the name of a kind)
    expires_in: int = int(LIFE.total_seconds())
    refresh_token: str
    refresh_expires_at: datetime


@router.post("/sign-up", status_code=201, responses=documented(409))
def sign_up(new: NewUser, parts: Parts) -> LoginOut:
    """Make a user, and log them in."""
    return _told(parts, parts.users.sign_up(new.email, new.password))


@router.post("/log-in", responses=documented(401, 429))
async def log_in(credentials: Credentials, parts: Parts) -> LoginOut:
    """Log a user in; a few times a minute for one address."""
    await parts.limits.log_in(credentials.email)
    return _told(parts, await to_thread.run_sync(parts.users.log_in, credentials.email, credentials.password))


@router.post("/refresh", responses=documented(401))
def refresh(renewal: Renewal, parts: Parts) -> LoginOut:
    """Exchange a refresh token; one that comes a second time ends all that follow from the same log-in."""
    return _told(parts, parts.users.refresh(renewal.refresh_token))


@router.post("/log-out", status_code=204)
def log_out(renewal: Renewal, parts: Parts) -> None:
    """End a refresh token and all of its family; the access token ends by itself."""
    parts.users.log_out(renewal.refresh_token)


def _told(parts: Service, login: Login) -> LoginOut:
    return LoginOut(
        user_id=login.user,
        access_token=parts.tokens.issue(login.user),
        refresh_token=login.refresh_token,
        refresh_expires_at=login.refresh_expires_at,
    )
