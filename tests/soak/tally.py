"""What a soak has come to: every turn that was asked, and how it ended."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from assistant_kit.errors import AssistantKitError, ModelError
from assistant_kit.events import Event, FellBack, Retrying
from assistant_kit.protocols.policy import Call, Proceed, T


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts turns. `say` is told of each rule that is broken."""

    say: Callable[[str], None]
    asked: int = 0
    completed: int = 0
    left: int = 0
    failed: Counter[str] = field(default_factory=Counter[str])
    retried: int = 0
    fell_back: int = 0
    tool_faults: int = 0
    conversations: int = 0
    violations: int = 0

    def broken(self, text: str) -> None:
        """Note that a rule was broken."""
        self.violations += 1
        self.say(text)

    def fail(self, ref: str, error: AssistantKitError) -> None:
        """Count a turn that has failed: by the provider, as nothing else may fail here."""
        self.failed[type(error).__name__] += 1
        if not isinstance(error, ModelError):
            self.broken(f"turn {ref} failed with {error!r}")

    @property
    def unaccounted(self) -> int:
        """Turns that were asked and have not ended."""
        return self.asked - self.completed - self.left - self.failed.total()


@dataclass(frozen=True, slots=True)
class Counting:
    """A policy that changes nothing and counts what the others tell, also where nobody reads."""

    tally: Tally

    async def around(self, call: Call, proceed: Proceed[T]) -> T:
        """Make the call."""

        def notify(event: Event) -> None:
            self.tally.retried += isinstance(event, Retrying)
            self.tally.fell_back += isinstance(event, FellBack)
            call.notify(event)

        return await proceed(replace(call, notify=notify))
