"""Questions of an MCP server to the person who uses the application: a form to fill in, or a page to open."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast
from urllib.parse import urlsplit

from mcp.types import ElicitRequestFormParams, ElicitRequestParams, ElicitRequestURLParams, ElicitResult

from assistant_kit.messages import JsonObject
from assistant_kit.toolsets._schemas import SchemaCheck
from assistant_kit.toolsets.mcp.asker import Asker
from assistant_kit.toolsets.mcp.patience import while_a_person_decides

FormValue: TypeAlias = str | int | float | bool | list[str]
_log = logging.getLogger("assistant_kit.tools")


@dataclass(frozen=True, slots=True, kw_only=True)
class Elicitation:
    """A question: `message` is the server's, for a person to read.

    With `schema` it is a form, whose fields are the properties of that JSON schema, all plain values. With `url` it is
    a page that the person may open in a browser of their own: never fetch it, and show its whole address before. Never
    ask for a password or a key by a form.
    """

    asker: Asker
    message: str
    schema: JsonObject | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the person did: `accept` (with the `content` of a form), `decline`, or `cancel`, which says neither."""

    action: Literal["accept", "decline", "cancel"]
    content: Mapping[str, FormValue] = field(default_factory=dict[str, FormValue])


Elicit: TypeAlias = Callable[[Elicitation], Awaitable[Reply]]
"""Puts a question to a person. It may take its time; what waits for it is bounded elsewhere."""


async def elicited(params: ElicitRequestParams, asker: Asker, elicit: Elicit) -> ElicitResult:
    """Put a server's question to the person, and return the answer: only one that fits the form goes out."""
    if isinstance(params, ElicitRequestURLParams):
        if not _may_be_shown(params.url):
            return ElicitResult(action="decline")
        with while_a_person_decides():
            reply = await elicit(Elicitation(asker=asker, message=params.message, url=params.url))
        return ElicitResult(action=reply.action)
    with while_a_person_decides():
        reply = await elicit(Elicitation(asker=asker, message=params.message, schema=params.requested_schema))
    if reply.action != "accept":
        return ElicitResult(action=reply.action)
    content = {**_defaults(params), **reply.content}
    problems = SchemaCheck(params.requested_schema).problems(cast("JsonObject", content))
    if problems:
        _log.error("the answer to a question of %s does not fit its form: %s", asker.server, "; ".join(problems))
        return ElicitResult(action="cancel")
    return ElicitResult(action="accept", content=cast("dict[str, Any]", content))


def _may_be_shown(url: str) -> bool:
    """Whether a link leads to a page: other schemes start programs, and a name before the host deceives."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    return (
        parts.scheme in (("http", "https") if local else ("https",))
        and bool(parts.hostname)
        and "@" not in parts.netloc
    )


def _defaults(params: ElicitRequestFormParams) -> dict[str, FormValue]:
    """Return what the form says of fields that were left out (SEP-1034)."""
    fields = cast("dict[str, dict[str, FormValue]]", params.requested_schema.get("properties", {}))
    return {name: about["default"] for name, about in fields.items() if "default" in about}
