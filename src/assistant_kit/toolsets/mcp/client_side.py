"""What an application answers to an MCP server that asks back, and what it hears of the server's log."""

import json
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict

from mcp import Client, MCPError
from mcp.client.session import ClientRequestContext, ElicitationFnT, ListRootsFnT, LoggingFnT, SamplingFnT
from mcp.types import (
    INTERNAL_ERROR,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequestParams,
    ElicitResult,
    EmptyResult,
    ErrorData,
    ListRootsResult,
    LoggingLevel,
    LoggingMessageNotificationParams,
    Root,
    SetLevelRequest,
    SetLevelRequestParams,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import FileUrl

from assistant_kit.toolsets.mcp.asker import Asker, asker
from assistant_kit.toolsets.mcp.elicitation import Elicit, elicited
from assistant_kit.toolsets.mcp.sampling import Sampler, Sampling

LONGEST = 2000  # characters of a server's log line that are kept
_tools_log = logging.getLogger("assistant_kit.tools")
_server_log = logging.getLogger("assistant_kit.mcp")
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "notice": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

Roots: TypeAlias = Sequence[str | Path] | Callable[[Asker], Sequence[str | Path]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLog:
    """A line of a server's log. `data` is the server's text, or what it sent as JSON, on one line and cut."""

    server: str
    level: LoggingLevel
    logger: str | None
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MCPClient:
    """What the application answers to a server: `MCPServer(…, client=MCPClient(…))`.

    What is None is not offered, and a server that asks for it nevertheless is refused. `roots` are the folders that
    the server is to work in, or a function that names them. `elicitation` puts a question to the person who uses the
    application, `sampling` lets the server ask a model. `log_level` asks for the lines of the server's log from that
    level on: they go to the logger `assistant_kit.mcp`, and to `log`.
    """

    roots: Roots | None = None
    elicitation: Elicit | None = None
    sampling: Sampling | None = None
    log: Callable[[ServerLog], None] | None = None
    log_level: Literal["debug", "info", "notice", "warning", "error"] | None = None


class Callbacks(TypedDict, total=False):
    """What the SDK's client is given. What is missing is not declared to the server."""

    list_roots_callback: ListRootsFnT
    elicitation_callback: ElicitationFnT
    sampling_callback: SamplingFnT
    logging_callback: LoggingFnT
    log_level: LoggingLevel


def callbacks(client: MCPClient, server: str, user: str | None) -> Callbacks:
    """Make what answers for an application over the connection of a user."""
    found: Callbacks = {}
    if client.roots is not None:
        found["list_roots_callback"] = _roots_of(client.roots, server, user)
    if client.elicitation is not None:
        found["elicitation_callback"] = _elicitation_of(client.elicitation, server, user)
    if client.sampling is not None:
        found["sampling_callback"] = _sampling_of(client.sampling, server, user)
    if client.log_level is not None:
        found["log_level"] = client.log_level
        found["logging_callback"] = _log_of(client, server)
    return found


async def ask_for_log(client: Client, asked: Callbacks) -> None:
    """Ask a server of the older protocol for its log; in the newer one each request does."""
    level = asked.get("log_level")
    offered = client.server_capabilities.logging is not None
    if level is None or not offered or client.protocol_version in MODERN_PROTOCOL_VERSIONS:
        return
    with suppress(MCPError):
        # Deprecated is the method of the older protocol (SEP-2577), which its servers go by.
        await client.session.send_request(SetLevelRequest(params=SetLevelRequestParams(level=level)), EmptyResult)


def _roots_of(roots: Roots, server: str, user: str | None) -> ListRootsFnT:
    async def list_roots(context: ClientRequestContext) -> ListRootsResult | ErrorData:  # noqa: ARG001  (as the SDK calls it)
        try:
            folders = roots(asker(server, user)) if callable(roots) else roots
            return ListRootsResult(roots=[_root(Path(folder)) for folder in folders])
        except Exception as error:  # noqa: BLE001  (of the application's function: the server learns that there is none)
            return _failed(server, "roots", error)

    return list_roots


def _root(folder: Path) -> Root:
    return Root(uri=FileUrl(folder.absolute().as_uri()), name=folder.name)


def _elicitation_of(elicit: Elicit, server: str, user: str | None) -> ElicitationFnT:
    async def answer(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult | ErrorData:  # noqa: ARG001  (as the SDK calls it)
        try:
            return await elicited(params, asker(server, user), elicit)
        except Exception as error:  # noqa: BLE001  (of the application's function: the server learns that there is none)
            return _failed(server, "elicitation", error)

    return answer


def _sampling_of(sampling: Sampling, server: str, user: str | None) -> SamplingFnT:
    sampler = Sampler(sampling)

    async def answer(
        context: ClientRequestContext,  # noqa: ARG001  (as the SDK calls it)
        params: CreateMessageRequestParams,
    ) -> CreateMessageResult | ErrorData:
        try:
            return await sampler.answer(params, asker(server, user))
        except Exception as error:  # noqa: BLE001  (of a model or of the application: the server learns that there is none)
            return _failed(server, "sampling", error)

    return answer


def _failed(server: str, what: str, error: Exception) -> ErrorData:
    _tools_log.error("%s asked for %s, and there is no answer: %s", server, what, type(error).__name__, exc_info=error)
    return ErrorData(code=INTERNAL_ERROR, message=f"the client cannot answer this request for {what}")


def _log_of(client: MCPClient, server: str) -> LoggingFnT:
    async def hear(params: LoggingMessageNotificationParams) -> None:
        line = ServerLog(server=server, level=params.level, logger=params.logger, data=_one_line(params.data))
        _server_log.log(_LEVELS.get(params.level, logging.CRITICAL), "%s: %s", server, line.data)
        if client.log is not None:
            client.log(line)

    return hear


def _one_line(data: Any) -> str:
    """Write what a server logs so that it cannot look like a line of another."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return "".join(sign if sign.isprintable() else " " for sign in text[:LONGEST])
