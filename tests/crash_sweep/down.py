"""A model that is down."""

from collections.abc import Awaitable, Callable

from assistant_kit.errors import ModelUnavailable
from assistant_kit.events import Token
from assistant_kit.protocols.model import Emit, ModelRequest, ModelResponse


class Down:
    """Breaks off in the middle of each answer. `around` is called before and after."""

    name = "down"

    def __init__(self, around: Callable[[str], Awaitable[None]]) -> None:
        self._around = around

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        await self._around("before")
        if request.stream:
            emit(Token("Well, "))
        await self._around("after")
        raise ModelUnavailable("down", model=self.name)

    async def aclose(self) -> None:
        """There is nothing to close."""
