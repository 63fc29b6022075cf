"""The model of a simulated world: it decides by the request alone, and fails as providers do."""

import json
import re
from collections.abc import Sequence
from itertools import count
from typing import Protocol

import anyio
from anyio.lowlevel import checkpoint

from assistant_kit.errors import (
    ModelBroke,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelTimeout,
    ModelUnavailable,
    ModelUnreachable,
)
from assistant_kit.events import Token
from assistant_kit.messages import (
    AssistantMessage,
    DeveloperMessage,
    Item,
    OutputItem,
    ToolAnswer,
    ToolCall,
    UserMessage,
    text_of,
)
from assistant_kit.protocols.model import Emit, ModelRequest, ModelResponse
from assistant_kit.testing.simulation import Faults
from assistant_kit.tool_spec import ToolSpec
from assistant_kit.toolsets.read_result import NAME
from assistant_kit.usage import Usage
from tests.simulation.script import REREAD, Heard, heard

_FAILS = 0.06
_BREAKS = 0.02
_HANGS = 0.01
_GARBLES = 0.02
_RAMBLES = 0.3
_HANDLE = re.compile(r'read_result\("([^"]+)"')
_TOO_LONG = 400.0  # seconds: longer than any run may take


class Watch(Protocol):
    """Who looks at what the model is asked."""

    def asked(self, request: ModelRequest, said: Heard) -> int:
        """Return the number of a request that has reached the model."""
        ...


class Brain:
    """Follows the plan in the last message of the user. `ids` says how it names its calls.

    Its answers have up to `talk` characters more than they need.
    """

    name = "simulated"

    def __init__(self, faults: Faults, watch: Watch, nonces: "count[int]", *, ids: str, talk: int) -> None:
        self._faults = faults
        self._watch = watch
        self._nonces = nonces
        self._ids = ids
        self._talk = talk

    async def aclose(self) -> None:
        """Hold nothing."""

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        """Answer a request."""
        index = max(index for index, item in enumerate(request.items) if isinstance(item, UserMessage))
        message = request.items[index]
        assert isinstance(message, UserMessage)
        said = heard(text_of(message.content))
        number = self._watch.asked(request, said)
        await self._faults.travel()
        await self._fail()
        items = self._items(request, said, request.items[index + 1 :])
        await self._stream(request, items, emit)
        usage = Usage(requests=1, input_tokens=len(request.items), output_tokens=len(items))
        finish = "tool_calls" if isinstance(items[-1], ToolCall) else "stop"
        return ModelResponse(items=items, usage=usage, model=f"{self.name}/{number}", finish=finish)

    async def _fail(self) -> None:
        if self._faults.strikes("model_hangs", _HANGS):
            await anyio.sleep(_TOO_LONG)
        if self._faults.strikes("model_fails", _FAILS):
            failure = self._faults.chance.choice(_FAILURES)
            raise failure()

    def _items(self, request: ModelRequest, said: Heard, since: Sequence[Item]) -> tuple[OutputItem, ...]:
        step = _batches(since)
        if step < len(said.steps):
            calls = tuple(self._call(request, said, step, index) for index in range(len(said.steps[step])))
            text = f"{said.canary} let me see: "
            return (AssistantMessage(text=text), *calls) if self._faults.chance.random() < 0.3 else calls
        outcomes = ",".join(item.outcome for item in since if isinstance(item, ToolAnswer))
        answer = f"{said.canary} answer to {said.ref}: {outcomes}{self._talkative()}"
        if request.output is not None:
            repaired = isinstance(since[-1], DeveloperMessage) if since else False
            rambles = not repaired and self._faults.strikes("model_rambles", _RAMBLES)
            answer = f"{answer}, in no format" if rambles else json.dumps({"text": answer}, ensure_ascii=False)
        return (AssistantMessage(text=answer),)

    def _talkative(self) -> str:
        return " and so on" * (self._faults.chance.choice((0, 0, self._talk // 2, self._talk)) // 10)

    def _call(self, request: ModelRequest, said: Heard, step: int, index: int) -> ToolCall:
        tool, nonce = said.steps[step][index], next(self._nonces)
        ids = {"unique": f"call_{nonce}", "repeated": f"call_{index}", "same": "call", "none": ""}
        arguments: dict[str, object] = {"ref": f"{said.canary} {said.ref}/{step}.{index}", "nonce": nonce}
        if tool == REREAD:
            handles = _handles(request)
            tool = NAME if handles else "look"
            arguments = {"handle": self._faults.chance.choice(handles)} if handles else arguments
        elif tool == "ask":
            arguments = {"message": f"{said.canary} {said.ref}/{nonce}: look pay", "nonce": nonce}
        text = json.dumps(arguments, ensure_ascii=False)
        if self._faults.strikes("model_garbles", _GARBLES):
            text = text[:-1]
        return ToolCall(call_id=ids[self._ids], name=tool, arguments=text)

    async def _stream(self, request: ModelRequest, items: tuple[OutputItem, ...], emit: Emit) -> None:
        breaks = self._faults.strikes("model_breaks", _BREAKS)
        for item in items:
            if request.stream and isinstance(item, AssistantMessage):
                half = len(item.text) // 2
                emit(Token(item.text[:half]))
                await checkpoint()
                if breaks:
                    raise ModelBroke("cut off (simulated)", model=self.name)
                emit(Token(item.text[half:]))
        if breaks:
            raise ModelBroke("cut off (simulated)", model=self.name)


def _handles(request: ModelRequest) -> Sequence[str]:
    """Return the names of what can be read again."""
    if not any(isinstance(tool, ToolSpec) and tool.name == NAME for tool in request.tools):
        return ()
    answers = (text_of(item.content) for item in request.items if isinstance(item, ToolAnswer))
    return _HANDLE.findall("\n".join(answers))


def _batches(items: Sequence[Item]) -> int:
    """Count the answers that asked for tools."""
    return sum(
        isinstance(item, ToolCall) and not (index and isinstance(items[index - 1], ToolCall))
        for index, item in enumerate(items)
    )


def _unavailable() -> ModelError:
    return ModelUnavailable("overloaded (simulated)", model=Brain.name, status=503)


def _limited() -> ModelError:
    return ModelRateLimited("slow down (simulated)", model=Brain.name, status=429, retry_after=3.0)


def _unreachable() -> ModelError:
    return ModelUnreachable("no route (simulated)", model=Brain.name)


def _late() -> ModelError:
    return ModelTimeout("too late (simulated)", model=Brain.name)


def _rejected() -> ModelError:
    return ModelRejected("no (simulated)", model=Brain.name, status=400)


_FAILURES = (_unavailable, _unavailable, _limited, _unreachable, _late, _rejected)
