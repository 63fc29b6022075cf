"""Questions of an MCP server to a language model: asked through the application's own, if somebody allows it."""

from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import anyio
from mcp.types import (
    INVALID_REQUEST,
    CreateMessageRequestParams,
    CreateMessageResult,
    ErrorData,
    ImageContent,
    SamplingMessage,
    TextContent,
)

from assistant_kit.deadline import Deadline
from assistant_kit.errors import ConfigurationError
from assistant_kit.messages import AssistantMessage, Item, UserMessage
from assistant_kit.policy_chain import through
from assistant_kit.protocols.model import Model, ModelRequest, ModelResponse, upstream_of
from assistant_kit.protocols.policy import Call, Policy
from assistant_kit.settings import ModelSettings
from assistant_kit.toolsets.mcp.asker import Asker, serving
from assistant_kit.toolsets.mcp.patience import while_a_person_decides
from assistant_kit.toolsets.mcp.results import content_part
from assistant_kit.usage import Usage

_depth: ContextVar[int] = ContextVar("sampling_depth", default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingRequest:
    """What a server wants to ask: all of it is the server's. `max_tokens` is what the answer takes at most."""

    asker: Asker
    instructions: str
    items: Sequence[Item]
    max_tokens: int


Approve: TypeAlias = Callable[[SamplingRequest], Awaitable[bool]]
"""Says whether a question may be asked: a person, or a rule of the application."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How servers may ask a model: `model` through `policies`, as an assistant does, after `approve` has said yes.

    `max_tokens` bounds each answer. `depth` is how many questions of one connection may be under way, one within the
    other; before 2026-07-28, where that cannot be told, one within or beside the other. The server chooses neither
    model nor tools, and sees nothing of any conversation. Raises ConfigurationError.
    """

    model: Model
    approve: Approve
    policies: Sequence[Policy] = ()
    settings: ModelSettings = field(default_factory=ModelSettings)
    max_tokens: int = 1000
    depth: int = 1
    timeout: float = 120.0

    def __post_init__(self) -> None:
        """Refuse what would let nothing through."""
        if self.max_tokens < 1 or self.depth < 1 or not self.timeout > 0:
            raise ConfigurationError("Sampling: max_tokens, depth and timeout are positive")


class Sampler:
    """Answers the questions of one connection."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._under_way = 0

    async def answer(self, params: CreateMessageRequestParams, asker: Asker) -> CreateMessageResult | ErrorData:
        """Ask the model. What goes wrong with it is raised."""
        within = self._under_way if serving.get() is None else _depth.get()
        if within >= self._sampling.depth:
            return _refusal("a request for sampling is under way already")
        token = _depth.set(_depth.get() + 1)
        self._under_way += 1
        try:
            return await self._answer(params, asker)
        finally:
            self._under_way -= 1
            _depth.reset(token)

    async def _answer(self, params: CreateMessageRequestParams, asker: Asker) -> CreateMessageResult | ErrorData:
        items = [_item(message) for message in params.messages]
        known = [item for item in items if item is not None]
        if len(known) < len(items) or params.tools:
            return _refusal("only text and images can be sampled from, without tools")
        request = SamplingRequest(
            asker=asker,
            instructions=params.system_prompt or "",
            items=known,
            max_tokens=max(1, min(params.max_tokens, self._sampling.max_tokens)),
        )
        with while_a_person_decides():
            approved = await self._sampling.approve(request)
        if not approved:
            return _refusal("the request for sampling was declined")
        response = await self._ask(request, params.temperature)
        cut = response.finish == "length"
        text = TextContent(type="text", text=response.text)
        return CreateMessageResult(
            role="assistant", content=text, model=response.model, stop_reason="maxTokens" if cut else "endTurn"
        )

    async def _ask(self, request: SamplingRequest, temperature: float | None) -> ModelResponse:
        sampling = self._sampling
        settings = sampling.settings
        asked = ModelRequest(
            instructions=request.instructions,
            items=request.items,
            settings=replace(
                settings,
                max_output_tokens=request.max_tokens,
                temperature=settings.temperature if temperature is None else temperature,
            ),
            stream=False,
        )
        serves = serving.get()
        now = anyio.current_time()
        deadline = (Deadline() if serves is None else serves.deadline).earlier(sampling.timeout, now=now)
        call = Call(
            kind="model",
            name=sampling.model.name,
            upstream=upstream_of(sampling.model),
            effect="read",  # asking again costs, and does nothing else
            deadline=deadline,
            user=request.asker.user,
            output_tokens=request.max_tokens,
            model=sampling.model,
            usage=_usage_of,
        )

        async def make(call: Call) -> ModelResponse:
            model = call.model or sampling.model
            return await model.respond(replace(asked, deadline=call.deadline), call.emit)

        with anyio.fail_after(deadline.remaining(now)):
            return await through(sampling.policies, call, make)


def _usage_of(response: ModelResponse) -> Usage:
    return response.usage


def _refusal(words: str) -> ErrorData:
    return ErrorData(code=INVALID_REQUEST, message=words)


def _item(message: SamplingMessage) -> Item | None:
    """Translate a message; None for what no model here is asked about: sounds, and calls of the server's own tools."""
    blocks = message.content if isinstance(message.content, list) else [message.content]
    parts = [content_part(block) for block in blocks if isinstance(block, TextContent | ImageContent)]
    if len(parts) < len(blocks):
        return None
    if message.role == "user":
        return UserMessage(content=tuple(parts))
    return AssistantMessage(text="".join(block.text for block in blocks if isinstance(block, TextContent)))
