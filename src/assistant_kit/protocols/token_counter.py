"""The contract of what counts tokens."""

from typing import Protocol


class TokenCounter(Protocol):
    """Counts the tokens of a text: exactly, or more, never fewer."""

    @property
    def name(self) -> str:
        """The name of the counting rule; counts of one name can be added."""
        ...

    def count(self, text: str) -> int:
        """Return the number of tokens in `text`, or an upper bound of it."""
        ...
