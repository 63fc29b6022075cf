"""What the API answers when something cannot be done: one form of JSON, and one place that says which status."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from assistant_kit import (
    ApprovalPending,
    AssistantKitError,
    BudgetExceeded,
    CallRefused,
    ConversationBusy,
    ConversationNotFound,
    DeadlineExceeded,
    DocumentUnreadable,
    InputError,
    Interrupted,
    QuotaExceeded,
    RateLimitReached,
    StepLimitExceeded,
    StoreError,
    TurnParked,
)
from assistant_kit.integrations.streaming import Failure
from assistant_kit.protocols.artifact_store import ArtifactNotFound, ArtifactTooLarge

_log = logging.getLogger("web.orchestrator")

Responses: TypeAlias = dict[int | str, dict[str, Any]]
_UNAVAILABLE_FOR: Final = 2
"""Seconds after which a caller may try again where nobody knows better."""


class ErrorDetail(BaseModel):
    """`code` is for programs, `message` for people."""

    code: str
    message: str


class ErrorBody(BaseModel):
    """What every failure looks like."""

    error: ErrorDetail


class APIError(Exception):
    """What is asked for cannot be done; the text is for people."""


class Unauthorized(APIError):
    """No token, or one that is not valid."""


class Forbidden(APIError):
    """The token is valid, and this is not allowed by it."""


class NotFound(APIError):
    """There is no such thing, or it is another user's."""


class Conflict(APIError):
    """It contradicts what is there."""


class TooLarge(APIError):
    """It is larger than may be."""


class Invalid(APIError):
    """It cannot be like that."""


class Unsupported(APIError):
    """A kind of file that is not taken."""


class Unavailable(APIError):
    """Something that is needed is not there now."""


@dataclass(frozen=True, slots=True)
class _Told:
    """How an error is told; without a `message` its own text is for people."""

    status: int
    code: str
    message: str | None = None


_MEANING: Final[Sequence[tuple[tuple[type[Exception], ...], _Told]]] = (
    ((Unauthorized,), _Told(401, "unauthorized")),
    ((Forbidden,), _Told(403, "forbidden")),
    ((NotFound,), _Told(404, "not_found")),
    ((Conflict,), _Told(409, "conflict")),
    ((TooLarge,), _Told(413, "too_large")),
    ((Unsupported,), _Told(415, "unsupported")),
    ((Invalid,), _Told(422, "invalid")),
    ((Unavailable,), _Told(503, "unavailable")),
    ((SQLAlchemyError,), _Told(503, "unavailable", "the database cannot be used now: try again later")),
    ((QuotaExceeded, RateLimitReached), _Told(429, "limited", "that is more than you may use now: wait a little")),
    ((ConversationBusy,), _Told(409, "conflict", "another message in this conversation is being answered")),
    ((ApprovalPending,), _Told(409, "conflict", "this conversation waits: first allow or deny what was asked")),
    ((ConversationNotFound,), _Told(404, "not_found", "there is no such conversation")),
    ((ArtifactNotFound,), _Told(404, "not_found", "there is no such file")),
    ((ArtifactTooLarge,), _Told(413, "too_large", "this file is too large")),
    ((DocumentUnreadable,), _Told(422, "invalid", "this file cannot be read: it is damaged, locked, or has no text")),
    ((StoreError,), _Told(503, "unavailable", "conversations cannot be read or written now: try again later")),
    ((InputError,), _Told(422, "invalid", "the message cannot be answered: shorten it")),
    ((TurnParked,), _Told(409, "conflict", "the last message here was given up on: begin another conversation")),
    ((Interrupted,), _Told(409, "conflict", "this message has ended without an answer: send it under a new key")),
    ((DeadlineExceeded,), _Told(503, "unavailable", "there was no answer in time: say it again")),
    ((StepLimitExceeded, BudgetExceeded), _Told(503, "unavailable", "the answer took too many steps: ask for less")),
    ((CallRefused,), _Told(503, "unavailable", "too much is going on, or a service is down: try again later")),
    ((AssistantKitError,), _Told(503, "unavailable", "the assistant cannot answer now: try again later")),
)
_HTTP: Final = {
    400: ("invalid", "the body cannot be read"),
    404: ("not_found", "there is no such place"),
    405: ("invalid", "this place does not know the method"),
    413: ("too_large", "the body is too large"),
    415: ("unsupported", "a body of this type is not taken"),
}
_ABOUT: Final = {
    401: "No token, or one that is not valid.",
    403: "Not allowed by this token.",
    404: "This user has no such thing.",
    409: "It contradicts what is there, or is being done already.",
    413: "The body is too large.",
    415: "A kind of file that is not taken.",
    422: "Something in the request cannot be like that.",
    429: "More than this user may use now: `Retry-After` has the seconds.",
    503: "Something that is needed is not there now: `Retry-After` has the seconds.",
}


def documented(*statuses: int) -> Responses:
    """Return what OpenAPI says of failures with these statuses."""
    return {status: {"model": ErrorBody, "description": _ABOUT[status]} for status in statuses}


def told(error: BaseException) -> tuple[int, ErrorBody, Mapping[str, str]]:
    """Return the status, the body and the headers that tell of an error; one that nobody knows is none of its text."""
    for kinds, meaning in _MEANING:
        if isinstance(error, kinds):
            detail = ErrorDetail(code=meaning.code, message=str(error) if meaning.message is None else meaning.message)
            return meaning.status, ErrorBody(error=detail), _headers(error, meaning.status)
    return 500, ErrorBody(error=ErrorDetail(code="failed", message="something went wrong here")), {}


def told_in_stream(error: BaseException) -> Failure:
    """Return the code and the words that tell of an error in a stream of events."""
    detail = told(error)[1].error
    return Failure(code=detail.code, message=detail.message)


def add_error_handlers(app: FastAPI) -> None:
    """Let an application answer errors in our form."""
    for kind in (APIError, AssistantKitError, SQLAlchemyError, Exception):
        app.add_exception_handler(kind, _failed)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _refused)


def _headers(error: BaseException, status: int) -> dict[str, str]:
    if status == 401:  # noqa: PLR2004  (the status that RFC 9110 wants it with)
        return {"WWW-Authenticate": "Bearer"}
    match error:
        case CallRefused(retry_after=float(seconds)) | ConversationBusy(retry_after=seconds):
            return {"Retry-After": str(max(1, math.ceil(seconds)))}
        case _ if status == 503:  # noqa: PLR2004  (who is told to come again is told when)
            return {"Retry-After": str(_UNAVAILABLE_FOR)}
        case _:
            return {}


async def _failed(_: Request, error: Exception) -> JSONResponse:
    status, body, headers = told(error)
    if status >= 500:  # noqa: PLR2004  (ours, and not the caller's)
        unknown = error if status == 500 else None  # noqa: PLR2004  (the same)
        _log.warning("%s, because of %s", type(error).__name__, type(error.__cause__).__name__, exc_info=unknown)
    return JSONResponse(body.model_dump(), status, headers)


async def _not_valid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  (what it is registered for)
    problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    text = problems.encode(errors="replace").decode()  # names in a body may be no text
    return JSONResponse({"error": {"code": "invalid", "message": text}}, 422)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  (what it is registered for)
    code, message = _HTTP.get(error.status_code, ("refused", "this cannot be done"))
    return JSONResponse({"error": {"code": code, "message": message}}, error.status_code, error.headers)
