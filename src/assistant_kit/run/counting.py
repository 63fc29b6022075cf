"""How requests to one model are counted: by which counter, and with which margin for how its server counts."""

from collections.abc import Callable

from assistant_kit import registry
from assistant_kit.calibration import TRIVIAL, Calibration
from assistant_kit.context_window import Packed, Window
from assistant_kit.errors import ConfigurationError
from assistant_kit.messages import Item, Text, ToolAnswer, UserMessage
from assistant_kit.protocols.model import Model, ModelRequest, counts_as_openai
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.request_tokens import request_tokens
from assistant_kit.settings import WindowSettings
from assistant_kit.tool_spec import HostedTool
from assistant_kit.usage import Usage

BELIEVED = 1.5
"""What a tokenizer that is not known is believed to take of OpenAI's tokens, where its bound would leave no room."""
TEMPLATE = 300
"""Tokens that a server may put around a request."""
_SAMPLED = 8
"""Of the reports that are no surprise, so many are passed over for one that is taken in."""


class Counting:
    """Counts for one model on one server.

    A server that is not known to count as OpenAI's does is counted by an upper bound first, and by `exact` with a
    margin as soon as it has reported often enough what requests took. `bound` is None where the counter was chosen by
    the application: then it is believed, until the server says more.
    """

    def __init__(
        self,
        settings: WindowSettings,
        exact: Callable[[], TokenCounter],
        bound: TokenCounter | None,
        *,
        trusted: Callable[[], bool],
    ) -> None:
        """Take what gives the counter in force now, and what tells whether the server counts as OpenAI's does."""
        self._settings = settings
        self._exact = exact
        self._bound = bound
        self._is_trusted = trusted
        self._calibration: Calibration | None = None
        self._reports = 0
        self._windows: dict[str, tuple[TokenCounter, Window]] = {}

    @property
    def calibration(self) -> Calibration:
        """What is known of the server."""
        if self._calibration is None:
            try:
                self._calibration = Calibration(trusted=self._bound is None or self._is_trusted())
            except ConfigurationError:  # the model says it better, when it is asked
                return Calibration(trusted=True)
        return self._calibration

    def now(self, fits: Callable[[Window], bool]) -> tuple[TokenCounter, Window]:
        """Return the counter in force and its window; a run keeps both, also when more is learned meanwhile.

        `fits` tells whether what every request carries leaves room in a window: where the upper bound leaves none,
        no request could ever be made, so the server's tokenizer is believed to take half as much again as OpenAI's.
        """
        calibration = self.calibration
        if calibration.known or self._bound is None:
            return self._window("exact", self._exact(), calibration)
        bounded = self._window("bound", self._bound, calibration)
        if fits(bounded[1]):
            return bounded
        return self._window("believed", self._exact(), _Believed())

    def observe(self, request: ModelRequest, packed: Packed, counter: TokenCounter, usage: Usage) -> None:
        """Learn from what the server says a request took."""
        calibration = self.calibration
        if not usage.reported or not self._is_telling(packed, usage):
            return
        if any(isinstance(tool, HostedTool) for tool in request.tools) or not all(map(_is_text, request.items)):
            return  # counted by allowances, which tell nothing about a tokenizer
        predicted = packed.tokens
        if not calibration.known and counter is self._bound:
            predicted = request_tokens(request, self._exact())
        calibration.observe(predicted, usage.input_tokens)

    def _is_telling(self, packed: Packed, usage: Usage) -> bool:
        """Tell whether a report may teach anything: to take one in costs as much as a step of a turn."""
        self._reports += 1
        if not self.calibration.known:
            return usage.input_tokens >= TRIVIAL
        if self.calibration.budget(usage.input_tokens) <= packed.tokens:  # no more than was reckoned with
            return self._bound is not None and self._reports % _SAMPLED == 0
        return True

    def overflowed(self, packed: Packed) -> None:
        """Learn that the server refused a request as too long."""
        self.calibration.overflowed(packed.tokens, limit=self._settings.budget)

    def _window(self, name: str, counter: TokenCounter, calibration: Calibration) -> tuple[TokenCounter, Window]:
        known = self._windows.get(name)
        if known is None or known[0] is not counter:
            known = self._windows[name] = (counter, Window(self._settings, counter, calibration))
        return known


class _Believed(Calibration):
    """Leaves the room that a server leaves of which nothing is known."""

    def budget(self, tokens: int) -> int:
        """Return the tokens that may be sent, in those of OpenAI's models."""
        return max(0, int((tokens - TEMPLATE) / BELIEVED))


def _is_text(item: Item) -> bool:
    return not isinstance(item, UserMessage | ToolAnswer) or all(isinstance(part, Text) for part in item.content)


def counting_for(given: TokenCounter | None, settings: WindowSettings, model: Model) -> Counting:
    """Return what counts for a model: by the counter that was given, or else as well as is known of the model."""
    if given is not None:
        return Counting(settings, lambda: given, None, trusted=lambda: True)
    bound = registry.load(registry.UPPER_BOUND)()
    made = registry.load(registry.BACKGROUND_COUNTER)(model=model.name, until=bound)
    return Counting(settings, lambda: made.current, bound, trusted=lambda: counts_as_openai(model))
