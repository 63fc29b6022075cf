"""What bounds the reading of a document: its size, and the time that it takes."""

from dataclasses import dataclass
from threading import Event
from time import monotonic

from assistant_kit.errors import DocumentUnreadable


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLimits:
    """How much a document may be. What is more is refused, not cut off.

    `max_bytes` is the size of the file, `max_characters` that of the text in it, also while it is being unpacked, and
    `max_seconds` how long reading may take.
    """

    max_bytes: int = 50_000_000
    max_characters: int = 50_000_000
    max_pages: int = 5_000
    max_seconds: float = 120.0


class Watch:
    """Watches over the reading of one document, in a thread that nobody can stop: readers ask it often.

    `source` is for the errors.
    """

    def __init__(self, source: str, limits: ReadLimits) -> None:
        self.source: str = source
        self.limits: ReadLimits = limits
        self._until = monotonic() + limits.max_seconds
        self._left = Event()

    def leave(self) -> None:
        """Let the thread end: nobody waits for it any more. Called from outside."""
        self._left.set()

    def check(self, characters: int = 0) -> None:
        """Raise DocumentUnreadable when there is no time left, or the text has grown too long."""
        if self._left.is_set() or monotonic() > self._until:
            raise self.late()
        if characters > self.limits.max_characters:
            raise self.unreadable(f"its text is longer than {self.limits.max_characters} characters")

    def late(self) -> DocumentUnreadable:
        """Return the error for a document that takes too long."""
        return self.unreadable(f"reading it takes longer than {self.limits.max_seconds:g} seconds")

    def unreadable(self, problem: str) -> DocumentUnreadable:
        """Return the error for a document with this problem."""
        return DocumentUnreadable(self.source, problem)
