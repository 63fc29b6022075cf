"""The suite that every observer passes."""
# ruff: noqa: D102, S101  (these are tests: a name is a sentence, assert the language)

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from dataclasses import replace

import anyio
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.errors import AssistantKitError, ModelUnavailable, ToolError
from assistant_kit.observers.observing import observed
from assistant_kit.policies.fallback import Fallback
from assistant_kit.policies.retry import Retry
from assistant_kit.protocols.observer import (
    ApprovalAsked,
    CallDelayed,
    CallRetried,
    Compacted,
    ConditionNoted,
    ModelCallBegan,
    ModelCallEnded,
    ModelReplaced,
    Notice,
    Observer,
    RunBegan,
    RunEnded,
    ToolAnswered,
    ToolCallBegan,
    ToolCallEnded,
)
from assistant_kit.protocols.policy import Condition, ConditionChanged
from assistant_kit.testing.scripted_model import Call, CallTools, Cut, Fail, ScriptedModel
from assistant_kit.tool_spec import keyed
from assistant_kit.toolsets.functions import tool
from assistant_kit.usage import Usage

__all__ = ["ObserverConformance", "notices"]

PATIENCE = 30.0
"""Seconds after which a test that waits has failed."""
MARKER = "Zanzibar-4711"
"""What users, models and tools say in these tests, and nothing else does."""
_HARD = (
    "",
    " ",
    'a "quoted" name',
    "two\nlines",
    "back\\slash",
    "half \ud800 a pair",
    "nul \0",
    "漢字 👩‍👩‍👧",
    "x" * 20_000,
)
"""Names that a server or an application may give."""


@tool(effect="read")
def look(what: str) -> str:
    """Look."""
    return f"seen: {what}"


@tool
def refuse(what: str) -> str:
    """Refuse."""
    raise ToolError(what)


@tool
def crash(what: str) -> str:
    """Crash."""
    raise ValueError(what)


class ObserverConformance(ABC):
    """What `protocols/observer.py` asks of an observer, as tests. Derive a class from it in a test file of yours.

        @pytest.mark.anyio
        class TestMyObserver(ObserverConformance):
            def make_observer(self) -> Observer:
                return MyObserver(self.sink)

            def shown(self, observer: Observer) -> str:
                return self.sink.text()

    The observer is made as it is by default: it shows no content then.
    """

    @abstractmethod
    def make_observer(self) -> Observer:
        """Return an observer that was told nothing yet."""

    @abstractmethod
    def shown(self, observer: Observer) -> str:
        """Return as text all that the observer has shown so far, wherever it does."""

    def test_every_notice_is_taken(self) -> None:
        observer = self.make_observer()
        for notice in notices("one"):
            observer.observe(notice)
        assert self.shown(observer)

    @pytest.mark.parametrize("name", _HARD, ids=range(len(_HARD)))
    def test_names_may_be_any_text(self, name: str) -> None:
        observer = self.make_observer()
        for notice in notices(name):
            observer.observe(notice)
        self.shown(observer)

    def test_what_nobody_knows_may_be_missing(self) -> None:
        observer = self.make_observer()
        for notice in _bare():
            observer.observe(notice)

    def test_calls_and_runs_may_overlap(self) -> None:
        observer = self.make_observer()
        tasks = [(Context(), notices(f"run {number}", first=100 * number)) for number in range(3)]
        for _ in notices(""):
            for context, told in tasks:
                context.run(observer.observe, next(told))
        assert self.shown(observer)

    def test_threads_may_tell_at_once(self) -> None:
        observer = self.make_observer()

        def tell(number: int) -> None:
            for notice in notices(f"thread {number % 5}", first=1000 * number):
                observer.observe(notice)

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(tell, range(40)))
        assert self.shown(observer)

    async def test_it_never_raises_and_shows_nothing_that_users_models_or_tools_say(self) -> None:
        observer, strict = self.make_observer(), _Strict()
        strict.observed = observer

        await tell_of_runs(strict)

        assert strict.failures == []
        assert {"run_began", "run_ended", "model_call_ended", "tool_call_ended", "tool_answered"} <= set(strict.kinds)
        assert {"call_retried", "model_replaced"} <= set(strict.kinds)
        assert MARKER not in self.shown(observer)


class _Strict:
    """Passes notices on, and keeps what the observer raises; the library would log it."""

    observed: Observer

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.kinds: list[str] = []

    @property
    def reads_content(self) -> bool:
        """Whether the observer reads content."""
        return bool(getattr(self.observed, "reads_content", False))

    def observe(self, notice: Notice) -> None:
        """Pass a notice on."""
        self.kinds.append(notice.kind)
        try:
            self.observed.observe(notice)
        except Exception as error:  # noqa: BLE001  (whatever it is, it fails the test)
            self.failures.append(error)


async def tell_of_runs(*observers: Observer) -> None:
    """Tell observers of runs in which the marker is said wherever something can be said."""
    asked = [Call(name, {"what": MARKER}) for name in ("look", "refuse", "crash")]
    unknown = [Call(MARKER, {"what": MARKER}), Call("look", f"{{{MARKER}")]
    down = Fail(ModelUnavailable(MARKER, model="first"))
    good = ScriptedModel([down, CallTools(*asked, *unknown, text=MARKER), f"It is {MARKER}."], name="first")
    await _run(observers, good, ScriptedModel([], name="second"))
    cut = ScriptedModel([down, down], name="first")
    await _run(observers, cut, ScriptedModel([f"{MARKER} again."], name="second"))
    lost = [ScriptedModel([down, down], name="first"), ScriptedModel([Cut(after=f"{MARKER} is")], name="second")]
    with pytest.raises(AssistantKitError):
        await _run(observers, *lost)


async def _run(observers: Sequence[Observer], model: ScriptedModel, other: ScriptedModel) -> None:
    policies = observed([Fallback(other), Retry(attempts=2, base=0)], *observers)
    assistant = Assistant(model, tools=[look, refuse, crash], policies=policies)
    with anyio.fail_after(PATIENCE):
        async with assistant.stream(MARKER) as run:
            await run.result()


def notices(name: str, first: int = 1) -> Iterator[Notice]:
    """Return notices of one run, in their order, of every kind; their spans are counted from `first`."""
    began = RunBegan(
        span=first, run=f"r{first}", assistant=name, model=f"openai:{name}", user=name, conversation=name, streams=True
    )
    yield began
    yield CallDelayed(run=began.run, call="model", name=name, reason="queue", expected=0.5)
    asked = ModelCallBegan(
        span=first + 1,
        run=began.run,
        user=name,
        model=f"openai:{name}",
        upstream=f"openai:{name} at https://api.example.com:8443/v1",
        streams=True,
        prompt_tokens=100,
        output_tokens=50,
    )
    yield asked
    yield ModelCallEnded(began=asked, status="error", seconds=0.2, error="ModelUnavailable")
    yield CallRetried(run=began.run, call="model", name=name, attempt=2, delay=0.5, error="ModelUnavailable")
    yield ModelReplaced(run=began.run, model=name, to=name, reason="outage", error="ModelUnavailable")
    again = replace(asked, span=first + 2)
    usage = Usage(requests=1, input_tokens=90, output_tokens=9, cached_tokens=50, reasoning_tokens=3)
    yield again
    yield ModelCallEnded(
        began=again,
        status="ok",
        seconds=1.25,
        first_token=0.25,
        response_model=name,
        finish="tool_calls",
        usage=usage,
        cost=1_500_000,
    )
    yield from _tool_notices(began, name, span=first + 3)
    yield RunEnded(
        began=began, status="completed", seconds=2.0, usage=usage, cost=1_500_000, first_token=0.3, added=0.05
    )


def _tool_notices(began: RunBegan, name: str, *, span: int) -> Iterator[Notice]:
    call = ToolCallBegan(
        span=span,
        run=began.run,
        user=name,
        tool=name,
        upstream="https://tools.example",
        effect=keyed(60),
        call_id="c1",
    )
    yield call
    yield ToolCallEnded(began=call, outcome="ok", seconds=0.01)
    yield ToolAnswered(run=began.run, tool=name, call_id="c1", outcome="ok")
    yield ApprovalAsked(run=began.run, tool=name, call_id="c2")
    yield Compacted(run=began.run, strategy=name, dropped_turns=2, tokens_before=100, tokens_after=40)
    figures = Condition(ok=False, state="open", data={"calls": 20, "rate": 0.5, "by": {"a": 1}, "why": name})
    change = ConditionChanged(name=f"breaker {name}", before="closed", after="open", condition=figures)
    yield ConditionNoted(change=change)
    yield ConditionNoted(change=replace(change, owner=name))


def _bare() -> Iterator[Notice]:
    """Return notices that say no more than they must."""
    began = RunBegan(span=1, run="", assistant="", model="m")
    yield began
    asked = ModelCallBegan(
        span=2, run="", user=None, model="m", upstream="m", streams=False, prompt_tokens=0, output_tokens=0
    )
    yield asked
    yield ModelCallEnded(began=asked, status="cancelled", seconds=0.0)
    again = replace(asked, span=3)
    yield again
    unreported = Usage(requests=1, reported=False)
    yield ModelCallEnded(began=again, status="ok", seconds=0.0, response_model="m", finish="stop", usage=unreported)
    call = ToolCallBegan(span=4, run="", user=None, tool="", upstream="", effect="once")
    yield call
    yield ToolCallEnded(began=call, outcome="unknown", seconds=0.0, error="TimeoutError")
    yield ToolAnswered(run="", tool="", call_id="", outcome="denied")
    yield CallDelayed(run="", call="other", name="", reason="rate_limit", expected=None)
    yield ModelReplaced(run="", model="m", to="n", reason="refusal", error="")
    yield RunEnded(began=began, status="failed", seconds=0.0, usage=Usage(), error="ModelUnavailable")
