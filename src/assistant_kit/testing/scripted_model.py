"""A model that plays given steps, for tests of what stands around a model.

with ScriptedModel([CallTools(Call("add", {"a": 1, "b": 2})), Say("3")]) as model:
    result = await Assistant(model, tools=[add]).run("1 + 2?")
assert model.requests[1].items[-1].kind == "tool_answer"
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from types import TracebackType
from typing import Self, TypeAlias

import anyio
from anyio.lowlevel import checkpoint

from assistant_kit.entries import FinishReason
from assistant_kit.errors import ModelBroke
from assistant_kit.events import Delta, ReasoningToken, RefusalToken, Token
from assistant_kit.messages import AssistantMessage, Json, JsonObject, OutputItem, Reasoning, ToolCall
from assistant_kit.protocols.model import Emit, ModelRequest, ModelResponse
from assistant_kit.usage import Usage

_ONE_REQUEST = Usage(requests=1)
_WORD = re.compile(r"\s*\S+|\s+\Z")
_NUMBERED = re.compile(r"call_(\d+)")


@dataclass(frozen=True, slots=True)
class Say:
    """Answer with a text. It is streamed in `pieces` (default: its words), which joined have to give the text."""

    text: str
    _: KW_ONLY
    pieces: Sequence[str] | None = None
    usage: Usage = _ONE_REQUEST
    finish: FinishReason = "stop"

    def __post_init__(self) -> None:
        if self.pieces is not None and "".join(self.pieces) != self.text:
            raise ValueError(f"the pieces {self.pieces!r} do not give the text {self.text!r} when joined")


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call. `arguments` is a JSON object, or any text to stand in its place; ids are numbered by default."""

    name: str
    arguments: JsonObject | str = field(default_factory=dict[str, Json])
    _: KW_ONLY
    call_id: str | None = None


@dataclass(frozen=True, slots=True, init=False)
class CallTools:
    """Ask for tool calls, after some `text` if there is any."""

    calls: tuple[Call, ...]
    text: str
    usage: Usage

    def __init__(self, *calls: Call, text: str = "", usage: Usage = _ONE_REQUEST) -> None:
        object.__setattr__(self, "calls", calls)
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "usage", usage)


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse to answer, with the model's words."""

    text: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Raise an error, before anything is emitted."""

    error: BaseException


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Break off after some text: emit it, then raise `error` (default: a `ModelBroke`)."""

    after: str
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Delay:
    """Wait for `seconds` on the event loop's clock, then play `step`."""

    seconds: float
    step: "Step"


Step: TypeAlias = "str | Say | CallTools | Refuse | Fail | Cut | Delay | ModelResponse | Callable[[ModelRequest], Step]"
"""What the model does next. A plain text is said; a `ModelResponse` is given as it is; a function decides by the
request."""


class ScriptMismatch(AssertionError):
    """The script was not played to its end, or the model was asked beyond it.

    `planned` steps stood in the script of the model `name`, `asked` requests came.
    """

    def __init__(self, name: str, *, planned: int, asked: int) -> None:
        what = "asked beyond the end of its script" if asked > planned else "not asked for all of its steps"
        super().__init__(f"{name} was {what}: {planned} steps, {asked} requests")
        self.name = name
        self.planned = planned
        self.asked = asked


class ScriptedModel:
    """A model that plays `steps` in order, one a request, and keeps each request in `requests`.

    As a context manager it raises `ScriptMismatch` when steps are left over, or when it was asked for more than there
    are (it does so at that request, too), unless another exception is on its way. Requests that come at the same time
    take steps in the order in which they arrive.
    """

    def __init__(self, steps: Sequence[Step], *, name: str = "scripted") -> None:
        self.requests: list[ModelRequest] = []
        self.closed: bool = False
        self._steps = tuple(steps)
        self._name = name
        self._calls = 0

    @property
    def name(self) -> str:
        """The name in journals, events and errors."""
        return self._name

    def check(self) -> None:
        """Raise `ScriptMismatch` unless each step was played and nothing more was asked for."""
        if len(self.requests) != len(self._steps):
            raise ScriptMismatch(self._name, planned=len(self._steps), asked=len(self.requests))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.check()

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        """Play the next step. Raises what a `Fail` or `Cut` holds, and `ScriptMismatch` beyond the end."""
        index = len(self.requests)
        self.requests.append(replace(request, items=tuple(request.items)))  # the caller may go on with its list
        if index >= len(self._steps):
            self.check()
        await checkpoint()
        return await self._play(self._steps[index], request, emit)

    async def aclose(self) -> None:
        """Note in `closed` that the model was closed."""
        self.closed = True
        await checkpoint()

    async def _play(self, step: Step, request: ModelRequest, emit: Emit) -> ModelResponse:
        match step:
            case Delay():
                await anyio.sleep(step.seconds)
                return await self._play(step.step, request, emit)
            case Fail():
                raise step.error
            case Cut():
                await _stream([Token(piece) for piece in _WORD.findall(step.after)], request, emit)
                raise step.error or ModelBroke("the answer was cut off (as scripted)", model=self._name)
            case Say() if step.pieces is not None:
                await _stream([Token(piece) for piece in step.pieces], request, emit)
                return self._response(step, request)
            case str() | Say() | Refuse() | CallTools() | ModelResponse():
                response = self._response(step, request)
                await _stream([delta for item in response.items for delta in _deltas(item)], request, emit)
                return response
            case _:
                return await self._play(step(request), request, emit)

    def _response(self, step: str | Say | Refuse | CallTools | ModelResponse, request: ModelRequest) -> ModelResponse:
        match step:
            case ModelResponse():
                return step
            case str():
                return self._response(Say(step), request)
            case Say():
                said = (AssistantMessage(text=step.text),)
                return ModelResponse(items=said, usage=step.usage, model=self._name, finish=step.finish)
            case Refuse():
                refused = (AssistantMessage(text="", refusal=step.text),)
                return ModelResponse(items=refused, usage=_ONE_REQUEST, model=self._name)
            case _:
                text = (AssistantMessage(text=step.text),) if step.text else ()
                calls = self._tool_calls(step.calls, request)
                return ModelResponse(items=(*text, *calls), usage=step.usage, model=self._name, finish="tool_calls")

    def _tool_calls(self, calls: Sequence[Call], request: ModelRequest) -> Iterator[ToolCall]:
        """Give each call an id that is new to the conversation, even when another model began it."""
        ids = [_NUMBERED.fullmatch(item.call_id) for item in request.items if isinstance(item, ToolCall)]
        self._calls = max([self._calls, *(int(number[1]) for number in ids if number)])
        for call in calls:
            self._calls += 1
            arguments = call.arguments
            yield ToolCall(
                call_id=f"call_{self._calls}" if call.call_id is None else call.call_id,
                name=call.name,
                arguments=arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False),
            )


async def _stream(deltas: Sequence[Delta], request: ModelRequest, emit: Emit) -> None:
    if request.stream:
        for delta in deltas:
            emit(delta)
            await checkpoint()  # as with a real model, readers and cancellation get their turn between two pieces


def _deltas(item: OutputItem) -> Iterator[Delta]:
    match item:
        case AssistantMessage():
            yield from map(Token, _WORD.findall(item.text))
            yield from map(RefusalToken, _WORD.findall(item.refusal or ""))
        case Reasoning():
            yield from map(ReasoningToken, _WORD.findall(item.text))
        case _:
            pass
