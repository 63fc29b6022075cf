"""A server of tools: an ASGI application for HTTP, and the same tools over stdio."""

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from assistant_kit.assistant import Assistant
from assistant_kit.errors import ConfigurationError
from assistant_kit.integrations.serving.asking import AskedAssistant
from assistant_kit.integrations.serving.contract import HEALTH, Contract
from assistant_kit.integrations.serving.desk import Desk, offered
from assistant_kit.integrations.serving.gate import LOOPBACK, Authenticate, Gate, Terms, user_of
from assistant_kit.integrations.serving.mcp_call import Context
from assistant_kit.integrations.serving.mcp_face import UserOf, mcp_face
from assistant_kit.integrations.serving.repeats import Place, Recent, Repeats
from assistant_kit.protocols.toolset import Toolset
from assistant_kit.tool_spec import ToolSpec
from assistant_kit.toolsets.functions import FunctionTools

MCP = "/mcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingSettings:
    """How tools are served. Times are in seconds, sizes in bytes.

    `hosts` are the names under which HTTP requests may ask for the server, `origins` the pages whose scripts may;
    `name:*` is a name with any port. Requests under another name are refused, as a page could send them from the
    browser of somebody who can reach this machine (DNS rebinding). `challenge` is the `WWW-Authenticate` of a refusal.

    A call may take `call_timeout`, unless its tool says less or more. `offer` chooses the tools that are offered.
    What came of a call with an idempotency key is kept for `kept`, in `repeats`: any SharedState, which workers share,
    or this process's memory. `sessions` keeps a session for each client of the old MCP protocol; without, any worker
    can answer any request, and such clients cancel by closing the connection. `extend` gets the
    server of the SDK, to add what it offers beside tools: resources, prompts.

    `state_keys` seal what callers carry between the rounds of a call whose tool asks them back: each of 32 random bytes
    at least. The first one seals, all open; workers that share callers share keys. None: a key of this process.

    Every `changes_every` seconds it is looked whether MCP clients who listen are to be told of other tools; None: they
    are not told.
    """

    version: str = "1"
    instructions: str | None = None
    hosts: Sequence[str] = LOOPBACK
    origins: Sequence[str] = ("http://127.0.0.1:*", "http://localhost:*", "http://[::1]:*")
    challenge: str = "Bearer"
    call_timeout: float = 120.0
    max_request: int = 4 * 1024 * 1024
    offer: Callable[[ToolSpec], bool] = offered
    repeats: Place | None = None
    kept: float = 86_400.0
    sessions: bool = True
    extend: Callable[[Server[Any]], None] | None = None
    state_keys: Sequence[bytes] = field(default=(), repr=False)
    changes_every: float | None = 5.0


class ToolServer:
    """Serves toolsets by the plain HTTP contract and as MCP. It is an ASGI application.

    An ASGI server that speaks the lifespan protocol (`uvicorn module:server`) connects the toolsets and disconnects
    them. Mounted in another application it is entered by that one: `async with server: …`.
    """

    def __init__(
        self,
        toolsets: Sequence[Toolset],
        *,
        name: str,
        authenticate: Authenticate | None = None,
        settings: ServingSettings | None = None,
    ) -> None:
        """Take toolsets; nothing is connected yet."""
        self.name: str = name
        self._settings = settings = settings or ServingSettings()
        repeats = Repeats(settings.repeats or Recent(clock=time.time), ttl=settings.kept)
        self._desk = Desk(toolsets, repeats=repeats, call_timeout=settings.call_timeout, offer=settings.offer)
        self._face = self._speaking(_user_of_request, sessions=settings.sessions)
        self._manager: StreamableHTTPSessionManager | None = None
        self._stack = AsyncExitStack()
        about = {"name": name, "version": settings.version}
        contract = Contract(self._desk, about, open_health=authenticate is None)
        terms = Terms(
            authenticate=authenticate,
            hosts=settings.hosts,
            origins=settings.origins,
            open_path=HEALTH,
            challenge=settings.challenge,
            max_bytes=settings.max_request,
        )
        # The routes of the contract lie below that of MCP, which is the path itself and nothing more.
        self._app = Starlette(
            routes=[*contract.routes(), Route(MCP, endpoint=_Endpoint(self._serve_mcp))],
            middleware=[Middleware(Gate, terms)],
            lifespan=self._lifespan,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or the lifespan of an ASGI server."""
        await self._app(scope, receive, send)

    async def __aenter__(self) -> Self:
        """Connect the toolsets, and take requests. Raises ToolsetError, ConfigurationError."""
        if self._manager is not None:
            raise ConfigurationError(f"the server {self.name!r} is open already")
        manager = StreamableHTTPSessionManager(
            self._face,
            stateless=not self._settings.sessions,
            max_request_body_size=self._settings.max_request,
        )
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._desk)
            await stack.enter_async_context(manager.run())
            self._stack = stack.pop_all()
        self._manager = manager
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what is being served, and disconnect the toolsets."""
        self._manager = None
        await self._stack.__aexit__(kind, error, trace)

    async def serve_stdio(self, *, user: str | None = None) -> None:
        """Serve as MCP over the pipes of this process, until its input ends; `user` is for whom.

        While it serves, what is printed goes to stderr. Raises ToolsetError.
        """
        face = self._speaking(lambda _: user, sessions=True)
        async with self._desk, stdio_server() as (incoming, outgoing):
            await face.run(incoming, outgoing, face.create_initialization_options())

    def _speaking(self, user_of: UserOf, *, sessions: bool) -> Server[Any]:
        settings = self._settings
        face = mcp_face(
            self._desk,
            name=self.name,
            version=settings.version,
            instructions=settings.instructions,
            user_of=user_of,
            state_keys=settings.state_keys,
            changes_every=settings.changes_every,
            sessions=sessions,
        )
        if settings.extend is not None:
            settings.extend(face)
        return face

    async def _serve_mcp(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._manager is None:
            await Response("not open", status_code=503)(scope, receive, send)
            return
        await self._manager.handle_request(scope, receive, send)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncGenerator[None]:
        async with self:
            yield


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """An ASGI application in the form in which a route takes it for one."""

    serve: Callable[[Scope, Receive, Send], Any]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.serve(scope, receive, send)


def _user_of_request(context: Context) -> str | None:
    request: Request | None = context.request  # streamable HTTP hands its request on
    return None if request is None else user_of(request)


def tool_server(
    tools: Sequence[Toolset | Callable[..., Any]],
    *,
    name: str,
    authenticate: Authenticate | None = None,
    settings: ServingSettings | None = None,
) -> ToolServer:
    """Serve tools to other programs, by the plain HTTP contract and as MCP: functions and toolsets.

    `authenticate` tells from a request who asks, and None refuses it; without it anybody who reaches the server may
    call its tools, for nobody in particular. Raises InvalidTool, DuplicateTool.
    """
    functions = [tool for tool in tools if callable(tool)]
    toolsets = [tool for tool in tools if not callable(tool)]
    given: list[Toolset] = [FunctionTools(functions)] if functions else []
    return ToolServer([*given, *toolsets], name=name, authenticate=authenticate, settings=settings)


def assistant_server(
    assistant: Assistant[Any],
    *,
    description: str,
    ask: str = "ask",
    authenticate: Authenticate | None = None,
    settings: ServingSettings | None = None,
) -> ToolServer:
    """Serve an assistant to other programs: a tool named `ask` that asks it, and the tools that it uses itself.

    `description` says to the models of others what it can be asked. Who asks is told by `authenticate`, and over stdio
    by `serve_stdio(user=…)`; without a user each question stands alone. The server opens and closes the assistant.
    """
    toolset = AskedAssistant(assistant, ask=ask, description=description)
    return ToolServer([toolset], name=toolset.name, authenticate=authenticate, settings=settings)
