"""What fits into a request: a hard ceiling in tokens, kept by leaving out whole turns, the oldest first.

Packing adds up numbers that are known and counts no text, so that it costs no more than the turns it keeps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from assistant_kit.conversation import ToolCost, Turn
from assistant_kit.errors import CannotFit
from assistant_kit.messages import Item
from assistant_kit.protocols.model import OutputSchema
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.request_tokens import REPLY, TOOLS, schema_tokens, text_tokens, tool_tokens
from assistant_kit.settings import WindowSettings
from assistant_kit.tool_spec import HostedTool, ToolSpec

INSTRUCTIONS = "the instructions"
TOOL_SCHEMAS = "the tool schemas"
OUTPUT_SCHEMA = "the output schema"
USER_MESSAGE = "the user message"
CURRENT_TURN = "the current turn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What goes into a request.

    `tokens` is an upper bound of the whole request, overhead included. Of the history, the newest `kept_turns` are in
    it and `dropped_turns` are not.
    """

    items: tuple[Item, ...]
    tokens: int
    kept_turns: int
    dropped_turns: int


class _Counted(NamedTuple):
    """The tokens of an object by one counter; the object is held, so that it can be recognised."""

    subject: object
    counted_by: str
    tokens: int


class Window:
    """The size of a model's context window, and what of a conversation goes into it."""

    def __init__(self, settings: WindowSettings, counter: TokenCounter) -> None:
        self._settings = settings
        self._counter = counter
        self._instructions: _Counted | None = None
        self._tools: dict[int, _Counted] = {}
        self._listed: _Counted | None = None

    def overhead(
        self,
        instructions: str = "",
        tools: Sequence[ToolSpec | HostedTool] = (),
        output: OutputSchema | None = None,
    ) -> Mapping[str, int]:
        """Return the tokens of what every request of a run carries, by the name of the part.

        Parts that are not there have no name, except the instructions, which hold what opens and ends every request.
        The counts of tools and of the last instructions are remembered.
        """
        parts = {INSTRUCTIONS: REPLY + self._instructions_tokens(instructions)}
        if tools:
            parts[TOOL_SCHEMAS] = TOOLS + self._tools_tokens(tools)
        if output is not None:
            parts[OUTPUT_SCHEMA] = schema_tokens(output, self._counter)
        return parts

    def pack(
        self, overhead: Mapping[str, int], history: Sequence[Turn], current: Turn, *, earlier: Packed | None = None
    ) -> Packed:
        """Return the request: the newest whole turns of the history that fit, and the whole current turn.

        `earlier` is what the step before was given. Turns that it left out stay out, so that the requests of a run
        share their front, which is what a provider's prompt cache wants; more are left out only when they must be.
        Raises CannotFit with the part that leaves no room for what has to be there.
        """
        room = self._room(overhead, current)
        at_most = len(history) if earlier is None else min(earlier.kept_turns, len(history))
        first = len(history)
        while len(history) - first < at_most and history[first - 1].tokens <= room:
            first -= 1
            room -= history[first].tokens
        turns = (*history[first:], current)
        return Packed(
            items=tuple(item for turn in turns for block in turn.blocks for item in block.items),
            tokens=self._settings.budget - room,
            kept_turns=len(history) - first,
            dropped_turns=first,
        )

    def _room(self, overhead: Mapping[str, int], current: Turn) -> int:
        """Return the tokens that are left beside what has to be there; raises CannotFit."""
        room = self._settings.budget
        for part, needed in overhead.items():
            room = _less(room, part, needed)
        if current.tokens <= room:
            return room - current.tokens
        message = 0 if current.started is None else current.blocks[0].tokens
        rest = _less(room, USER_MESSAGE, message)
        raise _too_long(current, rest=rest, needed=current.tokens, room=room)

    def _instructions_tokens(self, instructions: str) -> int:
        if not instructions:
            return 0
        name, known = self._counter.name, self._instructions
        if known is None or known.counted_by != name or known.subject != instructions:
            known = _Counted(instructions, name, text_tokens(instructions, self._counter))
            self._instructions = known
        return known.tokens

    def _tools_tokens(self, tools: Sequence[ToolSpec | HostedTool]) -> int:
        """Count each tool once; only the tools of the last call are remembered, so that this does not grow."""
        name, known = self._counter.name, self._tools
        listed = self._listed
        if listed is not None and listed.counted_by == name and listed.subject is tools:
            return listed.tokens
        counted: dict[int, _Counted] = {}
        for tool in tools:
            found = known.get(id(tool))
            if found is None or found.counted_by != name:
                found = _Counted(tool, name, tool_tokens(tool, self._counter))
            counted[id(tool)] = found
        self._tools = counted
        total = sum(counted[id(tool)].tokens for tool in tools)
        # Only a tuple is recognised as a whole: a list might have changed meanwhile.
        self._listed = _Counted(tools, name, total) if isinstance(tools, tuple) else None
        return total


def _less(room: int, part: str, needed: int) -> int:
    if needed > room:
        raise CannotFit(part, needed=needed, available=max(0, room))
    return room - needed


def _too_long(current: Turn, *, rest: int, needed: int, room: int) -> CannotFit:
    """Name the result of a tool when it is the one to blame: alone too large, or all would fit without it."""
    results = (result for block in current.blocks for result in block.results)
    largest = max(results, key=lambda result: result.tokens, default=ToolCost(tool="", tokens=0))
    beside = room - (needed - largest.tokens)
    if beside >= 0 or largest.tokens > rest:
        available = beside if beside >= 0 else rest
        return CannotFit(f"the result of tool {largest.tool}", needed=largest.tokens, available=available)
    return CannotFit(CURRENT_TURN, needed=needed, available=room)
