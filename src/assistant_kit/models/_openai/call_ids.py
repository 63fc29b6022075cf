"""Ids of tool calls, by which they are answered: some servers give none, or the same ones in every answer."""

from collections.abc import Iterable
from uuid import uuid4

from assistant_kit.messages import Item, ToolCall


class CallIds:
    """Gives each call of an answer an id that no other call has, in the answer and in what was asked."""

    def __init__(self, asked: Iterable[Item]) -> None:
        self._taken = {item.call_id for item in asked if isinstance(item, ToolCall)}

    def own(self, call_id: str) -> str:
        """Return the id for a call: the server's, unless it is empty or taken."""
        if not call_id or call_id in self._taken:
            call_id = f"call_{uuid4().hex}"
        self._taken.add(call_id)
        return call_id
