"""What is asked of the server: a script with its arguments, on behalf of a task that waits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from assistant_kit.audit_chain import AuditNote
from assistant_kit.worker_thread import Group, Job

T_co = TypeVar("T_co", covariant=True)

Reply: TypeAlias = list[Any]
"""What a script answers: a word, and what belongs to it."""


class Answering(Protocol):
    """A server. It holds the answer to the call that is run."""

    reply: Reply

    def perform(self, group: "Group[Answering]") -> None:
        """Ask all that is asked; let each call succeed or fail by itself."""
        ...

    def disconnect(self) -> None:
        """Close the connection."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A script to run. `keys` begin with the root of the shard; `user` and `subject` stand as in keys.

    `note` makes what the audit chain will say if the script changes something. It gets a place in the journal where the
    script alone knows that, and may return None before.
    """

    script: str
    keys: tuple[str, ...]
    user: str = ""
    subject: str = ""
    args: tuple[str | bytes | int, ...] = ()
    note: Callable[[int | None], AuditNote | None] | None = None


class Call(Job[Answering, T_co], Generic[T_co]):
    """A question, and what is made of the answer. Without a question it only sees that the server can be reached."""

    __slots__ = ("_note", "place", "question")

    def __init__(self, question: Question | None, read: Callable[[Reply], T_co]) -> None:
        super().__init__(lambda server: read(server.reply))
        self.question: Question | None = question
        self.place: int | None = None
        self._note: AuditNote | None = None

    def note(self) -> AuditNote | None:
        """Return what the audit chain will say; the same each time, however often it is asked."""
        if self._note is None and self.question is not None and self.question.note is not None:
            self._note = self.question.note(self.place)
        return self._note
