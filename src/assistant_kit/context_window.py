"""What fits into a request: a hard ceiling in tokens.

Packing adds up numbers that are known and counts no text, so that it costs no more than the turns it keeps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from assistant_kit.calibration import Calibration
from assistant_kit.errors import CannotFit
from assistant_kit.messages import Item
from assistant_kit.protocols.model import OutputSchema
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.request_tokens import REPLY, TOOLS, schema_tokens, text_tokens, tool_tokens
from assistant_kit.settings import WindowSettings
from assistant_kit.tool_spec import HostedTool, ToolSpec
from assistant_kit.turns import ToolCost, Turn
from assistant_kit.view import View

INSTRUCTIONS = "the instructions"
TOOL_SCHEMAS = "the tool schemas"
OUTPUT_SCHEMA = "the output schema"
USER_MESSAGE = "the user message"
CURRENT_TURN = "the current turn"

MOST_TOOLS = 4_096
"""Tools whose counts are remembered: those of servers may be other objects whenever they are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What goes into a request. `tokens` is an upper bound of the whole request, overhead included."""

    items: tuple[Item, ...]
    tokens: int


class _Counted(NamedTuple):
    """The tokens of an object by one counter; the object is held, so that it can be recognised."""

    subject: object
    counted_by: str
    tokens: int


class Window:
    """The size of a model's context window, and what of a conversation goes into it."""

    def __init__(self, settings: WindowSettings, counter: TokenCounter, calibration: Calibration | None = None) -> None:
        """Count by `counter`; `calibration` is what is known of how the model's server counts."""
        self._settings = settings
        self._counter = counter
        self._calibration = calibration
        self._instructions: _Counted | None = None
        self._tools: dict[int, _Counted] = {}
        self._listed: _Counted | None = None
        self._schema: _Counted | None = None

    @property
    def budget(self) -> int:
        """Tokens that a request may have, as the counter counts them."""
        budget = self._settings.budget
        return budget if self._calibration is None else self._calibration.budget(budget)

    def overhead(
        self,
        instructions: str = "",
        tools: Sequence[ToolSpec | HostedTool] = (),
        output: OutputSchema | None = None,
    ) -> Mapping[str, int]:
        """Return the tokens of what every request of a run carries, by the name of the part.

        Parts that are not there have no name, except the instructions, which hold what opens and ends every request.
        The counts of tools, and of the last instructions and schema, are remembered.
        """
        parts = {INSTRUCTIONS: REPLY + self._instructions_tokens(instructions)}
        if tools:
            parts[TOOL_SCHEMAS] = TOOLS + self._tools_tokens(tools)
        if output is not None:
            parts[OUTPUT_SCHEMA] = self._schema_tokens(output)
        return parts

    def room(self, overhead: Mapping[str, int]) -> int:
        """Return the tokens that are left for the conversation. Raises CannotFit with the part that leaves none."""
        room = self.budget
        for part, needed in overhead.items():
            room = _less(room, part, needed)
        return room

    def pack(self, overhead: Mapping[str, int], view: View, current: Turn) -> Packed:
        """Return the request: what is shown of the conversation, and the whole turn in progress.

        Raises CannotFit with the part that leaves no room for what has to be there.
        """
        room = self.room(overhead)
        needed = view.tokens + current.tokens
        if needed > room:
            raise too_long(current, room=room - view.tokens)
        items = (*view.items, *(item for block in current.blocks for item in block.items))
        return Packed(items=items, tokens=sum(overhead.values()) + needed)

    def tokens_of(self, tool: ToolSpec | HostedTool) -> int:
        """Return the tokens of a tool's description; each tool is counted once."""
        known = self._tools.get(id(tool))
        if known is None or known.counted_by != self._counter.name:
            known = _Counted(tool, self._counter.name, tool_tokens(tool, self._counter))
            if len(self._tools) >= MOST_TOOLS:
                del self._tools[next(iter(self._tools))]
            self._tools[id(tool)] = known
        return known.tokens

    def _instructions_tokens(self, instructions: str) -> int:
        if not instructions:
            return 0
        name, known = self._counter.name, self._instructions
        if known is None or known.counted_by != name or known.subject != instructions:
            known = _Counted(instructions, name, text_tokens(instructions, self._counter))
            self._instructions = known
        return known.tokens

    def _schema_tokens(self, output: OutputSchema) -> int:
        name, known = self._counter.name, self._schema
        if known is None or known.counted_by != name or known.subject is not output:
            known = self._schema = _Counted(output, name, schema_tokens(output, self._counter))
        return known.tokens

    def _tools_tokens(self, tools: Sequence[ToolSpec | HostedTool]) -> int:
        name, listed = self._counter.name, self._listed
        if listed is not None and listed.counted_by == name and listed.subject is tools:
            return listed.tokens
        total = sum(map(self.tokens_of, tools))
        # Only a tuple is recognised as a whole: a list might have changed meanwhile.
        self._listed = _Counted(tools, name, total) if isinstance(tools, tuple) else None
        return total


def _less(room: int, part: str, needed: int) -> int:
    if needed > room:
        raise CannotFit(part, needed=needed, available=max(0, room))
    return room - needed


def too_long(current: Turn, *, room: int) -> CannotFit:
    """Return the error for a turn that is longer than `room`: what of it is to blame.

    The result of a tool is when it is alone too large, or when all would fit without it.
    """
    message = 0 if current.started is None else current.blocks[0].tokens
    if message > room:
        return CannotFit(USER_MESSAGE, needed=message, available=max(0, room))
    rest = room - message
    results = (result for block in current.blocks for result in block.results)
    largest = max(results, key=lambda result: result.tokens, default=ToolCost(tool="", tokens=0))
    beside = room - (current.tokens - largest.tokens)
    if beside >= 0 or largest.tokens > rest:
        available = beside if beside >= 0 else rest
        return CannotFit(f"the result of tool {largest.tool}", needed=largest.tokens, available=available)
    return CannotFit(CURRENT_TURN, needed=current.tokens, available=max(0, room))
