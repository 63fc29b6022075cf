"""What decides on what a model reads of a conversation, and on what it remembers."""

from dataclasses import dataclass

from assistant_kit.protocols.compactor import Compactor
from assistant_kit.protocols.memory import Memory, MemoryExtractor
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.protocols.tool_selector import ToolSelector


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The parts that fill a model's context window. Each may be left out.

    `token_counter` counts (default: exactly for OpenAI's models, as soon as the vocabulary is loaded). `compactor`
    makes room in a full window (default: clears old tool results, then drops the oldest turns). `memory` is asked at
    each turn of a user for what bears on the message; `extractor` fills it from what was said. `tool_selector` chooses
    tools when not all of them fit (default: by their words).
    """

    token_counter: TokenCounter | None = None
    compactor: Compactor | None = None
    memory: Memory | None = None
    extractor: MemoryExtractor | None = None
    tool_selector: ToolSelector | None = None
