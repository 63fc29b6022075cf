"""What attempts that failed may have cost. No server says it, and somebody pays it.

A server that refuses a request, or cannot be reached, charges nothing. One that has begun to answer has read the prompt
and written some text; and where no answer came in time, nobody knows, so that the prompt is taken as read.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from assistant_kit.errors import ModelBroke, ModelTimeout
from assistant_kit.events import Event, FellBack, Retrying, TextRetracted
from assistant_kit.protocols.policy import Call

_LETTERS = 3
"""Characters of a token, at least: of an answer that broke off, the tokens are estimated so."""

Worst = Callable[[str, int, int], int]
"""What a request to a model costs at most, by its prompt's tokens and those of its answer."""


def tokens_of(characters: int) -> int:
    """Return the tokens of so many characters of an answer, at most."""
    return characters // _LETTERS + 1


@dataclass(slots=True)
class LostAttempts:
    """Hears the events of a call, as its reader does. `attempts` may be billed: by model, and tokens written."""

    call: Call
    attempts: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    _model: str = ""
    _retracted: int = 0

    def hear(self, event: Event) -> None:
        """Hear an event, and pass it on."""
        match event:
            case TextRetracted():
                self._retracted += tokens_of(len(event.text))
            case Retrying():
                self._failed(event.error)
            case FellBack():
                # A refusal is an answer, if a useless one: it was written, and nobody has said how long it is.
                self._failed(event.error, answered=event.error is None)
                self._model = event.to
            case _:
                pass
        self.call.notify(event)

    def ended(self, error: BaseException) -> None:
        """Take note that the call has failed, or was left by its caller."""
        progress = self.call.progress
        left = not isinstance(error, Exception) and progress.begun
        if progress.started:
            self._retracted += tokens_of(sum(map(len, progress.text)))
        self._failed(error, answered=left)

    def cost(self, worst: Worst) -> int:
        """Return what all these attempts may have cost."""
        call = self.call
        return sum(worst(model, max(1, call.prompt_tokens), written) for model, written in self.attempts)

    def _failed(self, error: BaseException | None, *, answered: bool = False) -> None:
        if answered or self._retracted or isinstance(error, ModelTimeout | ModelBroke):
            self.attempts.append((self._model, min(self._retracted, self.call.output_tokens)))
        self._retracted = 0
