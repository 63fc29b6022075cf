"""What the API answers when something cannot be done: one form of JSON, and one place that says which status."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from assistant_kit import (
    AssistantKitError,
    BudgetExceeded,
    CallRefused,
    ConversationBusy,
    ConversationNotFound,
    DeadlineExceeded,
    InputError,
    Interrupted,
    QuotaExceeded,
    RateLimitReached,
    StepLimitExceeded,
    StoreError,
    TurnParked,
)
from examples.todo_chatbot.services.errors import (
    Conflict,
    DatabaseUnavailable,
    Invalid,
    NotFound,
    ServiceError,
    Unauthorized,
)

_log = logging.getLogger("todo.api")

Responses: TypeAlias = dict[int | str, dict[str, Any]]


class ErrorDetail(BaseModel):
    """`code` is for programs, `message` for people."""

    code: str
    message: str


class ErrorBody(BaseModel):
    """What every failure looks like."""

    error: ErrorDetail


class Forbidden(ServiceError):
    """Somebody asks for what is another user's, whether that user exists or not."""


@dataclass(frozen=True, slots=True)
class _Told:
    """How an error is told; without a `message` its own text is for people."""

    status: int
    code: str
    message: str | None = None


_MEANING: Sequence[tuple[tuple[type[Exception], ...], _Told]] = (
    ((NotFound,), _Told(404, "not_found")),
    ((Invalid,), _Told(422, "invalid")),
    ((Conflict,), _Told(409, "conflict")),
    ((Unauthorized,), _Told(401, "unauthorized")),
    ((Forbidden,), _Told(403, "forbidden")),
    ((DatabaseUnavailable,), _Told(503, "unavailable", "the database cannot be used now: try again later")),
    ((IntegrityError,), _Told(409, "conflict", "what this belongs to has just been deleted")),
    ((QuotaExceeded, RateLimitReached), _Told(429, "too_many_requests", "too many requests: wait a little")),
    ((ConversationBusy,), _Told(409, "busy", "another message in this conversation is being answered: wait for it")),
    ((ConversationNotFound,), _Told(404, "not_found", "there is no such conversation")),
    ((StoreError,), _Told(503, "unavailable", "conversations cannot be read or written now: try again later")),
    ((InputError,), _Told(422, "invalid", "the message cannot be answered: shorten it")),
    ((TurnParked,), _Told(409, "parked", "the last message here could not be answered: begin another conversation")),
    ((Interrupted,), _Told(409, "interrupted", "this message was given up on: send it again under a new key")),
    ((DeadlineExceeded,), _Told(504, "timeout", "there was no answer in time: say it again")),
    ((StepLimitExceeded, BudgetExceeded), _Told(502, "too_long", "the answer took too many steps: ask for less")),
    ((CallRefused,), _Told(503, "overloaded", "too much is going on: try again later")),
    ((AssistantKitError,), _Told(503, "no_answer", "the assistant cannot answer now: try again later")),
)
_HTTP = {
    400: ("bad_request", "the body cannot be read: send JSON in UTF-8"),
    404: ("not_found", "there is no such place"),
    405: ("method_not_allowed", "this place does not know the method"),
    413: ("too_large", "the body is too large"),
}
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_BODY = {"model": ErrorBody}
_ABOUT = {
    400: "The body cannot be read.",
    401: "No access token, or not a valid one.",
    403: "The user in the path is not the one of the token.",
    404: "This user has no such thing.",
    409: "It contradicts what is there, or is being done already.",
    413: "The body is too large.",
    422: "Something in the request cannot be like that.",
    429: "Too many requests: `Retry-After` has the seconds.",
    502: "The assistant has given up.",
    503: "Something that is needed is not there now.",
    504: "No answer in time.",
}


def documented(*statuses: int) -> Responses:
    """Return what OpenAPI says of failures with these statuses."""
    return {status: {**_BODY, "description": _ABOUT[status]} for status in statuses}


def told(error: Exception) -> tuple[int, ErrorBody, Mapping[str, str]]:
    """Return the status, the body and the headers that tell of an error; one that nobody knows is none of its text."""
    for kinds, meaning in _MEANING:
        if isinstance(error, kinds):
            detail = ErrorDetail(code=meaning.code, message=str(error) if meaning.message is None else meaning.message)
            return meaning.status, ErrorBody(error=detail), _headers(error, meaning.status)
    return 500, ErrorBody(error=ErrorDetail(code="failed", message="something went wrong here")), {}


def too_large() -> ErrorBody:
    """Return what is said of a body that is too large."""
    code, message = _HTTP[413]
    return ErrorBody(error=ErrorDetail(code=code, message=message))


def add_error_handlers(app: FastAPI) -> None:
    """Let an application answer errors in our form."""
    for kind in (ServiceError, AssistantKitError, IntegrityError, Exception):
        app.add_exception_handler(kind, _failed)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _refused)


def _headers(error: Exception, status: int) -> dict[str, str]:
    if status == 401:  # noqa: PLR2004  (the status that RFC 9110 wants it with)
        return {"WWW-Authenticate": "Bearer"}
    match error:
        case CallRefused(retry_after=float(seconds)) | ConversationBusy(retry_after=seconds):
            return {"Retry-After": str(max(1, math.ceil(seconds)))}
        case _:
            return {}


async def _failed(_: Request, error: Exception) -> JSONResponse:
    status, body, headers = told(error)
    if status >= 500:  # noqa: PLR2004  (ours, and not the caller's)
        _log.warning("%s: %s", type(error).__name__, error)
    return JSONResponse(body.model_dump(), status, headers)


async def _not_valid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  (what it is registered for)
    problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    text = problems.encode(errors="replace").decode()  # names in a body may be no text
    return JSONResponse({"error": {"code": "invalid", "message": text}}, 422)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  (what it is registered for)
    status = error.status_code
    code, message = _HTTP.get(status, ("refused", error.detail))
    headers = _allowed(request) if status == 405 else error.headers  # noqa: PLR2004  (the status that wants them)
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)


def _allowed(request: Request) -> dict[str, str]:
    """Return the methods of a place: of all its routes, where the framework names those of one."""

    def known(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in routes)

    routes = cast("FastAPI", request.app).routes
    return {"Allow": ", ".join(filter(known, _METHODS))}
