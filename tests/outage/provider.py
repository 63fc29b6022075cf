"""A provider that is ill for a while, in virtual time."""

import math
from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import Literal, TypeAlias

import anyio

from assistant_kit.errors import ModelRateLimited, ModelUnavailable
from assistant_kit.messages import AssistantMessage
from assistant_kit.protocols.model import Emit, ModelRequest, ModelResponse
from assistant_kit.usage import Usage

Illness: TypeAlias = Literal["fails 30 %", "fails 100 %", "slows x20", "flaps", "rate-limits"]
ILLNESSES: tuple[Illness, ...] = ("fails 30 %", "fails 100 %", "slows x20", "flaps", "rate-limits")

BEGINS, ENDS = 60.0, 180.0
"""Seconds of virtual time between which the provider is ill."""
_FLAP = 5.0  # seconds up, then as many down
_SLOWER = 20.0
_MEDIAN, _SPREAD = 0.8, 0.4  # of the log-normal time that an answer takes, in seconds
_REFUSING = 0.05  # seconds that a refusal takes


@dataclass(slots=True)
class Provider:
    """A model whose server is ill; it counts what is sent to it. `allowed` requests a second are not rate-limited."""

    illness: Illness | None
    random: Random
    allowed: float
    name: str = "primary"
    sent: int = 0
    sent_ill: int = 0
    failed: int = 0
    running: int = 0
    most: int = 0
    _recent: deque[float] = field(default_factory=deque[float])

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        """Answer after a while, or fail as the illness has it."""
        del request, emit
        now = anyio.current_time()
        ill = self.illness is not None and BEGINS <= now < ENDS
        self.sent += 1
        self.sent_ill += ill
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self._work(now, ill=ill)
        finally:
            self.running -= 1
        usage = Usage(requests=1, input_tokens=500, output_tokens=200)
        return ModelResponse(items=(AssistantMessage(text="answer"),), usage=usage, model=self.name)

    async def _work(self, now: float, *, ill: bool) -> None:
        seconds = math.exp(math.log(_MEDIAN) + _SPREAD * self.random.gauss(0, 1))
        if ill:
            self._refuse_if_limited(now)
            if self.illness == "slows x20":
                seconds *= _SLOWER
            elif self._fails(now):
                self.failed += 1
                await anyio.sleep(_REFUSING)
                raise ModelUnavailable("ill", model=self.name, status=503)
        await anyio.sleep(seconds)

    def _fails(self, now: float) -> bool:
        match self.illness:
            case "fails 30 %":
                return self.random.random() < 0.3
            case "fails 100 %":
                return True
            case "flaps":
                return (now - BEGINS) % (2 * _FLAP) < _FLAP
            case _:
                return False

    def _refuse_if_limited(self, now: float) -> None:
        if self.illness != "rate-limits":
            return
        while self._recent and self._recent[0] <= now - 1:
            self._recent.popleft()
        if len(self._recent) >= self.allowed:
            self.failed += 1
            raise ModelRateLimited("slow down", model=self.name, status=429, retry_after=1.0)
        self._recent.append(now)

    async def aclose(self) -> None:
        """Free nothing."""
