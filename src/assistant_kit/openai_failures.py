"""What goes wrong with a server that speaks OpenAI's protocol, as errors of ours. Nothing here quotes the key."""

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import httpx2
import openai

from assistant_kit import retry_after as after
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
from assistant_kit.usage import RateLimits

QUOTED: Final = 500
"""Characters of a server's words that an error quotes at most."""

FINAL_CODES: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
"""What does not pass by waiting."""

OVERFLOW_CODES: Final = frozenset({"context_length_exceeded", "exceed_context_size_error"})
"""What a request is called that is too long; the second one is llama.cpp's."""

_NOT_FOUND: Final = 404
_NOT_ALLOWED: Final = 405
_SERVER_FAILED: Final = 500
_BY_STATUS: Final[Mapping[int, type[ModelError]]] = {
    401: ModelUnauthorized,
    403: ModelUnauthorized,
    408: ModelTimeout,
    429: ModelRateLimited,
}
_TOO_LONG: Final = re.compile(r"(maximum|model's) context length", re.IGNORECASE)
"""What vLLM and SGLang say of a request that is too long: they have no code for it."""
_TELLING: Final = (httpx2.ConnectError, httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.UnsupportedProtocol)
"""Errors of the connection whose text cannot hold a header of ours, or the address of a proxy with its password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Who answers: `address` is the base URL without secrets; the key of `client` is never quoted.

    `shorten` says what to do about a request that is too long. `too_long` are statuses that say the same.
    """

    model: str
    address: str
    client: openai.AsyncOpenAI = field(repr=False)
    shorten: str = "set WindowSettings(max_tokens=…) to the size of the model's context window"
    too_long: frozenset[int] = frozenset()

    def key_in(self, error: openai.APIStatusError) -> bool:
        """Tell whether a server has quoted the key, so that the error would show it."""
        key = self.client.api_key
        return bool(key) and key in f"{error.message} {error.body}"

    def quote(self, text: str) -> str:
        """Return a server's words, cut to what an error may hold."""
        shown = " ".join(text.split())
        if key := self.client.api_key:
            shown = shown.replace(key, "***")
        return shown if len(shown) <= QUOTED else shown[: QUOTED - 1] + "…"

    def advice(self, kind: type[ModelError], status: int | None) -> str:
        """Return what to do about an error, in brackets; nothing where the words of the server say it all."""
        if kind is ContextOverflow:
            return f" ({self.shorten})"
        if kind is ModelUnauthorized:
            return " (check OPENAI_API_KEY or api_key)"
        if status in (_NOT_FOUND, _NOT_ALLOWED):
            return " (check the model's name, and OPENAI_BASE_URL or base_url)"
        return ""


def refused(error: openai.APIStatusError, source: Source, *, limits: RateLimits | None = None) -> ModelError:
    """Map an answer with an HTTP status that is an error; `limits` is what its headers say of rate limits."""
    status, code = error.status_code, code_of(object_in(error.body))
    kind = _BY_STATUS.get(status) or (ModelUnavailable if status >= _SERVER_FAILED else ModelRejected)
    too_long = status in source.too_long or _TOO_LONG.search(said(error))
    if code in OVERFLOW_CODES or (kind is ModelRejected and too_long):
        kind = ContextOverflow
    headers = error.response.headers
    should_retry = {"true": True, "false": False}.get(headers.get("x-should-retry", ""))
    return kind(
        f"{source.address} answered {status}: {source.quote(said(error))}{source.advice(kind, status)}",
        model=source.model,
        status=status,
        code=code,
        request_id=headers.get("x-request-id"),
        retry_after=retry_after(headers, now=time.time()),
        should_retry=False if code in FINAL_CODES else should_retry,
        limits=limits,
    )


def unreachable(error: Exception, source: Source) -> ModelError:
    """Map a connection that failed before an answer began."""
    cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else error
    if isinstance(error, openai.APITimeoutError) or isinstance(cause, httpx2.TimeoutException):
        return _silent(cause, source)
    telling = source.quote(str(cause)) if isinstance(cause, _TELLING) else ""
    return ModelUnreachable(
        f"no answer from {source.address} ({telling or type(cause).__name__}): check OPENAI_BASE_URL or base_url, "
        "and that the server runs",
        model=source.model,
    )


def interrupted(error: httpx2.HTTPError, source: Source, request_id: str | None) -> ModelError:
    """Map a connection that failed while the answer was read."""
    if isinstance(error, httpx2.TimeoutException):
        return _silent(error, source)
    telling = source.quote(str(error)) if isinstance(error, _TELLING) else ""
    return ModelBroke(
        f"the answer broke off ({telling or type(error).__name__})", model=source.model, request_id=request_id
    )


def retry_after(headers: httpx2.Headers, *, now: float) -> float | None:
    """Return the seconds that a server asks to wait; `now` is the time of day, which an HTTP date is held against."""
    milliseconds = _seconds(headers.get("retry-after-ms"))
    return after.retry_after(headers, now=now) if milliseconds is None else milliseconds / 1000


def code_of(error: Mapping[str, Any]) -> str | None:
    """Return the server's name for an error; where its code is the status again, as llama.cpp's, that is the type."""
    code = error.get("code")
    if code is None or (type(code) is int and type(error.get("type")) is str):
        code = error.get("type") or None
    return str(code) if isinstance(code, str | int) and code else None


def said(error: openai.APIStatusError) -> str:
    """Return what a server says of an error."""
    body = object_in(error.body)
    words = (word for name in ("message", "detail") if isinstance(word := body.get(name), str) and word)
    return next(words, "") or str(error.body or "nothing")


def object_in(body: object) -> Mapping[str, Any]:
    """Return a JSON object, or an empty one."""
    return cast("Mapping[str, Any]", body) if isinstance(body, dict) else {}


def _seconds(value: str | None) -> float | None:
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _silent(error: BaseException | None, source: Source) -> ModelError:
    return ModelTimeout(f"no answer in time from {source.address} ({type(error).__name__})", model=source.model)
