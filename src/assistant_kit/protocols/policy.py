"""The contract of what stands around a call: retries today, breakers and limits later."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, TypeVar

from assistant_kit.deadline import Deadline
from assistant_kit.events import Event
from assistant_kit.tool_spec import Effect

T = TypeVar("T")


def _nobody(_: Event) -> None:
    """Tell nobody."""


@dataclass(slots=True, kw_only=True)
class Call(Generic[T]):
    """A call that a policy may make, make again, or refuse.

    `started` becomes true when the call has had a visible effect (a delta has reached the reader); from then on, or
    when `effect` does not allow it, a failed call is not made again.
    """

    kind: Literal["model", "tool"]
    name: str
    attempt: Callable[[], Awaitable[T]]
    effect: Effect = "read"
    deadline: Deadline = field(default_factory=Deadline)
    started: bool = False
    notify: Callable[[Event], None] = _nobody


class Policy(Protocol):
    """Something that stands around a call."""

    async def around(self, call: Call[T]) -> T:
        """Make the call and return its result, by whatever rule this policy has."""
        ...
