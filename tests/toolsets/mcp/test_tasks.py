import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import anyio
import anyio.to_thread
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.deadline import Deadline
from assistant_kit.errors import OutcomeUnknown, StoreUnavailable, ToolError
from assistant_kit.messages import text_of
from assistant_kit.protocols.store import Store
from assistant_kit.protocols.toolset import ReconcilingToolset, ToolContext
from assistant_kit.testing.scripted_model import Call, CallTools, ScriptedModel, Step
from assistant_kit.toolsets.mcp.server import MCPServer
from assistant_kit.toolsets.mcp.tasks import FASTEST, POLL, TaskState
from tests.faulty_store import FaultyStore
from tests.interrupted import World
from tests.toolsets.mcp.servers.control import ask, context, until
from tests.toolsets.mcp.servers.sdk_tasks import Tasks, make_server
from tests.toolsets.mcp.servers.task_desk import Desk, Generation, task_desk

pytestmark = pytest.mark.anyio

BUILD = CallTools(Call("build", {"of": "all"}))
NOTE = "MCP task t1"


@pytest.fixture(params=["2025-11-25", "2026-07-28"])
def generation(request: pytest.FixtureRequest) -> Generation:
    return request.param


@pytest.fixture
def desk(generation: Generation) -> Iterator[Desk]:
    with task_desk(generation) as desk:
        yield desk


@pytest.fixture
def older() -> Iterator[Desk]:
    with task_desk("2025-11-25") as desk:
        yield desk


@pytest.fixture
def newer() -> Iterator[Desk]:
    with task_desk("2026-07-28") as desk:
        yield desk


def writing(write: Callable[[str], Awaitable[None]]) -> ToolContext:
    return replace(context("build"), write_note=write)


def noted(*notes: str, deadline: Deadline | None = None) -> ToolContext:
    return replace(context("build", deadline), notes=notes)


def when_noted(then: Callable[[], None]) -> ToolContext:
    """The context of a call whose task goes on as told once its id is put down."""

    async def write(_: str) -> None:
        then()

    return writing(write)


def soon() -> Deadline:
    return Deadline.after(1.0, now=anyio.current_time())


async def test_tools_whose_calls_may_become_tasks_say_that_they_can_be_asked_after(desk: Desk) -> None:
    async with MCPServer(desk.url) as server:
        toolset: ReconcilingToolset = server
        found = {spec.name for spec in await toolset.tools() if spec.reconciles}
    assert found == ({"build", "test", "clock", "echo"} if desk.newer else {"build", "test"})
    desk.declares = False
    async with MCPServer(desk.url) as server:
        assert not any(spec.reconciles for spec in await server.tools())


async def test_the_id_of_a_task_is_put_down_before_it_is_waited_for(desk: Desk) -> None:
    notes: list[str] = []

    async def write(note: str) -> None:
        assert not [method for method in desk.asked if method.startswith("tasks/")]
        notes.append(note)
        desk.completes("built")

    async with MCPServer(desk.url) as server:
        with anyio.fail_after(5):
            output = await server.call("build", {"of": "all"}, writing(write))
    assert text_of(output.content) == "built"
    assert notes == [NOTE]
    assert desk.started == [{"of": "all"}]
    assert desk.cancelled == []


async def test_a_task_is_asked_after_until_it_has_ended(desk: Desk) -> None:
    def end() -> None:
        for _ in range(3):
            desk.looked.wait(5)
            desk.looked.clear()
        desk.completes("built")

    async with MCPServer(desk.url) as server:
        thread = threading.Thread(target=end)
        thread.start()
        with anyio.fail_after(5):
            output = await server.call("build", {}, context())
        await anyio.to_thread.run_sync(thread.join)
    assert text_of(output.content) == "built"
    assert desk.asked.count("tasks/get") >= 3


async def test_the_server_says_how_often_it_wants_to_be_asked() -> None:
    def pause(**said: Any) -> float:
        return TaskState.model_validate({"taskId": "t1", "status": "working", **said}).pause

    assert (pause(pollInterval=2500), pause(pollIntervalMs=2500)) == (2.5, 2.5)
    assert (pause(), pause(pollInterval=0)) == (POLL, FASTEST)
    assert pause(pollInterval=2500, status="completed") == 0


async def test_a_task_that_has_ended_when_it_is_made_is_not_waited_for(desk: Desk) -> None:
    desk.interval = 60_000
    desk.at_once = {"status": "completed", "result": {"content": [{"type": "text", "text": "built"}]}}
    async with MCPServer(desk.url) as server:
        with anyio.fail_after(5):
            assert await ask(server, "build") == "built"


async def test_the_newer_generation_names_the_task_in_a_header_for_those_who_route_it(newer: Desk) -> None:
    async with MCPServer(newer.url) as server:
        with anyio.fail_after(5):
            await server.call("build", {}, when_noted(lambda: newer.completes("built")))
    assert newer.headers == ["t1"]


async def test_other_calls_stay_as_they_are(desk: Desk) -> None:
    async with MCPServer(desk.url) as server:
        assert await ask(server, "echo", text="hello") == '{"text": "hello"}'
        assert await ask(server, "clock") == "{}"
    assert not desk.tasks


async def test_a_server_that_declares_no_tasks_is_not_asked_for_one(older: Desk) -> None:
    older.declares = False
    async with MCPServer(older.url) as server:
        assert await ask(server, "build", of="all") == '{"of": "all"}'
    assert not older.tasks


async def test_a_failure_that_the_tool_reports_is_a_result_for_the_model(desk: Desk) -> None:
    result = {"content": [{"type": "text", "text": "no such file"}], "isError": True}
    desk.at_once = {"status": "completed" if desk.newer else "failed", "result": result}
    async with MCPServer(desk.url) as server:
        output = await server.call("build", {}, context())
    assert output.is_error
    assert text_of(output.content) == "no such file"


async def test_a_task_that_fails_is_a_tool_error(desk: Desk) -> None:
    desk.at_once = {"status": "failed", "error": {"code": -32603, "message": "no space left"}}
    async with MCPServer(desk.url) as server:
        with pytest.raises(ToolError) as failure:
            await ask(server, "build")
    assert type(failure.value) is ToolError
    assert "no space left" in str(failure.value)


@pytest.mark.parametrize("what", ["cancelled", "input_required", "forgotten", "expired", "odd"])
async def test_nobody_knows_what_became_of_a_call_whose_task_gives_no_result(desk: Desk, what: str) -> None:
    def happens() -> None:
        if what == "forgotten":
            desk.tasks.clear()
        elif what == "expired" and not desk.newer:
            desk.becomes("completed")
        else:
            desk.becomes("odd" if what == "expired" else what)

    async with MCPServer(desk.url, effects={"test": "read"}) as server:
        with anyio.fail_after(5), pytest.raises(OutcomeUnknown):
            await server.call("build", {}, when_noted(happens))
        assert desk.cancelled == (["t1"] if what == "input_required" else [])
        with anyio.fail_after(5), pytest.raises(ToolError) as failure:
            await server.call("test", {}, when_noted(happens))
        assert type(failure.value) is ToolError


async def test_an_answer_that_is_neither_a_result_nor_a_task_leaves_the_outcome_unknown(desk: Desk) -> None:
    async with MCPServer(desk.url) as server:
        desk.faults = [{"result": {"task": "t1"}}]
        with pytest.raises(OutcomeUnknown):
            await ask(server, "build")


async def test_a_task_whose_time_is_over_is_cancelled(desk: Desk) -> None:
    async with MCPServer(desk.url) as server:
        with anyio.fail_after(5), pytest.raises(OutcomeUnknown):
            await server.call("build", {}, context(deadline=soon()))
        assert desk.cancelled == ["t1"]
        assert await ask(server, "echo", text="on") == '{"text": "on"}'


async def test_a_cancelled_call_cancels_its_task(desk: Desk) -> None:
    async with MCPServer(desk.url) as server:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(build, server)
                await until(lambda: bool(desk.tasks))
                await anyio.to_thread.run_sync(desk.looked.wait)
                group.cancel_scope.cancel()
        assert desk.cancelled == ["t1"]


async def build(server: MCPServer) -> None:
    await server.call("build", {}, context())


async def test_interruptions_of_the_connection_are_waited_out(desk: Desk) -> None:
    def interrupt() -> None:
        # The older generation has to connect anew as well, and can do so at the second attempt only.
        desk.session = "s2"
        desk.faults = [503] if desk.newer else [500] * 4
        desk.completes("built")

    async with MCPServer(desk.url) as server:
        with anyio.fail_after(10):
            output = await server.call("build", {}, when_noted(interrupt))
    assert text_of(output.content) == "built"
    assert len(desk.started) == 1
    assert not desk.faults


async def test_an_error_of_the_server_at_the_question_is_no_error_of_the_task(desk: Desk) -> None:
    def interrupt() -> None:
        desk.faults = [{"error": {"code": -32603, "message": "the database is busy"}}]
        desk.completes("built")

    async with MCPServer(desk.url) as server:
        with anyio.fail_after(10):
            output = await server.call("build", {}, when_noted(interrupt))
    assert text_of(output.content) == "built"


async def test_a_note_that_cannot_be_written_does_not_end_the_call(desk: Desk) -> None:
    async def write(_: str) -> None:
        desk.completes("built")
        raise StoreUnavailable("the connection is gone")

    async with MCPServer(desk.url) as server:
        with anyio.fail_after(5):
            output = await server.call("build", {}, writing(write))
    assert text_of(output.content) == "built"


async def test_what_became_of_a_call_is_asked_after_by_its_note(desk: Desk) -> None:
    desk.tasks["t1"] = {}
    async with MCPServer(desk.url) as server:
        desk.completes("built")
        output = await server.reconcile("build", {}, noted("of somebody else", NOTE))
        assert output is not None
        assert text_of(output.content) == "built"
        desk.becomes("failed", error={"code": -32603, "message": "no space left"})
        output = await server.reconcile("build", {}, noted(NOTE))
        assert output is not None
        assert output.is_error
        assert text_of(output.content) == "no space left"
        assert await server.reconcile("build", {}, noted("MCP task t2")) is None
        assert await server.reconcile("build", {}, noted()) is None
    assert not desk.started


async def test_a_task_that_still_runs_is_waited_for_until_the_deadline_and_not_cancelled(desk: Desk) -> None:
    desk.tasks["t1"] = {"status": "working"}
    async with MCPServer(desk.url) as server:
        with anyio.fail_after(5):
            assert await server.reconcile("build", {}, noted(NOTE, deadline=soon())) is None
            async with anyio.create_task_group() as group:
                group.start_soon(complete_when_looked_at, desk)
                output = await server.reconcile("build", {}, noted(NOTE))
                assert output is not None
                assert text_of(output.content) == "built"
    assert not desk.cancelled


async def complete_when_looked_at(desk: Desk) -> None:
    desk.looked.clear()
    await anyio.to_thread.run_sync(desk.looked.wait)
    desk.completes("built")


async def test_a_server_that_has_been_left_is_not_asked(desk: Desk) -> None:
    with anyio.fail_after(5):
        assert await MCPServer(desk.url).reconcile("build", {}, noted(NOTE)) is None


async def test_a_call_that_may_be_made_again_takes_the_result_of_the_task_that_it_has_left(desk: Desk) -> None:
    desk.tasks["t1"] = {}
    desk.completes("built")
    async with MCPServer(desk.url, effects={"build": "idempotent"}) as server:
        with anyio.fail_after(5):
            assert text_of((await server.call("build", {}, noted(NOTE))).content) == "built"
            assert not desk.started
            desk.at_once = desk.tasks.pop("t1")
            assert text_of((await server.call("build", {}, noted(NOTE))).content) == "built"
    assert len(desk.started) == 1


class Workers:
    """Workers that share a store and the server of the desk, and whose model asks for one build."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.world = World()

    def worker(self, *steps: Step, store: Store | None = None) -> Assistant[str]:
        return Assistant(ScriptedModel(steps), tools=[MCPServer(self.desk.url)], store=store or self.world.store)

    async def dies(self, *, fail_at: int) -> None:
        lost = FaultyStore(self.world.store, fail_at=fail_at)
        async with self.worker(BUILD, store=lost) as worker:
            with pytest.raises(StoreUnavailable):
                await worker.run("x", user="u", conversation="c")
        self.world.now += 31

    async def recovered(self) -> tuple[str, str]:
        """Recover by another worker; returns the outcome of the call and its text."""
        async with self.worker("done") as worker:
            with anyio.fail_after(10):
                assert (await worker.recover()).completed == 1
            (turn,) = await worker.conversation("c", user="u").history()
        (call,) = turn.tool_calls
        return call.outcome or "", call.text


BEFORE_THE_NOTE, BEFORE_THE_RESULT = 3, 4  # writes: the turn, the model's wish, the note, the result


async def test_a_worker_that_dies_leaves_its_task_to_another_which_records_the_result(desk: Desk) -> None:
    workers = Workers(desk)
    desk.at_once = {"status": "completed", "result": {"content": [{"type": "text", "text": "built"}]}}
    await workers.dies(fail_at=BEFORE_THE_RESULT)
    assert await workers.recovered() == ("ok", "built")
    assert desk.started == [{"of": "all"}]


async def test_another_worker_waits_for_a_task_that_still_runs(desk: Desk) -> None:
    workers = Workers(desk)
    desk.at_once = {"status": "completed", "result": {"content": [{"type": "text", "text": "early"}]}}
    await workers.dies(fail_at=BEFORE_THE_RESULT)
    desk.becomes("working")
    async with anyio.create_task_group() as group:
        group.start_soon(complete_when_looked_at, desk)
        assert await workers.recovered() == ("ok", "built")
    assert desk.started == [{"of": "all"}]


@pytest.mark.parametrize("fail_at", [BEFORE_THE_NOTE, BEFORE_THE_RESULT])
async def test_a_call_whose_task_nobody_knows_is_unknown_and_not_made_again(desk: Desk, fail_at: int) -> None:
    workers = Workers(desk)
    desk.at_once = {"status": "completed", "result": {"content": []}}
    await workers.dies(fail_at=fail_at)
    if fail_at == BEFORE_THE_RESULT:
        desk.tasks.clear()
    assert (await workers.recovered())[0] == "unknown"
    assert desk.started == [{"of": "all"}]


async def test_a_server_of_the_official_sdk_carries_out_calls_as_tasks() -> None:
    tasks = Tasks()
    notes: list[str] = []

    async def write(note: str) -> None:
        notes.append(note)

    async with MCPServer(make_server(tasks)) as server:
        assert [spec.reconciles for spec in await server.tools()] == [True]
        with anyio.fail_after(5):
            output = await server.call("build", {"of": "all"}, writing(write))
            assert text_of(output.content) == "built all"
            assert await server.reconcile("build", {}, noted(*notes)) == output
            tasks.states["task-1"] = {"status": "working"}
            with pytest.raises(OutcomeUnknown):
                await server.call("build", {"of": "all"}, noted(*notes, deadline=soon()))
    assert notes == ["MCP task task-1"]
    assert tasks.cancelled == list(tasks.states) == ["task-1"]
