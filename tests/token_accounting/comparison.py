"""Requests counted by us and by OpenAI's own renderer, side by side."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from assistant_kit.protocols.model import ModelRequest
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.request_tokens import request_tokens
from assistant_kit.tool_spec import ToolSpec
from tests.token_accounting.harmony import Renderer


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One request: the true number of tokens, and ours. `unfolded`: a tool or the schema refers to definitions."""

    true: int
    ours: int
    unfolded: bool

    @property
    def above(self) -> float:
        """How far ours is above the true number, as a share of it."""
        return self.ours / self.true - 1


def compared(requests: Iterable[ModelRequest], renderer: Renderer, counter: TokenCounter) -> Iterator[Comparison]:
    """Count each request twice."""
    for request in requests:
        yield Comparison(
            true=renderer.request_tokens(request),
            ours=request_tokens(request, counter),
            unfolded=any("$defs" in tool.parameters for tool in request.tools if isinstance(tool, ToolSpec)),
        )


def above(comparisons: Iterable[Comparison]) -> float:
    """Return how far our total is above the true one."""
    pairs = [(one.true, one.ours) for one in comparisons]
    return sum(ours for _, ours in pairs) / sum(true for true, _ in pairs) - 1
