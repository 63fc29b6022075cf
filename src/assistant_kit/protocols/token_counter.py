"""The contract of what counts tokens.

`assistant_kit.testing.conformance.token_counter` has the tests that every counter passes.
"""

from typing import Protocol

from assistant_kit.errors import AssistantKitError, ConfigurationError
from assistant_kit.protocols.model import ModelRequest


class TokenCounter(Protocol):
    """Counts the tokens of a text: exactly, or more, never fewer."""

    @property
    def name(self) -> str:
        """The name of the counting rule; counts of one name can be added."""
        ...

    def count(self, text: str) -> int:
        """Return the number of tokens in `text`, or an upper bound of it; 0 for none. Any thread may ask."""
        ...


class RequestCounter(Protocol):
    """Counts the tokens of a whole request by asking who will read it.

    This is for what no counter on this machine knows: how a provider describes its own tools, what a document costs.
    It takes a call to the provider, so nothing here asks by itself.
    """

    async def count_request(self, request: ModelRequest) -> int:
        """Return the tokens of `request` as the model would read it. Raises ModelError."""
        ...


def tokens_in(text: str, counter: TokenCounter) -> int:
    """Return what a counter says of a text.

    Raises ConfigurationError when it fails, or says something that is no number of tokens.
    """
    try:
        tokens = counter.count(text)
    except AssistantKitError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"the token counter {type(counter).__name__} failed on a text of {len(text)} characters "
            f"({type(error).__name__}): mend it, or use another counter"
        ) from error
    if not isinstance(tokens, int) or tokens < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(
            f"the token counter {type(counter).__name__} returned {tokens!r} for a text of {len(text)} characters: "
            "a counter returns a whole number, 0 or more"
        )
    return tokens
