"""Tool calls of Chat Completions, put together from pieces that servers number, name and cut as they like."""

from dataclasses import dataclass, field
from typing import Any

from assistant_kit.messages import ToolCall
from assistant_kit.models._openai.body import dump
from assistant_kit.models._openai.call_ids import CallIds
from assistant_kit.models._openai.lenient import as_list, as_object, as_text


@dataclass(slots=True, kw_only=True)
class _Call:
    index: int | None
    call_id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list[str])

    def add(self, function: dict[str, Any]) -> None:
        name = as_text(function.get("name"))
        if name != self.name:  # some servers repeat the name with every piece
            self.name += name
        arguments = function.get("arguments")
        if arguments:
            self.arguments.append(arguments if type(arguments) is str else dump(arguments).decode())


class CallPieces:
    """Gathers the tool calls of one answer.

    A piece belongs to the call with its index; without an index to the newest call. A new call begins with another
    index, with another id, or, without either, with a name after arguments.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def add(self, pieces: object) -> None:
        """Take `tool_calls` of a delta or of a whole message."""
        for piece in map(as_object, as_list(pieces)):
            function = as_object(piece.get("function"))
            index = piece.get("index")
            call_id = as_text(piece.get("id"))
            call = self._call(index if type(index) is int else None, call_id, as_text(function.get("name")))
            call.call_id = call.call_id or call_id
            call.add(function)

    def calls(self, ids: CallIds) -> tuple[ToolCall, ...]:
        """Return the whole calls."""
        return tuple(
            ToolCall(call_id=ids.own(call.call_id), name=call.name, arguments="".join(call.arguments))
            for call in self._calls
        )

    def _call(self, index: int | None, call_id: str, name: str) -> _Call:
        known = next((call for call in reversed(self._calls) if index is None or call.index == index), None)
        if known is not None and not _is_another(known, index, call_id, name):
            return known
        call = _Call(index=index)
        self._calls.append(call)
        return call


def _is_another(known: _Call, index: int | None, call_id: str, name: str) -> bool:
    if call_id and known.call_id:
        return call_id != known.call_id
    return index is None and bool(name) and bool(known.arguments)
