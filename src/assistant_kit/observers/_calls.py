"""The policies that tell observers of calls: one inside of the others, for each call, and one outside, for the rest."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

import anyio

from assistant_kit.entries import FinishReason
from assistant_kit.errors import OutcomeUnknown, ToolError
from assistant_kit.events import Delayed, Delta, Event, FellBack, Retrying
from assistant_kit.messages import Outcome, Part
from assistant_kit.observers._runs import Runs, Watched
from assistant_kit.observers._telling import Telling, name_of, next_span
from assistant_kit.prices import Prices
from assistant_kit.protocols.model import ModelResponse
from assistant_kit.protocols.observer import (
    CallDelayed,
    CallRetried,
    CallStatus,
    ModelCallBegan,
    ModelCallEnded,
    ModelReplaced,
    Notice,
    RunBegan,
    ToolCallBegan,
    ToolCallEnded,
)
from assistant_kit.protocols.policy import Call, Proceed, T
from assistant_kit.protocols.toolset import ToolOutput
from assistant_kit.tool_spec import may_repeat
from assistant_kit.usage import Usage


@dataclass(frozen=True, slots=True)
class Listening:
    """The outermost policy: hears what the others tell the reader of a run."""

    telling: Telling

    async def around(self, call: Call, proceed: Proceed[T]) -> T:
        """Make the call."""
        reader, telling = call.notify, self.telling

        def notify(event: Event) -> None:
            reader(event)
            notice = _notice(call, event)
            if notice is not None:
                telling.tell(notice)

        return await proceed(replace(call, notify=notify))

    def explain(self, call: Call) -> str:
        """Return nothing: it does nothing to a call."""
        del call
        return ""


@dataclass(frozen=True, slots=True)
class Watching:
    """The policy around each call that is really made, and around the runs in which they are."""

    telling: Telling
    prices: Prices
    runs: Runs

    async def around(self, call: Call, proceed: Proceed[T]) -> T:
        """Make the call."""
        if call.kind == "model":
            return await Attempt(call, self.telling, self.prices, self.runs.of(call.run)).ask(proceed)
        return await (self._use(call, proceed) if call.kind == "tool" else proceed(call))

    def watch_run(self, began: RunBegan, *, is_tool: Callable[[str], bool]) -> AbstractContextManager[Watched]:
        """Return what tells of a run that is made in its block."""
        return self.runs.watch(began, is_tool=is_tool)

    async def _use(self, call: Call, proceed: Proceed[T]) -> T:
        began = ToolCallBegan(
            span=next_span(),
            run=call.run,
            user=call.user,
            tool=call.name,
            upstream=call.upstream,
            effect=call.effect,
            call_id=call.call_id,
        )
        self.telling.tell(began)
        at = anyio.current_time()
        try:
            result = await proceed(call)
        except BaseException as error:
            self._used(began, at, _outcome(call, error), error=_failure(error))
            raise
        output = result if isinstance(result, ToolOutput) else None
        failed = output is not None and output.is_error
        self._used(began, at, "error" if failed else "ok", content=() if output is None else output.content)
        return result

    def _used(
        self, began: ToolCallBegan, at: float, outcome: Outcome, *, error: str = "", content: Sequence[Part] = ()
    ) -> None:
        seconds = anyio.current_time() - at
        plain = ToolCallEnded(began=began, outcome=outcome, seconds=seconds, error=error)
        self.telling.end(plain, lambda: replace(plain, content=content))

    def explain(self, call: Call) -> str:
        """Return nothing: it does nothing to a call."""
        del call
        return ""


@dataclass(slots=True)
class Attempt:
    """One request to a model."""

    call: Call
    telling: Telling
    prices: Prices
    run: Watched | None
    at: float = field(default_factory=anyio.current_time)
    first: float | None = None

    async def ask(self, proceed: Proceed[T]) -> T:
        """Make it."""
        call = self.call
        began = ModelCallBegan(
            span=next_span(),
            run=call.run,
            user=call.user,
            model=call.name,
            upstream=call.upstream or call.name,
            streams=call.streams,
            prompt_tokens=call.prompt_tokens,
            output_tokens=call.output_tokens,
        )
        self.telling.tell(began)
        try:
            result = await proceed(replace(call, emit=self._timed(call.emit)) if call.streams else call)
        except BaseException as error:
            failure = _failure(error)
            self._end(began, "error" if failure else "cancelled", error=failure)
            raise
        self._end(began, "ok", response=result if isinstance(result, ModelResponse) else None)
        return result

    def _timed(self, emit: Callable[[Delta], None]) -> Callable[[Delta], None]:
        """Return an `emit` that notes when the first piece comes; of the others it only asks whether they are it."""

        def emit_and_note(delta: Delta) -> None:
            if self.first is None:
                self.first = anyio.current_time() - self.at
                if self.run is not None:
                    self.run.spoke(self.first)
            emit(delta)

        return emit_and_note

    def _end(
        self, began: ModelCallBegan, status: CallStatus, *, error: str = "", response: ModelResponse | None = None
    ) -> None:
        usage, finish, model, cost = _read(response, began.model, self.prices)
        if usage is not None and self.run is not None:
            self.run.used(usage, cost)
        plain = ModelCallEnded(
            began=began,
            status=status,
            seconds=anyio.current_time() - self.at,
            first_token=self.first,
            response_model=model,
            finish=finish,
            usage=usage,
            cost=cost,
            error=error,
        )
        self.telling.end(plain, lambda: replace(plain, messages=() if response is None else response.items))


def _read(
    response: ModelResponse | None, asked: str, prices: Prices
) -> tuple[Usage | None, FinishReason | None, str | None, int | None]:
    """Return what an answer tells: usage, why it ended, the model's name, and what it has cost."""
    if response is None:
        return None, None, None, None
    known = next((name for name in (response.model, asked) if prices.find(name) is not None), None)
    usage = response.usage
    cost = None if known is None or not usage.reported else prices.cost(known, usage)
    return usage, response.finish, response.model, cost


def _failure(error: BaseException) -> str:
    """Return the name of a failure; "" for the end of the work from outside."""
    return name_of(error) if isinstance(error, Exception) else ""


def _outcome(call: Call, error: BaseException) -> Outcome:
    if isinstance(error, OutcomeUnknown):
        return "unknown"
    if not _failure(error):
        return "cancelled" if may_repeat(call.effect) else "unknown"
    late = isinstance(error, TimeoutError) and not may_repeat(call.effect)
    return "unknown" if late else "error"


def _notice(call: Call, event: Event) -> Notice | None:
    """Return what is told of an event that policies have made; None for another one."""
    if event.kind == "retrying":
        return _retried(call, event)
    if event.kind == "fell_back":
        return _replaced(call, event)
    return _delayed(call, event) if event.kind == "delayed" else None


def _retried(call: Call, event: Retrying) -> CallRetried:
    cause = event.error.__cause__ if type(event.error) is ToolError else None  # what stands for a foreign error
    return CallRetried(
        run=call.run,
        call=call.kind,
        name=call.name,
        attempt=event.attempt,
        delay=event.delay,
        error=name_of(cause or event.error),
    )


def _replaced(call: Call, event: FellBack) -> ModelReplaced:
    error = "" if event.error is None else name_of(event.error)
    return ModelReplaced(run=call.run, model=event.model, to=event.to, reason=event.reason, error=error)


def _delayed(call: Call, event: Delayed) -> CallDelayed:
    return CallDelayed(run=call.run, call=event.call, name=event.name, reason=event.reason, expected=event.expected)
