"""The tools that the assistant has, and calling one by hand."""

import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Any, Final

import anyio
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from assistant_kit import InvalidArguments, OutcomeUnknown, ToolContext, ToolError, ToolOutput, guarded
from assistant_kit.deadline import Deadline
from assistant_kit.messages import Json, text_of
from assistant_kit.protocols.policy import Call
from assistant_kit.protocols.toolset import PerUserToolset, Toolset
from assistant_kit.tool_spec import Keyed, ToolSpec
from examples.flask_demo.orchestrator.access import Parts, Reader, RequestKey, Writer
from examples.flask_demo.orchestrator.errors import Forbidden, Invalid, NotFound, Unavailable, documented
from examples.flask_demo.orchestrator.service import Service
from examples.flask_demo.orchestrator.tool_servers import ToolServer

router = APIRouter(prefix="/api/v1/tools", tags=["tools"], responses=documented(401, 403, 404, 422, 429, 503))
_PATIENCE: Final = 30.0  # seconds for a call
_MOST_ARGUMENTS: Final = 50


class CallIn(BaseModel):
    """A call of a tool. One that needs approval is made only if the request says that it is approved."""

    model_config = ConfigDict(extra="forbid")
    arguments: Annotated[dict[str, Any], Field(max_length=_MOST_ARGUMENTS)] = {}
    approved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A tool, and who has it."""

    toolset: Toolset
    spec: ToolSpec

    def json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        spec = self.spec
        return {
            "id": spec.name,
            "name": spec.name,
            "description": spec.description,
            "input_schema": spec.parameters,
            "effect": "keyed" if isinstance(spec.effect, Keyed) else spec.effect,
            "server": self.toolset.name if spec.server else "orchestrator",
            "available": True,
            "approval": spec.needs_approval,
        }


@router.get("")
async def list_tools(user: Reader, parts: Parts) -> dict[str, Any]:
    """List the tools on offer now, and say how their servers are."""
    servers: dict[str, str] = {}

    async def ask(server: ToolServer) -> None:
        health = await server.check(user)
        servers[server.name] = "ok" if health.available else "down"

    async with anyio.create_task_group() as group:
        for server in parts.tool_servers:
            group.start_soon(ask, server)
    return {
        "tools": [offered.json() for offered in await offers(parts, user)],
        "servers": [{"name": name, "status": servers[name]} for name in sorted(servers)],
    }


@router.post("/{tool}/execute")
async def execute(user: Writer, parts: Parts, tool: str, given: CallIn, key: RequestKey) -> dict[str, Any]:
    """Call a tool for the user. The same call again under its key is made once by the tool's server."""
    await parts.limits.count("tool_calls", user)
    found = next((one for one in await offers(parts, user) if one.spec.name == tool), None)
    if found is None:
        raise NotFound("there is no such tool, or its server is down")
    if found.spec.needs_approval and not given.approved:
        raise Forbidden('this tool asks for approval: show the user what it is to do, then send "approved": true')
    context = _context(user, tool, key, given.arguments)

    async def call() -> ToolOutput:
        with anyio.fail_after(_PATIENCE):
            return await found.toolset.call(tool, given.arguments, context)

    made = Call(kind="tool", name=tool, upstream=found.spec.server, user=user, deadline=context.deadline)
    try:
        output = await guarded(call, *parts.policies, name=tool, effect=found.spec.effect, call=made)
    except InvalidArguments as error:
        raise Invalid(str(error)) from error
    except (OutcomeUnknown, TimeoutError) as error:
        raise Unavailable("nobody can tell whether it took effect: send it again under the same key") from error
    except ToolError as error:
        return {"ok": False, "text": str(error)}
    return {"ok": not output.is_error, "text": text_of(output.content)}


async def offers(parts: Service, user: str) -> list[Offered]:
    """Return the tools that a user can use now."""
    found: list[Offered] = []
    for toolset in parts.toolsets:
        tools = (await toolset.tools_for(user)).tools if isinstance(toolset, PerUserToolset) else await toolset.tools()
        found += [Offered(toolset=toolset, spec=spec) for spec in tools]
    return found


def _context(user: str, tool: str, key: str, arguments: dict[str, Json]) -> ToolContext:
    said = json.dumps([user, key, tool, arguments], sort_keys=True)
    digest = hashlib.sha256(said.encode(errors="replace")).hexdigest()
    return ToolContext(
        user=user,
        conversation=None,
        call_id=f"by-hand-{digest[:16]}",
        tool=tool,
        idempotency_key=digest,
        deadline=Deadline.after(_PATIENCE, now=anyio.current_time()),
    )
