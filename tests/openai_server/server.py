"""The server that tests start: in a thread with a loop of its own, so that asyncio, trio and plain tests can use it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeAlias, cast

from .chat_wire import ChatWire
from .connection import Connection, HTTPRequest
from .delivery import Delivery
from .quirks import llama_cpp_chat, llama_cpp_responses
from .replies import JSON, OK, Reply, Status
from .responses_wire import ResponsesWire
from .strict import Problem, Route, find_problem
from .wire import Ids, Wire, error_body, without_changes

ROUTES: Mapping[str, Route] = {"/v1/responses": "responses", "/v1/chat/completions": "chat"}
_STARTUP_SECONDS = 10.0


def _fault(code: str, message: str) -> Status:
    return Status(500, error_body(message, kind="server_error", code=code), {"x-should-retry": "false"})


_SCRIPT_END = _fault("script_end", "the test server's script has come to its end")


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What kind of provider the server is."""

    strict: bool = True
    """Refuse what OpenAI refuses, with 400 and an error object."""
    responses: bool = True
    """False: no such route; 404 with a body that is not JSON."""
    chat: bool = True
    quirks: bool = False
    """Answer as llama.cpp does."""
    api_key: str | None = None
    """The key that must be presented; None takes any."""
    one_write_an_event: bool = False
    """Send each event in a write of its own instead of as many as there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One recorded request."""

    route: Route | None
    path: str
    headers: Mapping[str, str]
    raw: bytes
    body: JSON
    """The JSON of the body; empty if it is not an object."""
    problem: Problem | None = None
    """Why it was refused, if it was."""

    @property
    def streamed(self) -> bool:
        """Whether events were asked for."""
        return self.body.get("stream") is True


Script: TypeAlias = Callable[[Request], Reply]


class OpenAIServer:
    """An OpenAI-compatible server on loopback.

    ```python
    with OpenAIServer() as server:
        server.script([Answer(tool_calls=(Call("weather"),)), Answer("Rain.")])
        client = AsyncOpenAI(base_url=server.base_url, api_key="test", max_retries=0)
        ...
        assert server.requests[0].route == "responses"
    ```
    Without a script every request gets `Answer("ok")`; when a script has come to its end, requests get a 500.
    """

    def __init__(self, behaviour: Behaviour = Behaviour(), *, script: Script | None = None, port: int = 0) -> None:
        self._behaviour = behaviour
        self._script: Script = script or (lambda _: OK)
        self._requested_port = port
        self._ids = Ids(prefixed=not behaviour.quirks)
        quirky = behaviour.quirks
        self._wires: Mapping[Route, Wire] = {
            "responses": ResponsesWire(self._ids, llama_cpp_responses if quirky else without_changes),
            "chat": ChatWire(self._ids, llama_cpp_chat if quirky else without_changes),
        }
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._connections: list[Connection] = []
        self._started = threading.Event()
        self._left = threading.Condition()
        self._left_count = 0
        self._released: asyncio.Event | None = None
        self._stop: asyncio.Event | None = None
        self.port = 0
        self.requests: list[Request] = []
        """Every request so far, in the order of arrival."""
        self.faults: list[Exception] = []
        """What a scripted function raised; the first one is raised again when the server is left."""

    @property
    def base_url(self) -> str:
        """What `AsyncOpenAI(base_url=...)` takes."""
        return f"http://127.0.0.1:{self.port}/v1"

    def script(self, replies: Iterable[Reply] | Script) -> None:
        """Say what to answer from now on: one reply a request in order, or a function of the request."""
        if callable(replies):
            self._script = replies
            return
        queue = deque(replies)

        def next_reply(_: Request) -> Reply:
            return queue.popleft() if queue else _SCRIPT_END

        self._script = next_reply

    def release(self) -> None:
        """End every `Hang`, those to come as well."""
        if self._loop is not None and self._released is not None:
            self._loop.call_soon_threadsafe(self._released.set)

    def wait_for_departures(self, count: int, timeout: float) -> bool:
        """Wait until that many clients have left before their answer was sent; False after `timeout` seconds."""
        with self._left:
            return self._left.wait_for(lambda: self._left_count >= count, timeout)

    def __enter__(self) -> Self:
        """Start the thread and wait until the port is open."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self.serve()), name="openai-server", daemon=True)
        self._thread.start()
        if not self._started.wait(_STARTUP_SECONDS):
            raise TimeoutError("the test server did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Drop every connection, stop the thread, and raise what a scripted function raised."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join(_STARTUP_SECONDS)
        if error is None and self.faults:
            raise self.faults[0]

    async def serve(self, announce: Callable[[str], None] | None = None) -> None:
        """Serve until stopped; `announce` is told the base URL once the port is open."""
        self._loop, self._released, self._stop = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        listener = await self._loop.create_server(self._connection, "127.0.0.1", self._requested_port)
        self.port = listener.sockets[0].getsockname()[1]
        self._started.set()
        if announce is not None:
            announce(self.base_url)
        try:
            await self._stop.wait()
        finally:
            listener.close()
            for connection in self._connections:
                connection.drop()
            await asyncio.sleep(0)  # the loop tells the connections

    def _connection(self) -> Connection:
        self._connections = [known for known in self._connections if not known.left.is_set()]
        self._connections.append(Connection(self._handle))
        return self._connections[-1]

    async def _handle(self, http: HTTPRequest, connection: Connection) -> None:
        request = self._record(http)
        delivery = self._delivery(request, connection)
        if request.route is None:
            delivery.body(404, b"<html><body>404 page not found</body></html>", "text/html")
        elif request.problem is not None:
            delivery.json(request.problem.status, _refusal(request.problem))
        else:
            await self._reply(request, delivery)
        if connection.left.is_set():
            with self._left:
                self._left_count += 1
                self._left.notify_all()

    async def _reply(self, request: Request, delivery: Delivery) -> None:
        try:
            reply = self._script(request)
        except Exception as error:  # noqa: BLE001 - leaving the server raises it in the test
            self.faults.append(error)
            reply = _fault("script_fault", f"the test server's script failed: {error!r}")
        await delivery.send(reply)

    def _delivery(self, request: Request, connection: Connection) -> Delivery:
        assert self._released is not None
        headers = {} if self._behaviour.quirks else {"x-request-id": self._ids.new("req")}
        return Delivery(
            connection=connection,
            wire=self._wires[request.route or "chat"],
            request=request.body,
            released=self._released,
            headers=headers,
            one_write_an_event=self._behaviour.one_write_an_event,
        )

    def _record(self, http: HTTPRequest) -> Request:
        route = self._route(http)
        body, problem = _parse(http.body)
        if route is not None:
            problem = self._unauthorised(http) or problem
            if problem is None and self._behaviour.strict:
                problem = find_problem(route, body)
        request = Request(route=route, path=http.path, headers=http.headers, raw=http.body, body=body, problem=problem)
        self.requests.append(request)
        return request

    def _route(self, http: HTTPRequest) -> Route | None:
        route = ROUTES.get(http.path) if http.method == "POST" else None
        served = {"responses": self._behaviour.responses, "chat": self._behaviour.chat}
        return route if route is not None and served[route] else None

    def _unauthorised(self, http: HTTPRequest) -> Problem | None:
        key = self._behaviour.api_key
        if key is None or http.headers.get("authorization") == f"Bearer {key}":
            return None
        return Problem("Incorrect API key provided.", status=401, code="invalid_api_key")


def _parse(raw: bytes) -> tuple[JSON, Problem | None]:
    problem = Problem("We could not parse the JSON body of your request.")
    try:
        value: object = json.loads(raw)
    except ValueError:
        return {}, problem
    return (cast("dict[str, Any]", value), None) if isinstance(value, dict) else ({}, problem)


def _refusal(problem: Problem) -> JSON:
    return error_body(problem.message, kind="invalid_request_error", code=problem.code, param=problem.param)
