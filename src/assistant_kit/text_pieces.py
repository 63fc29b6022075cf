"""Pieces of a long text that are at most so many tokens long; put together again they are the text."""

from collections.abc import Iterator

from assistant_kit.protocols.token_counter import TokenCounter

_DENSEST = 8
"""Characters a token that are looked at: a piece of spaces may be shorter than it could be, and costs no more time."""


def beginning(text: str, max_tokens: int, counter: TokenCounter) -> str:
    """Return the beginning of a text that takes at most `max_tokens`, and 8 characters for each of them."""
    return text[: _fitting(text, max_tokens, counter, from_end=False)]


def ending(text: str, max_tokens: int, counter: TokenCounter) -> str:
    """Return the end of a text that takes at most `max_tokens`, and 8 characters for each of them."""
    return text[len(text) - _fitting(text, max_tokens, counter, from_end=True) :]


def pieces(text: str, max_tokens: int, counter: TokenCounter, *, max_chars: int | None = None) -> Iterator[str]:
    """Return the pieces of a text, in order, each of at most `max_tokens` and `max_chars`.

    A single character that takes more is a piece all the same.
    """
    start, last = 0, 0
    at_most = max_tokens * _DENSEST if max_chars is None else max_chars
    while start < len(text):
        # The next piece will be about as long as the last one: so it is seldom counted more than twice.
        guess = min(at_most, last + last // 4 + 1) if last else at_most
        last = max(1, _fitting(text[start : start + guess], max_tokens, counter, from_end=False))
        yield text[start : start + last]
        start += last


def _fitting(text: str, max_tokens: int, counter: TokenCounter, *, from_end: bool) -> int:
    """Return how many characters fit, from one end; nearly as many as possible."""
    size = min(len(text), max(0, max_tokens) * _DENSEST)
    while size:
        tokens = counter.count(text[len(text) - size :] if from_end else text[:size])
        if tokens <= max_tokens:
            return size
        size = min(size - 1, size * max_tokens // tokens)
    return 0
