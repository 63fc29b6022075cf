"""What goes wrong with a model behind OpenAI's protocol: what its answers say of it, and what a refusal is about."""

import re
from collections.abc import Mapping
from typing import Any, cast

import openai
from pydantic_core import from_json

from assistant_kit.errors import (
    ContextOverflow,
    ModelBroke,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelUnauthorized,
    ModelUnavailable,
)
from assistant_kit.models._openai.lenient import as_object, as_text
from assistant_kit.models._openai.rate_limits import rate_limits
from assistant_kit.openai_failures import (
    FINAL_CODES,
    OVERFLOW_CODES,
    QUOTED,
    Source,
    code_of,
    interrupted,
    said,
    unreachable,
)
from assistant_kit.openai_failures import refused as refused_by_status

__all__ = [
    "Source",
    "broke",
    "interrupted",
    "is_missing_route",
    "parsed",
    "refused",
    "refuses_sealing",
    "reported",
    "shown",
    "unreachable",
]

_BAD_REQUEST = 400
_NOT_FOUND = 404
_NOT_ALLOWED = 405
_NOT_IMPLEMENTED = 501
_BY_CODE: Mapping[str, type[ModelError]] = {
    "rate_limit_exceeded": ModelRateLimited,
    "rate_limit_error": ModelRateLimited,
    "insufficient_quota": ModelRateLimited,
    "too_many_requests": ModelRateLimited,
    "slow_down": ModelRateLimited,
    "429": ModelRateLimited,
    "invalid_api_key": ModelUnauthorized,
    **dict.fromkeys(OVERFLOW_CODES, ContextOverflow),
    "invalid_request_error": ModelRejected,
    "invalid_prompt": ModelRejected,
    "model_not_found": ModelRejected,
    "400": ModelRejected,
    "server_is_overloaded": ModelUnavailable,
    "503": ModelUnavailable,
}


def refused(error: openai.APIStatusError, source: Source) -> ModelError:
    """Map an answer with an HTTP status that is an error."""
    return refused_by_status(error, source, limits=rate_limits(error.response.headers.raw))


def reported(error: Mapping[str, Any], source: Source, request_id: str | None) -> ModelError:
    """Map an error object that came inside an answer; `error` has `message`, and `code` or `type`."""
    code = code_of(error)
    names = (code or "", str(error.get("code")), as_text(error.get("type")))
    kind = next((_BY_CODE[name] for name in names if name in _BY_CODE), ModelBroke)
    return kind(
        f"the provider reports {code or 'an error'}: {source.quote(as_text(error.get('message')))}"
        f"{source.advice(kind, None)}",
        model=source.model,
        code=code,
        request_id=request_id,
        should_retry=False if code in FINAL_CODES else None,
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
    return about.startswith("include") or "Encrypted content is not supported" in said(cause)
