"""A tool server: its tools behind a door that only orchestrators pass, and how it fares."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self, TextIO

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup
from sqlalchemy.engine import URL
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from assistant_kit import PostgresIndex, SQLiteIndex, ToolContext
from assistant_kit.artifact_stores import make_artifact_store
from assistant_kit.artifact_stores.encrypted import EncryptedArtifactStore
from assistant_kit.integrations.serving import ServingSettings, tool_server
from assistant_kit.messages import JsonObject
from assistant_kit.protocols.search_index import SearchIndex
from assistant_kit.protocols.toolset import ToolOutput, Toolset, ToolsetHealth
from assistant_kit.shared_states.redis import RedisState
from assistant_kit.tool_spec import ToolSpec
from examples.flask_demo.environment import SettingsError
from examples.flask_demo.rotation import rotate_users
from examples.flask_demo.service_tokens import KeysUnavailable, TokenRefused, Verifier, bearer
from examples.flask_demo.tables import database_at, engine_at, is_sqlite, plain
from examples.flask_demo.tool_servers.calendar import Calendar, calendar_tools
from examples.flask_demo.tool_servers.notes import Notes, notes_tools
from examples.flask_demo.tool_servers.search import Handbook
from examples.flask_demo.tool_servers.settings import Settings
from examples.flask_demo.tool_servers.user_data import UserData, UserDoor

AUDIENCE: Final = "tools"
NAMES: Final = ("calendar", "notes", "search")
EVERY: Final = 5.0
"""Seconds between two looks at what a server depends on."""
_PATIENCE: Final = 3.0  # seconds for one look
_COLOURS: Final = ("", "-blue", "-green")
_LOOPBACK: Final = ServingSettings().hosts
_log = logging.getLogger("web.tools")
Ask = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The tools of a server. It is opened and closed with them; `dependencies` raise when they do not answer.

    `user_data` is what it keeps of users and nobody else erases. `rotate` puts it under the newest master key, says how
    that went, and tells whether all is well.
    """

    name: str
    toolset: Toolset
    dependencies: Mapping[str, Ask]
    open: Ask
    close: Ask
    user_data: UserData | None = None
    rotate: Callable[[TextIO], Awaitable[bool]] | None = None


class Watched:
    """A toolset whose health is that of what it depends on."""

    def __init__(self, service: Service, *, every: float = EVERY) -> None:
        """Take what is watched, and how often in seconds."""
        self.name: str = service.name
        self._service = service
        self._every = every
        self._failing: tuple[str, ...] = ()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open the service, and begin to look."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(_closed, self._service)
            await self._service.open()
            await stack.enter_async_context(self._service.toolset)
            group: TaskGroup = await stack.enter_async_context(anyio.create_task_group())
            group.start_soon(self._watch)
            stack.callback(group.cancel_scope.cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop looking, and close the service."""
        await self._stack.__aexit__(kind, error, trace)

    async def tools(self) -> Sequence[ToolSpec]:
        """Return the tools."""
        return await self._service.toolset.tools()

    async def call(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        """Call one."""
        return await self._service.toolset.call(name, arguments, context)

    def health(self) -> ToolsetHealth:
        """Return how it was at the last look."""
        reason = f"no answer from: {', '.join(self._failing)}" if self._failing else ""
        return ToolsetHealth(toolset=self.name, available=not self._failing, reason=reason)

    async def _watch(self) -> None:
        while True:
            self._failing = tuple(name for name, state in (await states_of(self._service)).items() if state != "ok")
            await anyio.sleep(self._every)


async def states_of(service: Service) -> Mapping[str, str]:
    """Return how each dependency is now: ok or unavailable."""
    found: dict[str, str] = {}

    async def look(name: str, ask: Ask) -> None:
        found[name] = "unavailable"
        with anyio.move_on_after(_PATIENCE):
            try:
                await ask()
            except Exception:  # noqa: BLE001  (any failure of it means that it is not there)
                _log.warning("%s does not answer", name, exc_info=True)
                return
            found[name] = "ok"

    async with anyio.create_task_group() as group:
        for name, ask in service.dependencies.items():
            group.start_soon(look, name, ask)
    return found


def make_service(name: str, settings: Settings) -> Service:
    """Return the tools of a server by its name. Raises SettingsError, AssistantKitError."""
    makers: Mapping[str, Callable[[Settings], Service]] = {
        "calendar": _calendar,
        "notes": _notes,
        "search": _search,
    }
    return makers[name](settings)


def make_server(service: Service, settings: Settings, verifier: Verifier | None = None) -> UserDoor:
    """Return the ASGI application. Raises ConfigurationError."""
    known = verifier or Verifier(settings.jwks_url, issuer=settings.token_issuer, audience=AUDIENCE)

    async def authenticate(connection: HTTPConnection) -> str | None:
        try:
            return (await known.verify(bearer(connection.headers.get("authorization")))).user
        except TokenRefused:
            return None
        except KeysUnavailable as error:
            _log.warning("nobody can be told from anybody: %s", error)
            return None

    tools = tool_server(
        [Watched(service)],
        name=service.name,
        authenticate=authenticate,
        settings=ServingSettings(
            hosts=(*_LOOPBACK, *(f"{service.name}{colour}:*" for colour in _COLOURS), *settings.hosts),
            repeats=RedisState(settings.redis_url) if settings.redis_url else None,
        ),
    )
    return UserDoor(tools, authenticate, service.user_data)


def make_admin(service: Service, counted: Callable[[], str]) -> Starlette:
    """Return the application for operators: /health, /ready, /metrics."""

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_: Request) -> Response:
        found = await states_of(service)
        well = all(state == "ok" for state in found.values())
        return JSONResponse({"status": "ok" if well else "unavailable", "dependencies": found}, 200 if well else 503)

    async def metrics(_: Request) -> Response:
        return PlainTextResponse(counted(), media_type="text/plain; version=0.0.4")

    return Starlette(routes=[Route("/health", health), Route("/ready", ready), Route("/metrics", metrics)])


@dataclass(slots=True)
class Counted:
    """Stands around an application and counts its answers."""

    app: Any
    answers: dict[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer, and count by path and status."""

        async def noted(message: Any) -> None:
            if message["type"] == "http.response.start":
                key = (scope["path"] if message["status"] != 404 else "other", message["status"])  # noqa: PLR2004  (HTTP)
                self.answers[key] = self.answers.get(key, 0) + 1
            await send(message)

        await self.app(scope, receive, noted if scope["type"] == "http" else send)

    def text(self) -> str:
        """Return the counts in the format of Prometheus."""
        lines = ["# HELP web_requests_total Requests by route and status.", "# TYPE web_requests_total counter"]
        for (path, status), number in sorted(self.answers.items()):
            lines.append(f'web_requests_total{{route="{path}",status="{status}"}} {number}')
        return "\n".join([*lines, ""])


def _calendar(settings: Settings) -> Service:
    calendar = Calendar(engine_at(_database(settings), "calendar"))

    async def export(user: str) -> Sequence[JsonObject]:
        return [event.model_dump(mode="json") for event in await to_thread.run_sync(calendar.all, user)]

    return Service(
        name="calendar",
        user_data=UserData(erase=lambda user: to_thread.run_sync(calendar.erase, user), export=export),
        toolset=calendar_tools(calendar),
        dependencies={"database": lambda: to_thread.run_sync(calendar.ping, abandon_on_cancel=True)},
        open=lambda: to_thread.run_sync(calendar.open),
        close=lambda: to_thread.run_sync(calendar.close),
    )


def _notes(settings: Settings) -> Service:
    if not settings.files_url:
        raise SettingsError("FILES_URL is missing: set it to file:///folder or s3://bucket/prefix")
    if settings.master_keys is None:
        raise SettingsError(
            "MASTER_KEYS is missing: set it to what `… flask_demo.orchestrator keys` prints, not to its"
        )
    kept = make_artifact_store(f"{settings.files_url.rstrip('/')}/notes")  # the rest is the orchestrators'
    artifacts = EncryptedArtifactStore(kept, settings.master_keys)
    notes = Notes(engine_at(_database(settings), "notes"), artifacts)

    async def export(user: str) -> Sequence[JsonObject]:
        return [{"id": kept.name, **kept.data} async for kept in notes.export(user)]

    async def close() -> None:
        await to_thread.run_sync(notes.close)
        await artifacts.aclose()

    async def rotate(out: TextIO) -> bool:
        await to_thread.run_sync(notes.open)
        return await rotate_users(await to_thread.run_sync(notes.users), [artifacts], out)

    return Service(
        name="notes",
        user_data=UserData(erase=notes.erase, export=export),
        rotate=rotate,
        toolset=notes_tools(notes),
        dependencies={
            "database": lambda: to_thread.run_sync(notes.ping, abandon_on_cancel=True),
            "files": artifacts.check,
        },
        open=lambda: to_thread.run_sync(notes.open),
        close=close,
    )


def _search(settings: Settings) -> Service:
    handbook = Handbook(_index(_database(settings)))
    return Service(
        name="search",
        toolset=handbook.search(),
        dependencies={"index": handbook.ping},
        open=handbook.open,
        close=handbook.close,
    )


def _database(settings: Settings) -> URL:
    if not settings.database_url:
        raise SettingsError("DATABASE_URL is missing: set it to sqlite:///file or postgresql://…")
    return database_at(settings.database_url)


def _index(url: URL) -> SearchIndex:
    if is_sqlite(url):
        return SQLiteIndex(f"{url.database}.handbook")
    return PostgresIndex(plain(url), schema="web_handbook")


async def _closed(service: Service) -> None:
    with anyio.CancelScope(shield=True), anyio.move_on_after(_PATIENCE):
        await service.close()
