"""A tool call that a model asks for."""

from dataclasses import dataclass, field

from assistant_kit.messages import JsonObject, Outcome, ToolCall
from assistant_kit.protocols.toolset import Toolset
from assistant_kit.tool_spec import ToolSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A call with all that is known before it is made. `refusal` is why it will not be: outcome and words.

    `values` are the arguments with private values in the place of pseudonyms, for a tool that gets them.
    """

    call: ToolCall
    key: str
    arguments: JsonObject | None
    arguments_hash: str
    tool: tuple[Toolset, ToolSpec] | None
    refusal: tuple[Outcome, str] | None = None
    values: JsonObject | None = field(default=None, repr=False)

    @property
    def made_by(self) -> tuple[Toolset, ToolSpec, JsonObject]:
        """What it takes to make the call."""
        assert self.tool is not None  # noqa: S101  (only calls of known tools are made)
        assert self.arguments is not None  # noqa: S101  (and only with arguments)
        return (*self.tool, self.arguments if self.values is None else self.values)
