"""A model that is down, and another one that answers in its place."""

from collections.abc import Awaitable, Callable

from assistant_kit.errors import ModelUnavailable
from assistant_kit.protocols.model import Emit, Model, ModelRequest, ModelResponse


class Deputy:
    """Asks a model that is always down first, and then the other one. `around` is called before and after the first."""

    name = "deputy"

    def __init__(self, around: Callable[[str], Awaitable[None]], other: Model) -> None:
        self._around = around
        self._other = other

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        try:
            await self._ask_first()
        except ModelUnavailable:
            await self._around("after")
        return await self._other.respond(request, emit)

    async def _ask_first(self) -> None:
        await self._around("before")
        raise ModelUnavailable("down", model=self.name)

    async def aclose(self) -> None:
        await self._other.aclose()
