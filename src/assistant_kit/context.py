"""What decides on what a model reads of a conversation, and on what it remembers."""

from collections.abc import Collection
from dataclasses import dataclass

from assistant_kit.errors import ConfigurationError
from assistant_kit.protocols.compactor import Compactor
from assistant_kit.protocols.masker import Masker
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

    `masker` keeps private data of users out of stores, logs, traces and providers; it stays yours to close. Every run
    names a user then. Tools get pseudonyms in their arguments, those whose names are in `raw_arguments` get the values.
    Raises ConfigurationError for `raw_arguments` without a masker.
    """

    token_counter: TokenCounter | None = None
    compactor: Compactor | None = None
    memory: Memory | None = None
    extractor: MemoryExtractor | None = None
    tool_selector: ToolSelector | None = None
    masker: Masker | None = None
    raw_arguments: Collection[str] = ()

    def __post_init__(self) -> None:
        """Refuse what would have no effect."""
        if isinstance(self.raw_arguments, str):
            raise ConfigurationError(f"raw_arguments is a collection of names: ({self.raw_arguments!r},)")
        if self.raw_arguments and self.masker is None:
            raise ConfigurationError("raw_arguments says which tools get what masker= hides, and there is no masker")
