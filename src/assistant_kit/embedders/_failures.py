"""What goes wrong with a server of embeddings, as errors of this library. Nothing here ever quotes the key."""

import email.utils
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import httpx2
import openai

from assistant_kit.errors import (
    ContextOverflow,
    ModelBroke,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelTimeout,
    ModelUnauthorized,
    ModelUnavailable,
    ModelUnreachable,
)

_QUOTED = 500  # characters of a server's words that an error quotes at most
_SERVER_FAILED = 500
_BY_STATUS: Mapping[int, type[ModelError]] = {
    401: ModelUnauthorized,
    403: ModelUnauthorized,
    408: ModelTimeout,
    413: ContextOverflow,
    429: ModelRateLimited,
}
_TOO_LONG = frozenset({"context_length_exceeded", "exceed_context_size_error"})
_FINAL = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_TELLING = (httpx2.ConnectError, httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.UnsupportedProtocol)
"""Errors of the connection whose text cannot hold a header of ours, or the address of a proxy with its password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Who answers: the embedder's name, the address of its server, and the key that is never quoted."""

    name: str
    address: str
    key: str = field(repr=False)

    def quote(self, text: str) -> str:
        """Return a server's words, cut to what an error may hold."""
        words = " ".join(text.split())
        if self.key:
            words = words.replace(self.key, "***")
        return words if len(words) <= _QUOTED else words[: _QUOTED - 1] + "…"


def refused(error: openai.APIStatusError, source: Source) -> ModelError:
    """Map an answer with an HTTP status that is an error."""
    status, body = error.status_code, _object(error.body)
    code = _text(body.get("code")) or _text(body.get("type")) or None
    kind = _BY_STATUS.get(status) or (ModelUnavailable if status >= _SERVER_FAILED else ModelRejected)
    headers = error.response.headers
    words = _text(body.get("message")) or str(error.body or "nothing")
    return (ContextOverflow if code in _TOO_LONG else kind)(
        f"{source.address} answered {status}: {source.quote(words)}",
        model=source.name,
        status=status,
        code=code,
        request_id=headers.get("x-request-id"),
        retry_after=_retry_after(headers),
        should_retry=False if code in _FINAL else None,
    )


def unreachable(error: Exception, source: Source) -> ModelError:
    """Map a connection that failed before the answer was there; to ask again does no harm."""
    cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else error
    if isinstance(error, openai.APITimeoutError) or isinstance(cause, httpx2.TimeoutException):
        return ModelTimeout(f"no answer in time from {source.address} ({type(cause).__name__})", model=source.name)
    said = source.quote(str(cause)) if isinstance(cause, _TELLING) else ""
    return ModelUnreachable(
        f"no answer from {source.address} ({said or type(cause).__name__}): check OPENAI_BASE_URL or base_url, "
        "and that the server runs",
        model=source.name,
    )


def broke(problem: str, source: Source, response: httpx2.Response) -> ModelBroke:
    """Return the error for an answer that holds no vectors."""
    return ModelBroke(
        f"{source.address} answered with {problem}",
        model=source.name,
        status=response.status_code,
        request_id=response.headers.get("x-request-id"),
    )


def _object(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _retry_after(headers: httpx2.Headers) -> float | None:
    """Return the seconds that a server asks to wait."""
    milliseconds = _seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _seconds(value)
    if seconds is not None or value is None:
        return seconds
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _seconds(value: str | None) -> float | None:
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
