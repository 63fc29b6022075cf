"""The plain HTTP contract, served: `GET /mcp/discover`, `POST /mcp/execute`, `GET /health`."""

import json
import logging
from collections.abc import Generator
from contextlib import contextmanager
from hashlib import sha256
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

import anyio
from opentelemetry import context as tracing
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from assistant_kit.errors import AssistantKitError
from assistant_kit.integrations.serving import outcomes
from assistant_kit.integrations.serving.desk import Desk, Found
from assistant_kit.integrations.serving.gate import user_of
from assistant_kit.integrations.serving.outcomes import Outcome, Problem, problem
from assistant_kit.messages import Json, JsonObject, text_of
from assistant_kit.toolsets.http_tools.content import to_wire

_log = logging.getLogger("assistant_kit.serving")
DISCOVER: Final = "/mcp/discover"
EXECUTE: Final = "/mcp/execute"
HEALTH: Final = "/health"

_TRACE = TraceContextTextMapPropagator()
_STATUS: Final[dict[Problem | None, HTTPStatus]] = {
    None: HTTPStatus.OK,
    "tool_error": HTTPStatus.OK,
    "invalid_arguments": HTTPStatus.UNPROCESSABLE_ENTITY,
    "unknown_tool": HTTPStatus.NOT_FOUND,
    "key_reused": HTTPStatus.CONFLICT,
    "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "timeout": HTTPStatus.GATEWAY_TIMEOUT,
    "outcome_unknown": HTTPStatus.GATEWAY_TIMEOUT,
    "internal_error": HTTPStatus.INTERNAL_SERVER_ERROR,
}


class _Call(BaseModel):
    """The body of a call. Fields that are not known are let be: a later version may have them."""

    model_config = ConfigDict(strict=True)

    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict[str, Any])
    call_id: str = ""
    timeout: float | None = None


class Contract:
    """Serves a desk by the contract; `about` is what the server says of itself: name and version."""

    def __init__(self, desk: Desk, about: JsonObject, *, open_health: bool) -> None:
        """Take the desk. `open_health`: anybody may see how its toolsets fare, not only whom the gate knows."""
        self._desk = desk
        self._about = about
        self._open_health = open_health

    def routes(self) -> list[Route]:
        """Return the routes, which stand beside MCP's own."""
        return [
            Route(DISCOVER, self.discover, methods=["GET"]),
            Route(EXECUTE, self.execute, methods=["POST"]),
            Route(HEALTH, self.health, methods=["GET"]),
        ]

    async def discover(self, request: Request) -> Response:
        """List the tools; nothing but the status when the caller has that list already."""
        try:
            tools = await self._desk.tools(user_of(request))
        except AssistantKitError:
            _log.exception("the tools cannot be listed")
            return _answer(problem("unavailable", "The tools cannot be listed at present."))
        document: JsonObject = {"server": self._about, "tools": [_described(found) for found in tools.values()]}
        body = json.dumps(document, ensure_ascii=False).encode(errors="replace")
        etag = f'"{sha256(body).hexdigest()[:32]}"'
        headers = {"etag": etag, "cache-control": "private, no-cache"}
        if etag in (mark.strip() for mark in request.headers.get("if-none-match", "").split(",")):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(body, media_type="application/json", headers=headers)

    async def execute(self, request: Request) -> Response:
        """Make a call; it is cancelled when its caller goes away."""
        try:
            asked = _Call.model_validate(from_json(await request.body(), allow_inf_nan=False))
        except ClientDisconnect:
            return Response(status_code=HTTPStatus.BAD_REQUEST)  # nobody reads it
        except ValidationError as error:
            return _answer(problem("invalid_arguments", _places(error)), status=HTTPStatus.BAD_REQUEST)
        except ValueError:
            return _answer(problem("invalid_arguments", "The body is no JSON."), status=HTTPStatus.BAD_REQUEST)
        call = outcomes.Request(
            tool=asked.tool,
            arguments=asked.arguments,
            call_id=asked.call_id or uuid4().hex,
            user=user_of(request),
            key=request.headers.get("idempotency-key") or None,
            timeout=asked.timeout,
        )
        outcome = problem("outcome_unknown", outcomes.UNKNOWN)  # for a caller who has gone away
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_until_gone, request, tasks.cancel_scope)
            with _traced(request):
                outcome = await self._desk.call(call)
            tasks.cancel_scope.cancel()
        return _answer(outcome)

    async def health(self, request: Request) -> Response:
        """Tell how the server fares; which toolsets do not is told to those who may use them."""
        conditions = self._desk.health()
        well = all(condition.available for condition in conditions)
        body: dict[str, Json] = {"ok": well, "status": "ok" if well else "degraded", "server": self._about}
        if self._open_health or user_of(request) is not None:
            body["dependencies"] = {
                condition.toolset: {"ok": condition.available, "reason": condition.reason} for condition in conditions
            }
        return JSONResponse(body)


@contextmanager
def _traced(request: Request) -> Generator[None]:
    """Make what is traced inside a part of the caller's trace."""
    token = tracing.attach(_TRACE.extract(request.headers))
    try:
        yield
    finally:
        tracing.detach(token)


async def _until_gone(request: Request, scope: anyio.CancelScope) -> None:
    await request.receive()  # the body has been read: what comes now is that the caller has gone
    scope.cancel()


def _answer(outcome: Outcome, *, status: HTTPStatus | None = None) -> Response:
    content: list[JsonObject] = to_wire(outcome.content)
    body: JsonObject = {"ok": True, "content": content}
    if outcome.problem is not None:
        error: JsonObject = {
            "type": outcome.problem,
            "message": text_of(outcome.content),
            "retryable": outcome.retryable,
        }
        body = {"ok": False, "error": error, "content": content}
    headers = {} if outcome.retry_after is None else {"retry-after": f"{max(1, round(outcome.retry_after))}"}
    data = json.dumps(body, ensure_ascii=False).encode(errors="replace")
    code = _STATUS[outcome.problem] if status is None else status
    return Response(data, status_code=code, media_type="application/json", headers=headers)


def _described(found: Found) -> JsonObject:
    spec = found.spec
    return {
        "name": spec.name,
        "description": spec.description,
        "input_schema": spec.parameters,
        "annotations": {"readOnlyHint": spec.effect == "read", "idempotentHint": found.idempotent},
    }


def _places(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in problems)
