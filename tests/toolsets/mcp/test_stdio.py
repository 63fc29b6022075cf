import json
from pathlib import Path

import anyio
import pytest
from mcp import MCPError
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCNotification, JSONRPCRequest

from assistant_kit.errors import OutcomeUnknown, ToolError, ToolsetError
from assistant_kit.toolsets.mcp.delivery import Delivery, delivery_of
from assistant_kit.toolsets.mcp.server import MCPServer
from assistant_kit.toolsets.mcp.stdio import Outbox
from tests.toolsets.mcp.servers.control import (
    alive,
    ask,
    command,
    context,
    kill,
    until_gone,
    until_says,
    until_written,
)

pytestmark = pytest.mark.anyio


async def process_id(server: MCPServer) -> int:
    tool = "about" if "about" in {spec.name for spec in await server.tools()} else "echo"
    return json.loads(await ask(server, tool))["pid"]


async def test_a_process_lives_as_long_as_its_context() -> None:
    async with MCPServer(command("tool_server")) as server:
        pid = await process_id(server)
        assert alive(pid)
    assert not alive(pid)


async def test_a_process_gets_the_environment_and_the_folder_that_were_given_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "of the application")
    async with MCPServer(command("tool_server")) as server:
        assert json.loads(await ask(server, "about"))["secret"] == ""
    mark = tmp_path / "mark"
    async with MCPServer(command("tool_server"), env={"SECRET": "for the server"}, cwd=tmp_path) as server:
        assert json.loads(await ask(server, "about"))["secret"] == "for the server"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.call, "wait", {"mark": "mark"}, context())
            await until_says(mark, "started")
            tasks.cancel_scope.cancel()


async def test_what_a_server_leaves_behind_goes_with_it() -> None:
    async with MCPServer(command("tool_server")) as server:
        child = int(await ask(server, "leave_child"))
        assert alive(child)
    await until_gone(child)


async def test_after_a_crash_between_calls_the_next_call_starts_a_new_process() -> None:
    async with MCPServer(command("old_server")) as server:
        first = await process_id(server)
        await kill(first)
        assert "hello" in await ask(server, "echo", text="hello")
        second = await process_id(server)
        await kill(second)
        assert [spec.name for spec in await server.tools()] == ["echo"]
    assert not alive(second)


async def test_calls_that_come_together_after_a_crash_start_one_process() -> None:
    async with MCPServer(command("old_server")) as server:
        await kill(await process_id(server))
        found: set[int] = set()

        async def look() -> None:
            found.add(await process_id(server))

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(look)
        assert len(found) == 1


async def test_a_crash_in_mid_call_leaves_the_outcome_unknown_and_the_next_call_works(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    async with MCPServer(command("tool_server")) as server:
        pid = await process_id(server)

        async def call() -> None:
            with pytest.raises(OutcomeUnknown):
                await ask(server, "wait", mark=str(mark))

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                await until_says(mark, "started")
                await kill(pid)
            assert await ask(server, "add", a=1, b=2) == "3"


async def test_a_server_that_ends_itself_in_a_call_is_started_again() -> None:
    async with MCPServer(command("tool_server")) as server:
        with pytest.raises(OutcomeUnknown):
            await ask(server, "die", words="good-bye")
        assert await ask(server, "add", a=1, b=2) == "3"


async def test_a_server_that_cannot_be_started_again_fails_the_call_in_words_for_the_model(tmp_path: Path) -> None:
    script = tmp_path / "server"
    script.write_text("#!/bin/sh\nexec " + " ".join(command("old_server")))
    script.chmod(0o755)
    async with MCPServer([str(script)]) as server:
        pid = await process_id(server)
        script.write_text("#!/bin/sh\necho secret of the application >&2; exit 5")
        await kill(pid)
        with pytest.raises(ToolError) as failure:
            await ask(server, "echo")
        assert type(failure.value) is ToolError
        assert "secret" not in str(failure.value)
        assert isinstance(failure.value.__cause__, ToolsetError)
        with pytest.raises(ToolsetError):
            await server.tools()


async def test_noise_on_the_channel_of_the_protocol_does_no_harm() -> None:
    async with MCPServer(command("tool_server")) as server:
        assert await ask(server, "say", text="noise") == "said"
        assert await ask(server, "say", text='{"jsonrpc": "2.0"}') == "said"
        assert await ask(server, "add", a=1, b=2) == "3"


async def test_a_server_that_dies_of_the_new_protocol_is_asked_in_the_old_one() -> None:
    async with MCPServer(command("old_server")) as server:
        (spec,) = await server.tools()
        assert spec.parameters == {"type": "object", "properties": {}}
        assert json.loads(await ask(server, "echo", text="hello"))["text"] == "hello"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (["no-such-command-here"], "was not found"),
        (["/etc/passwd"], "may not be executed"),
        (["sh", "-c", "echo a key is missing >&2; exit 3"], "exit code 3; the last it wrote: a key is missing"),
        (["sh", "-c", "echo usage: server FILE"], "exit code 0; the last it wrote: usage: server FILE"),
        (["sh", "-c", "kill -9 $$"], "signal 9"),
        (["a\0b"], "cannot be started"),
    ],
)
async def test_a_command_that_does_not_become_a_server_says_why(line: list[str], told: str) -> None:
    with anyio.fail_after(10), pytest.raises(ToolsetError) as failure:
        async with MCPServer(line, name="broken"):
            pass
    assert failure.value.toolset == "broken"
    assert told in str(failure.value)


async def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolsetError) as failure:
        async with MCPServer(command("tool_server"), cwd=tmp_path / "nowhere"):
            pass
    assert "nowhere" in str(failure.value)


async def test_a_server_that_ignores_everything_ends_in_bounded_time() -> None:
    with anyio.fail_after(15), pytest.raises(ToolsetError) as failure:
        async with MCPServer(command("stubborn_server"), connect_timeout=1):
            pass
    said = str(failure.value)
    assert "connect_timeout=1" in said
    pid = int(said.partition("the last it wrote: ")[2].partition(";")[0])
    assert not alive(pid)


async def test_a_caller_that_is_cancelled_while_connecting_leaves_no_process(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    silent = ["sh", "-c", f"echo $$ > {mark}; exec cat > /dev/null"]
    pid = 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(MCPServer(silent).__aenter__)
        pid = int(await until_written(mark))
        tasks.cancel_scope.cancel()
    assert not alive(pid)


async def test_a_message_that_is_not_written_any_more_was_not_sent() -> None:
    async with await anyio.open_process(["true"]) as process:
        assert process.stdin is not None
        outbox = Outbox(process.stdin)
        outbox.close()
        request = JSONRPCRequest(jsonrpc="2.0", id=1, method="tools/call")
        with pytest.raises(MCPError) as refusal:
            await outbox.send(SessionMessage(request))
        assert delivery_of(refusal.value) == Delivery(may_have_run=False, reconnect=True)
        with pytest.raises(anyio.BrokenResourceError):
            await outbox.send(SessionMessage(JSONRPCNotification(jsonrpc="2.0", method="notifications/cancelled")))
