"""A run that observers are told of: what happens in it beside its calls, and what these used together."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import anyio

from assistant_kit.events import ApprovalRequired, ContextCompacted, Event, ToolResult
from assistant_kit.messages import Item
from assistant_kit.observers._telling import Telling, name_of, next_span
from assistant_kit.protocols.observer import ApprovalAsked, Compacted, RunBegan, RunEnded, RunStatus, ToolAnswered
from assistant_kit.usage import Usage


class Runs:
    """The runs that go on now."""

    def __init__(self, telling: Telling) -> None:
        """Begin with none."""
        self._telling = telling
        self._runs: dict[str, Watched] = {}

    def of(self, run: str) -> "Watched | None":
        """Return a run that goes on, by the id of its turn."""
        return self._runs.get(run)

    @contextmanager
    def watch(self, began: RunBegan, *, is_tool: Callable[[str], bool]) -> "Generator[Watched]":
        """Tell of a run that is made in this block."""
        plain = replace(began, span=next_span(), messages=None)
        watched = Watched(self._telling, plain, is_tool)
        self._telling.tell(plain, lambda: replace(plain, messages=began.messages))
        self._runs[plain.run] = watched
        try:
            yield watched
        except BaseException as error:
            watched.failed(error)
            raise
        finally:
            self._runs.pop(plain.run, None)
            watched.tell_end()


class Watched:
    """A run that is watched: hears its events, and adds up what its calls used."""

    def __init__(self, telling: Telling, began: RunBegan, is_tool: Callable[[str], bool]) -> None:
        """Begin now."""
        self.began: RunBegan = began
        self.at: float = anyio.current_time()
        self._telling = telling
        self._is_tool = is_tool
        self._status: RunStatus = "cancelled"
        self._error = ""
        self._messages: Sequence[Item] = ()
        self._usage = Usage()
        self._cost: int | None = None
        self._first: tuple[float, float] | None = None

    def hear(self, event: Event) -> None:
        """Take an event of the run that no policy has made: what becomes of tool calls, and of the window."""
        run = self.began.run
        if event.kind == "tool_result":
            self._answered(event)
        elif event.kind == "compacted":
            self._telling.tell(_compacted(run, event))
        elif event.kind == "approval_required":
            self._telling.tell(_approval(run, event))

    def ended(self, status: RunStatus, messages: Sequence[Item] = ()) -> None:
        """Note how the run has ended, if nothing comes after it."""
        self._status, self._messages = status, messages

    def failed(self, error: BaseException) -> None:
        """Note what was raised."""
        self._status = "failed" if isinstance(error, Exception) else "cancelled"
        self._error = name_of(error) if isinstance(error, Exception) else ""

    def used(self, usage: Usage, cost: int | None) -> None:
        """Add what a call has used, and cost."""
        self._usage += usage
        if cost is not None:
            self._cost = cost + (self._cost or 0)

    def spoke(self, waited: float) -> None:
        """Note that a call which was made `waited` seconds ago has shown the reader the first of an answer."""
        if self._first is None:
            seconds = anyio.current_time() - self.at
            self._first = (seconds, max(0.0, seconds - waited))

    def tell_end(self) -> None:
        """Tell that the run has ended."""
        first, added = self._first or (None, None)
        plain = RunEnded(
            began=self.began,
            status=self._status,
            seconds=anyio.current_time() - self.at,
            usage=self._usage,
            cost=self._cost,
            first_token=first,
            added=added,
            error=self._error,
        )
        self._telling.end(plain, lambda: replace(plain, messages=self._messages))

    def _answered(self, event: ToolResult) -> None:
        tool = event.tool if self._is_tool(event.tool) else ""
        plain = ToolAnswered(run=self.began.run, tool=tool, call_id=event.call_id, outcome=event.outcome)
        self._telling.tell(plain, lambda: replace(plain, tool=event.tool, content=event.content))


def _compacted(run: str, event: ContextCompacted) -> Compacted:
    return Compacted(
        run=run,
        strategy=event.strategy,
        dropped_turns=event.dropped_turns,
        tokens_before=event.tokens_before,
        tokens_after=event.tokens_after,
    )


def _approval(run: str, event: ApprovalRequired) -> ApprovalAsked:
    return ApprovalAsked(run=run, tool=event.tool, call_id=event.call_id)
