"""What users say in a simulated world, and how the model reads it: a message is the plan of its turn.

`«u0/c1» u0/c1/m2: pay look | book` asks for the tools pay and look at once, then for book, then for an answer. The mark
at the beginning is the canary: whatever bears it may be seen by this user in this conversation only.
"""

import random
from dataclasses import dataclass
from typing import Literal, TypeAlias

from assistant_kit.settings import OnBusy

Manner: TypeAlias = Literal["run", "stream", "left", "cancelled"]

TOOLS = ("pay", "look", "store", "send", "book", "wipe", "wire", "ship", "ask", "nosuch", "doom", "reread")
_WEIGHTS = (5, 2, 2, 4, 3, 3, 3, 2, 1, 0.3, 0.15, 4)
REREAD = "reread"
"""A step that reads again what a request shows in part, if there is anything; it looks, where there is not."""
_MANNERS: tuple[Manner, ...] = ("run", "stream", "left", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message of a user. `steps` are the tools that its turn calls; `patience` is in seconds."""

    ref: str
    user: str
    conversation: str
    steps: tuple[tuple[str, ...], ...]
    request_id: str | None
    manner: Manner
    patience: float
    on_busy: OnBusy | None

    @property
    def text(self) -> str:
        """The words."""
        return f"{canary(self.user, self.conversation)} {self.ref}: {' | '.join(map(' '.join, self.steps))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A message as the model understands it."""

    ref: str
    canary: str
    steps: tuple[tuple[str, ...], ...]


def canary(user: str, conversation: str) -> str:
    """Return the mark of what belongs to one conversation of one user."""
    return f"«{user}/{conversation}»"


def heard(text: str) -> Heard:
    """Understand a message."""
    mark, _, rest = text.partition(" ")
    ref, _, plan = rest.partition(": ")
    return Heard(ref=ref, canary=mark, steps=tuple(tuple(step.split()) for step in plan.split("|") if step.strip()))


def thought_up(chance: random.Random, *, user: str, conversation: str, number: int) -> Message:
    """Think up a message."""
    number_of_steps = chance.choice((0, 1, 1, 2))
    steps = tuple(tuple(chance.choices(TOOLS, _WEIGHTS, k=chance.choice((1, 1, 2, 3)))) for _ in range(number_of_steps))
    ref = f"{user}/{conversation}/m{number}"
    manner = chance.choices(_MANNERS, (5, 3, 1, 1))[0]
    return Message(
        ref=ref,
        user=user,
        conversation=conversation,
        steps=steps,
        request_id=f"r-{ref}" if chance.random() < 0.8 else None,
        manner=manner,
        patience=chance.choice((2.0, 10.0, 60.0, 300.0)),
        on_busy=chance.choice((None, None, "queue", "fail")),
    )
