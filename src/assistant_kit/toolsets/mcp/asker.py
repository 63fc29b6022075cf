"""Who asks the application for something, and for whom."""

from contextvars import ContextVar
from dataclasses import dataclass

from assistant_kit.protocols.toolset import ToolContext

serving: ContextVar[ToolContext | None] = ContextVar("serving", default=None)
"""The call for whose sake a server asks, where the protocol tells (2026-07-28)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """An MCP server that asks, by its name. What the protocol does not tell is None.

    With 2026-07-28 a server asks for the sake of a call: `user`, `conversation` and `call_id` are the call's. Before,
    it just asks: then only the user of a connection of their own is known.
    """

    server: str
    user: str | None = None
    conversation: str | None = None
    call_id: str | None = None


def asker(server: str, user: str | None) -> Asker:
    """Tell who asks over the connection of a user."""
    call = serving.get()
    if call is None:
        return Asker(server=server, user=user)
    return Asker(server=server, user=call.user, conversation=call.conversation, call_id=call.call_id)
