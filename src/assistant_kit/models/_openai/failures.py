"""What goes wrong with a provider, as errors of this library. Nothing here ever quotes the key."""

import email.utils
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import httpx2
import openai
from pydantic_core import from_json

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
from assistant_kit.models._openai.lenient import as_object, as_text
from assistant_kit.models._openai.rate_limits import rate_limits

QUOTED = 500
"""Characters of a server's words that an error quotes at most."""

_BAD_REQUEST = 400
_NOT_FOUND = 404
_NOT_ALLOWED = 405
_SERVER_FAILED = 500
_NOT_IMPLEMENTED = 501
_BY_STATUS: Mapping[int, type[ModelError]] = {
    401: ModelUnauthorized,
    403: ModelUnauthorized,
    408: ModelTimeout,
    429: ModelRateLimited,
}
_BY_CODE: Mapping[str, type[ModelError]] = {
    "rate_limit_exceeded": ModelRateLimited,
    "rate_limit_error": ModelRateLimited,
    "insufficient_quota": ModelRateLimited,
    "too_many_requests": ModelRateLimited,
    "slow_down": ModelRateLimited,
    "429": ModelRateLimited,
    "invalid_api_key": ModelUnauthorized,
    "context_length_exceeded": ContextOverflow,
    "exceed_context_size_error": ContextOverflow,
    "invalid_request_error": ModelRejected,
    "invalid_prompt": ModelRejected,
    "model_not_found": ModelRejected,
    "400": ModelRejected,
    "server_is_overloaded": ModelUnavailable,
    "503": ModelUnavailable,
}
_TOO_LONG = re.compile(r"(maximum|model's) context length", re.IGNORECASE)
"""What vLLM and SGLang say of a request that is too long: they have no code for it."""
_FINAL_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_TELLING = (httpx2.ConnectError, httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.UnsupportedProtocol)
"""Errors of the connection whose text cannot hold a header of ours, or the address of a proxy with its password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Who answers: `address` is the base URL without secrets; the key of `client` is never quoted."""

    model: str
    address: str
    client: openai.AsyncOpenAI = field(repr=False)

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


def refused(error: openai.APIStatusError, source: Source) -> ModelError:
    """Map an answer with an HTTP status that is an error."""
    status, code = error.status_code, _code_of(as_object(error.body))
    kind = _BY_STATUS.get(status) or (ModelUnavailable if status >= _SERVER_FAILED else ModelRejected)
    if kind is ModelRejected and (_BY_CODE.get(code or "") is ContextOverflow or _TOO_LONG.search(_words(error))):
        kind = ContextOverflow
    headers = error.response.headers
    should_retry = {"true": True, "false": False}.get(headers.get("x-should-retry", ""))
    return kind(
        f"{source.address} answered {status}: {source.quote(_words(error))}{_advice(kind, status)}",
        model=source.model,
        status=status,
        code=code,
        request_id=headers.get("x-request-id"),
        retry_after=retry_after(headers, now=time.time()),
        should_retry=False if code in _FINAL_CODES else should_retry,
        limits=rate_limits(headers.raw),
    )


def unreachable(error: Exception, source: Source) -> ModelError:
    """Map a connection that failed before an answer began."""
    cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else error
    if isinstance(error, openai.APITimeoutError) or isinstance(cause, httpx2.TimeoutException):
        return _silent(cause, source)
    said = source.quote(str(cause)) if isinstance(cause, _TELLING) else ""
    return ModelUnreachable(
        f"no answer from {source.address} ({said or type(cause).__name__}): check OPENAI_BASE_URL or base_url, "
        "and that the server runs",
        model=source.model,
    )


def interrupted(error: httpx2.HTTPError, source: Source, request_id: str | None) -> ModelError:
    """Map a connection that failed while the answer was read."""
    if isinstance(error, httpx2.TimeoutException):
        return _silent(error, source)
    said = source.quote(str(error)) if isinstance(error, _TELLING) else ""
    return ModelBroke(
        f"the answer broke off ({said or type(error).__name__})", model=source.model, request_id=request_id
    )


def reported(error: Mapping[str, Any], source: Source, request_id: str | None) -> ModelError:
    """Map an error object that came inside an answer; `error` has `message`, and `code` or `type`."""
    code = _code_of(error)
    names = (code or "", str(error.get("code")), as_text(error.get("type")))
    kind = next((_BY_CODE[name] for name in names if name in _BY_CODE), ModelBroke)
    return kind(
        f"the provider reports {code or 'an error'}: {source.quote(as_text(error.get('message')))}"
        f"{_advice(kind, None)}",
        model=source.model,
        code=code,
        request_id=request_id,
        should_retry=False if code in _FINAL_CODES else None,
    )


def broke(message: str, source: Source, request_id: str | None) -> ModelBroke:
    """Return the error for an answer that is no answer."""
    return ModelBroke(message, model=source.model, request_id=request_id)


def shown(data: bytes, source: Source) -> str:
    """Return the beginning of what a server sent."""
    return source.quote(data[: 4 * QUOTED].decode(errors="replace")) or "nothing"


def parsed(data: bytes, source: Source, request_id: str | None) -> dict[str, Any]:
    """Parse a JSON object. Raises ModelBroke when it is none."""
    try:
        value = from_json(data)
    except ValueError as error:
        raise broke(f"what came back is not JSON: {shown(data, source)}", source, request_id) from error
    if type(value) is not dict:
        raise broke(f"what came back is no JSON object: {shown(data, source)}", source, request_id)
    return as_object(cast("object", value))


def retry_after(headers: httpx2.Headers, *, now: float) -> float | None:
    """Return the seconds that a server asks to wait; `now` is the time of day, which an HTTP date is held against."""
    milliseconds = _seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _seconds(value)
    if seconds is not None or value is None:
        return seconds
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def is_missing_route(error: ModelError) -> bool:
    """Tell whether the server has no such route: it answered 404, 405 or 501, and not about a model or an item."""
    cause = error.__cause__
    if not isinstance(cause, openai.APIStatusError):
        return False
    if error.status != _NOT_FOUND:
        return error.status in (_NOT_ALLOWED, _NOT_IMPLEMENTED)
    body = as_object(cause.body)
    name = re.escape(error.model.partition(":")[2])
    named = re.search(rf"(?<![\w.-]){name}(?![\w.-])", as_text(body.get("message")))
    return error.code != "model_not_found" and not body.get("param") and named is None


def refuses_sealing(error: ModelError) -> bool:
    """Tell whether the server refuses to send encrypted reasoning: models that do not think have none."""
    cause = error.__cause__
    if error.status != _BAD_REQUEST or not isinstance(cause, openai.APIStatusError):
        return False
    about = as_text(as_object(cause.body).get("param"))
    return about.startswith("include") or "Encrypted content is not supported" in _words(cause)


def _seconds(value: str | None) -> float | None:
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _silent(error: BaseException | None, source: Source) -> ModelError:
    return ModelTimeout(f"no answer in time from {source.address} ({type(error).__name__})", model=source.model)


def _code_of(error: Mapping[str, Any]) -> str | None:
    """Return the server's name for an error; where its code is the status again, as llama.cpp's, that is the type."""
    code = error.get("code")
    if code is None or (type(code) is int and as_text(error.get("type"))):
        code = error.get("type")
    return str(code) if isinstance(code, str | int) and code else None


def _words(error: openai.APIStatusError) -> str:
    body = as_object(error.body)
    return as_text(body.get("message")) or as_text(body.get("detail")) or str(error.body or "nothing")


def _advice(kind: type[ModelError], status: int | None) -> str:
    if kind is ContextOverflow:
        return " (set WindowSettings(max_tokens=…) to the size of the model's context window)"
    if kind is ModelUnauthorized:
        return " (check OPENAI_API_KEY or api_key)"
    if status in (_NOT_FOUND, _NOT_ALLOWED):
        return " (check the model's name, and OPENAI_BASE_URL or base_url)"
    return ""
