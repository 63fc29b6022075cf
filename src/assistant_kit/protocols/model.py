"""The contract of a language model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, runtime_checkable

from assistant_kit.deadline import Deadline
from assistant_kit.entries import FinishReason
from assistant_kit.events import Delta
from assistant_kit.messages import AssistantMessage, Item, JsonObject, OutputItem, ToolCall
from assistant_kit.settings import ModelSettings
from assistant_kit.tool_spec import HostedTool, ToolSpec
from assistant_kit.usage import RateLimits, Usage

Emit: TypeAlias = Callable[[Delta], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSchema:
    """The JSON schema that the answer has to fit; `name` is what the provider sees."""

    name: str
    schema: JsonObject
    strict: bool = True


@dataclass(slots=True, kw_only=True)
class Progress:
    """What is known of an answer while it comes.

    A model that streams adds to `beats` whenever anything arrives, and sets `begun` when the answer itself has begun:
    its text, its reasoning, a tool call. `started` tells that a delta has reached the reader, `text` what of the
    answer the reader has been shown.
    """

    beats: int = 0
    begun: bool = False
    started: bool = False
    text: list[str] = field(default_factory=list[str])

    def retract(self) -> str:
        """Return the text that the reader has been shown, and take it as not shown: the reader is told so."""
        shown = "".join(self.text)
        self.text.clear()
        self.started = False
        return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One question to a model. `stream` tells whether a reader wants deltas as they come.

    Who asks cancels the call at `deadline`: a model need not watch it, and may use it to plan. A model that streams
    keeps `progress` up to date.
    """

    instructions: str = ""
    items: Sequence[Item]
    tools: Sequence[ToolSpec | HostedTool] = ()
    output: OutputSchema | None = None
    settings: ModelSettings = field(default_factory=ModelSettings)
    stream: bool = True
    deadline: Deadline = field(default_factory=Deadline)
    progress: Progress = field(default_factory=Progress, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelResponse:
    """One whole answer. `model` is the name that the server gave, `limits` what it said of its rate limits."""

    items: tuple[OutputItem, ...]
    usage: Usage
    model: str
    finish: FinishReason = "stop"
    limits: RateLimits | None = None

    @property
    def text(self) -> str:
        """The text of the answer."""
        return "".join(item.text for item in self.items if isinstance(item, AssistantMessage))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that the model asks for, in its order."""
        return tuple(item for item in self.items if isinstance(item, ToolCall))


class Model(Protocol):
    """A language model, or what stands in for one."""

    @property
    def name(self) -> str:
        """The name in journals, events and errors, such as `openai:gpt-5.6-luna`."""
        ...

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        """Answer a request.

        `emit` takes each delta as it comes when `request.stream` is true and is not called otherwise. A response is
        whole: an answer that was cut off is a `ModelBroke`, and every failure on the way is a `ModelError`. What is
        wrong before anything is sent may be a `ConfigurationError` or an `InputError`. Leaving by cancellation stops
        the work.
        """
        ...

    async def aclose(self) -> None:
        """Free connections; the model is not used afterwards. May be called twice."""
        ...


@runtime_checkable
class ServedModel(Protocol):
    """A model that can tell whether its server counts tokens as OpenAI's does."""

    @property
    def counts_as_openai(self) -> bool:
        """Whether its prompts are tokenized and framed as OpenAI's own server does it. Raises ConfigurationError."""
        ...


@runtime_checkable
class LocatedModel(Protocol):
    """A model that can tell where it is asked: two of one name at two addresses do not fail together."""

    @property
    def upstream(self) -> str:
        """The name and the place, such as `openai:gpt-5.6-luna at https://api.openai.com/v1`."""
        ...


def upstream_of(model: Model) -> str:
    """Return what a model fails with: its place, or its name where it has none."""
    return model.upstream if isinstance(model, LocatedModel) else model.name


def counts_as_openai(model: Model) -> bool:
    """Tell whether counts by OpenAI's rules hold for a model; a model that does not say is taken at its word."""
    return model.counts_as_openai if isinstance(model, ServedModel) else True
