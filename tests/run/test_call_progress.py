"""Progress of a tool call: shown to the reader of the run, from any thread, seldom enough, and never after the end."""

import threading
from collections.abc import Callable
from math import inf, nan
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.deadline import Deadline
from assistant_kit.events import Event, ToolProgress, ToolResult
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.run.call_progress import LONGEST, PAUSE, CallProgress
from assistant_kit.testing.scripted_model import Call, CallTools, ScriptedModel
from assistant_kit.toolsets.functions import tool
from tests.policies.timing import LOOPS, in_virtual_time

pytestmark = pytest.mark.anyio


async def seen(used: Callable[..., Any]) -> list[Event]:
    events: list[Event] = []
    with ScriptedModel([CallTools(Call("copy")), "done"]) as model, anyio.fail_after(10):
        async with Assistant(model, tools=[used]).stream("x") as run:
            events += [event async for event in run]
    return events


def shown(events: list[Event]) -> list[tuple[float, float | None, str | None]]:
    return [(event.progress, event.total, event.message) for event in events if isinstance(event, ToolProgress)]


async def test_what_a_tool_says_of_its_progress_is_an_event_before_its_result() -> None:
    @tool
    async def copy(context: ToolContext) -> str:
        context.report_progress(1, 2, "half")
        await anyio.lowlevel.checkpoint()
        context.report_progress(2, 2)
        return "copied"

    events = await seen(copy)
    assert shown(events) == [(1, 2, "half"), (2, 2, None)]
    about = [event for event in events if isinstance(event, ToolProgress | ToolResult)]
    assert {(event.call_id, event.tool) for event in about} == {(about[0].call_id, "copy")}
    assert isinstance(about[-1], ToolResult)


async def test_a_synchronous_tool_reports_from_its_thread() -> None:
    @tool
    def copy(context: ToolContext) -> str:
        context.report_progress(0.5)
        return "copied"

    assert shown(await seen(copy)) == [(0.5, None, None)]


async def test_nothing_is_shown_of_a_call_that_has_ended() -> None:
    kept: list[ToolContext] = []

    @tool
    async def copy(context: ToolContext) -> str:
        kept.append(context)
        return "copied"

    events = await seen(copy)
    kept[0].report_progress(1)
    await anyio.to_thread.run_sync(kept[0].report_progress, 2)
    thread = threading.Thread(target=kept[0].report_progress, args=(3,))
    thread.start()
    thread.join(5)
    assert shown(events) == []


async def test_a_report_that_is_on_its_way_when_the_call_ends_is_not_shown() -> None:
    events: list[Event] = []
    progress = CallProgress(events.append, call_id="1", tool="copy")

    class Late(float):
        """A figure that is looked at only when the call has ended."""

        def __ge__(self, other: float) -> bool:
            progress.close()
            return super().__ge__(other)

    progress.report(Late(1), 2, None)
    assert events == []


async def test_outside_of_a_run_progress_is_shown_to_nobody() -> None:
    context = ToolContext(
        user=None, conversation=None, call_id="1", tool="copy", idempotency_key="1", deadline=Deadline()
    )
    context.report_progress(1, 2, "half")


@pytest.mark.parametrize("loop", LOOPS)
def test_reports_that_come_too_fast_are_dropped_but_the_last_of_them(loop: str) -> None:
    events: list[Event] = []

    async def report() -> None:
        progress = CallProgress(events.append, call_id="1", tool="copy")
        for step in range(1, 11):
            progress.report(step, 10, None)
        progress.report(10, 10, "again")
        await anyio.sleep(PAUSE)
        progress.report(11, None, None)
        progress.report(12, None, None)

    in_virtual_time(loop, report)
    assert shown(events) == [(1, 10, None), (10, 10, None), (11, None, None)]


async def test_what_has_no_form_on_the_wire_is_not_shown_and_long_words_are_cut() -> None:
    events: list[Event] = []
    progress = CallProgress(events.append, call_id="1", tool="copy")
    for figures in ((nan, None), (inf, 1.0), (1.0, inf)):
        progress.report(*figures, None)
    assert events == []
    progress.report(1, None, "\udc00" + "x" * 2 * LONGEST)
    assert shown(events) == [(1, None, "?" + "x" * (LONGEST - 1))]
