"""Tools served as MCP, on both generations of the wire and over each transport, seen by the official client."""

import json
import logging
import sys
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from io import BufferedReader, BytesIO, RawIOBase, TextIOWrapper
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx2
import pytest
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.client.session import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp.server import Server
from mcp.types import (
    CLIENT_CAPABILITIES_META_KEY,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    PROTOCOL_VERSION_META_KEY,
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ElicitRequestParams,
    ElicitResult,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    ListPromptsResult,
    LoggingMessageNotificationParams,
    PaginatedRequestParams,
    Prompt,
    ResourceLink,
    SetLevelRequest,
    SetLevelRequestParams,
    TextContent,
)

from assistant_kit.errors import ToolsetError
from assistant_kit.integrations.serving import ServingSettings, tool_server
from assistant_kit.messages import File, Image, Part
from assistant_kit.protocols.toolset import Offering, ToolContext
from assistant_kit.toolsets.functions import FunctionTools, tool
from tests.integrations.serving.hosting import TOOLS, add, hosted
from tests.integrations.serving.test_contract import who
from tests.policies.timing import LOOPS
from tests.toolsets.mcp.servers.control import until_says
from tests.toolsets.mcp.servers.tool_server import PNG

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[3]
MODERN: dict[str, Any] = {PROTOCOL_VERSION_META_KEY: "2026-07-28", CLIENT_CAPABILITIES_META_KEY: {}}
Mode = Literal["auto", "legacy"]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Run on asyncio: on trio the official client leaves generators behind, which is a warning.

    The server is under test here: it runs on trio over pipes; MCPServer asks it on both in tests/toolsets.
    """
    return "asyncio"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with hosted(tool_server(TOOLS, name="demo", authenticate=who)) as url:
        yield url


@asynccontextmanager
async def client(url: str, mode: Mode, user: str = "a", **options: Any) -> AsyncGenerator[Client]:
    headers = {"authorization": f"Bearer {user}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=10) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode, **options) as client,
    ):
        yield client


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> Mode:
    return request.param


def text(result: CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


async def test_both_generations_are_spoken(url: str, mode: Mode) -> None:
    async with client(url, mode) as demo:
        assert demo.protocol_version == {"auto": "2026-07-28", "legacy": "2025-11-25"}[mode]
        assert demo.server_info is not None
        assert demo.server_info.name == "demo"
        (described,) = [each for each in (await demo.list_tools()).tools if each.name == "add"]
        assert described.input_schema["required"] == ["a", "b"]
        assert described.annotations is not None
        assert described.annotations.read_only_hint
        assert text(await demo.call_tool("add", {"a": 1, "b": 2})) == "3"


async def test_who_asks_is_told_by_the_connection(url: str, mode: Mode) -> None:
    async with client(url, mode, "a") as ann, client(url, mode, "b") as bob:
        told = [json.loads(text(await each.call_tool("about", {}))) for each in (ann, bob)]
        assert [each["user"] for each in told] == ["ann", "bob"]


async def test_who_is_not_known_is_not_let_in(url: str) -> None:
    with pytest.raises(ExceptionGroup):
        async with client(url, "legacy", "wrong") as nobody:
            await nobody.list_tools()


async def test_a_session_belongs_to_who_began_it(url: str) -> None:
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}},
    }
    headers = {"accept": "application/json, text/event-stream", "authorization": "Bearer a"}
    async with httpx2.AsyncClient(base_url=url, headers=headers) as http:
        session = {"mcp-session-id": (await http.post("/mcp", json=hello)).headers["mcp-session-id"]}
        listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        assert (await http.post("/mcp", json=listing, headers=session)).status_code == 200
        other = {**session, "authorization": "Bearer b"}
        assert (await http.post("/mcp", json=listing, headers=other)).status_code == 404


async def test_a_tool_that_is_not_there_is_an_error_of_the_protocol(url: str, mode: Mode) -> None:
    async with client(url, mode) as demo:
        await demo.list_tools()
        for name in ("nothing", "pay"):
            with pytest.raises(MCPError) as failure:
                await demo.call_tool(name, {})
            assert failure.value.code == INVALID_PARAMS


async def test_what_goes_wrong_in_a_tool_is_a_result(url: str, mode: Mode) -> None:
    async with client(url, mode) as demo:
        for name in ("refuse", "explode", "add"):
            result = await demo.call_tool(name, {})
            assert result.is_error
            assert "hunter2" not in text(result)


async def test_progress_is_told_on_the_way(url: str, mode: Mode) -> None:
    heard: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, total, message))

    async with client(url, mode) as demo:
        assert text(await demo.call_tool("steps", {}, progress_callback=hear)) == "done"
    assert heard == [(1, 2, "step 1"), (2, 2, "step 2")]


async def test_a_caller_who_gives_up_cancels_the_call(url: str, mode: Mode, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    async with client(url, mode) as demo:
        await demo.list_tools()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(demo.call_tool, "wait", {"mark": str(mark)})
            await until_says(mark, "started")
            tasks.cancel_scope.cancel()
        await until_says(mark, "cancelled")
        assert text(await demo.call_tool("add", {"a": 1, "b": 2})) == "3"


async def test_without_sessions_a_caller_who_leaves_cancels_the_call(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25"}
    call = {"name": "wait", "arguments": {"mark": str(mark)}}
    with hosted(tool_server(TOOLS, name="demo", settings=ServingSettings(sessions=False))) as url:
        async with httpx2.AsyncClient(base_url=url, headers=headers) as http, anyio.create_task_group() as tasks:
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
            tasks.start_soon(partial(http.post, "/mcp", json=body))
            await until_says(mark, "started")
            tasks.cancel_scope.cancel()
        await until_says(mark, "cancelled")


@tool
def whisper(context: ToolContext) -> str:
    assert context.caller is not None
    context.caller.log("info", "psst")
    return "said"


@pytest.mark.parametrize(("sessions", "heard"), [(True, ["quiet", "loud", "loud"]), (False, ["quiet", "loud"] * 2)])
async def test_each_session_hears_what_it_wants_of_the_log(sessions: Any, heard: list[str]) -> None:
    lines: list[str] = []

    def hear(name: str) -> dict[str, Any]:
        async def log(params: LoggingMessageNotificationParams) -> None:
            lines.append(name)
            assert params.data == "psst"

        return {"logging_callback": log}

    with hosted(tool_server([whisper], name="log", settings=ServingSettings(sessions=sessions))) as url:
        async with client(url, "legacy", **hear("quiet")) as quiet, client(url, "legacy", **hear("loud")) as loud:
            for each in (quiet, loud):
                await each.call_tool("whisper", {})
            await quiet.session.send_request(SetLevelRequest(params=SetLevelRequestParams(level="error")), EmptyResult)
            for each in (quiet, loud):
                await each.call_tool("whisper", {})
    assert lines == heard


async def test_a_call_under_the_same_key_is_made_once(url: str, mode: Mode) -> None:
    key: Any = {"assistant-kit/idempotency-key": f"{mode} {id(object())}"}
    async with client(url, mode) as demo:
        first = text(await demo.call_tool("tally", {}, meta=key))
        assert text(await demo.call_tool("tally", {}, meta=key)) == first
        assert text(await demo.call_tool("tally", {})) != first


async def test_a_large_result_arrives_whole(url: str, mode: Mode) -> None:
    async with (
        httpx2.AsyncClient(headers={"authorization": "Bearer a"}, timeout=20) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http, max_sse_event_size=None), mode=mode) as demo,
    ):
        assert len(text(await demo.call_tool("large", {"size": 5_000_000}))) == 5_000_000


async def test_content_of_all_kinds_has_a_form() -> None:
    @tool
    def all_kinds() -> list[Part]:
        return [
            Image(data=PNG),
            Image(url="https://pictures.example/1", media_type="image/png"),
            File(data=b"sound", media_type="audio/wav"),
            File(data=b"page", media_type="application/pdf", filename="a b.pdf"),
            File(data=b"bytes"),
            File(url="https://files.example/1", filename="c.pdf"),
        ]

    with hosted(tool_server([all_kinds], name="kinds", settings=ServingSettings(sessions=False))) as url:
        async with client(url, "legacy") as kinds:
            picture, link, sound, page, plain, other = (await kinds.call_tool("all_kinds", {})).content
    assert isinstance(picture, ImageContent)
    assert picture.mime_type == "image/png"
    assert isinstance(sound, AudioContent)
    assert isinstance(link, ResourceLink)
    assert isinstance(other, ResourceLink)
    assert (link.name, str(link.uri), other.name) == ("image", "https://pictures.example/1", "c.pdf")
    blobs = [each.resource for each in (page, plain) if isinstance(each, EmbeddedResource)]
    assert [(str(blob.uri), blob.mime_type) for blob in blobs if isinstance(blob, BlobResourceContents)] == [
        ("file:///a%20b.pdf", "application/pdf"),
        ("file:///file", None),
    ]


async def test_tools_that_cannot_be_listed_are_an_error_without_secrets(
    mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    class Gone(FunctionTools):
        deferred = True

        async def tools_for(self, user: str | None) -> Offering:
            raise ToolsetError("gone", f"{user} hunter2")

    with hosted(tool_server([Gone([add])], name="gone")) as url:
        async with client(url, mode) as gone:
            with pytest.raises(MCPError) as failure:
                await gone.list_tools()
    assert failure.value.code == INTERNAL_ERROR
    assert "hunter2" not in failure.value.message


async def test_more_than_tools_can_be_offered() -> None:
    async def list_prompts(_: Any, __: Any) -> ListPromptsResult:
        return ListPromptsResult(prompts=[Prompt(name="greet")])

    def extend(server: Server[Any]) -> None:
        server.add_request_handler("prompts/list", PaginatedRequestParams, list_prompts)

    with hosted(tool_server([add], name="more", settings=ServingSettings(extend=extend))) as url:
        async with client(url, "auto") as more:
            assert [prompt.name for prompt in (await more.list_prompts()).prompts] == ["greet"]


class Answers(BytesIO):
    """What a server writes."""

    def __init__(self) -> None:
        super().__init__()
        self.came = threading.Event()

    def write(self, data: Any) -> int:
        size = super().write(data)
        self.came.set()
        return size


class Asking(RawIOBase):
    """One question, and after its answer the end."""

    def __init__(self, question: bytes, answers: Answers) -> None:
        self.question = question
        self.answers = answers

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data, self.question = self.question, b""
        if not data:
            self.answers.came.wait(5)
        buffer[: len(data)] = data
        return len(data)


@pytest.mark.parametrize("loop", LOOPS)
def test_messages_are_read_from_the_input_until_its_end(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    listing: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": MODERN}}
    answers = Answers()
    asking = BufferedReader(Asking(json.dumps(listing).encode() + b"\n", answers))
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(asking))
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(answers, write_through=True))
    server = tool_server([add], name="sums")
    anyio.run(server.serve_stdio, backend=loop)
    (answer,) = map(json.loads, answers.getvalue().splitlines())
    assert [each["name"] for each in answer["result"]["tools"]] == ["add"]


async def yes(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:  # noqa: ARG001  (as the SDK calls it)
    return ElicitResult(action="accept", content={"ok": True})


@pytest.mark.parametrize(("loop", "mode"), [("trio", "auto")])
async def test_the_same_tools_are_served_over_pipes(loop: str, mode: Mode) -> None:
    line = [str(Path(__file__).with_name("stdio_server.py")), loop]
    command = StdioServerParameters(command=sys.executable, args=line, env={"PYTHONPATH": str(ROOT)})
    with anyio.fail_after(30):
        async with Client(stdio_client(command), mode=mode, elicitation_callback=yes) as pipes:
            assert text(await pipes.call_tool("add", {"a": 1, "b": 2})) == "3"
            assert json.loads(text(await pipes.call_tool("about", {})))["user"] == "local"
            assert text(await pipes.call_tool("chatter", {})) == "said"
            assert text(await pipes.call_tool("confirm", {})) == "True"
            assert text(await pipes.call_tool("add", {"a": 2, "b": 2})) == "4"
