"""A server of the HTTP contract in this process, which answers as told; it needs no time but what it is told."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import httpx2

from assistant_kit.toolsets.http_tools import HTTPTools

ADD: dict[str, Any] = {
    "name": "add",
    "description": "Add two numbers.",
    "input_schema": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    },
}
Answer: TypeAlias = httpx2.Response | Exception | Callable[[], Awaitable[httpx2.Response]]


@dataclass
class ScriptedServer:
    """`listings`, `answers` and `healths` are given in turn, the last one again and again."""

    listings: list[Answer] = field(default_factory=lambda: [listing(ADD)])
    answers: list[Answer] = field(default_factory=lambda: [ok("3")])
    healths: list[Answer] = field(default_factory=lambda: [httpx2.Response(200)])
    requests: list[httpx2.Request] = field(default_factory=list[httpx2.Request])

    async def handle(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        self.requests.append(request)
        path = request.url.path
        script = self.healths
        if path.endswith("/mcp/discover"):
            script = self.listings
        elif path.endswith("/mcp/execute"):
            script = self.answers
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx2.Response):
            # An answer that is given again must not have been read.
            return httpx2.Response(answer.status_code, headers=answer.headers, content=answer.content)
        return await answer()

    def tools(self, **options: Any) -> HTTPTools:
        return HTTPTools("http://tools.test/base/?version=1", transport=httpx2.MockTransport(self.handle), **options)

    def made(self, end: str) -> list[httpx2.Request]:
        return [request for request in self.requests if request.url.path.endswith(end)]


def listing(*tools: Any, headers: Mapping[str, str] | None = None) -> httpx2.Response:
    return httpx2.Response(200, json={"server": {"name": "scripted"}, "tools": list(tools)}, headers=headers)


def ok(result: Any) -> httpx2.Response:
    return httpx2.Response(200, json={"ok": True, "result": result})


def failed(status: int, kind: str, message: str = "no", **headers: str) -> httpx2.Response:
    error = {"type": kind, "message": message, "retryable": False}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.Response(status, json={"ok": False, "error": error}, headers=named)
