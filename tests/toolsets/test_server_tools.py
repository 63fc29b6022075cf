"""What holds for the tools of a server, whichever protocol it speaks: one set of cases for MCPServer and HTTPTools."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

from assistant_kit.deadline import Deadline
from assistant_kit.errors import InvalidArguments, OutcomeUnknown, ToolError, ToolsetError
from assistant_kit.integrations.serving import tool_server
from assistant_kit.messages import File, Image, Text, text_of
from assistant_kit.tool_spec import ToolSpec, keyed
from assistant_kit.toolsets.http_tools import HTTPTools
from assistant_kit.toolsets.mcp import MCPServer
from tests.integrations.serving.hosting import TOOLS, called, hosted
from tests.services.processes import free_port
from tests.toolsets.mcp.servers.control import until_says
from tests.toolsets.mcp.servers.tool_server import PNG

pytestmark = pytest.mark.anyio

ServerTools: TypeAlias = MCPServer | HTTPTools
Make: TypeAlias = Callable[..., ServerTools]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with hosted(tool_server(TOOLS, name="demo")) as url:
        yield url


def of_mcp(url: str, **options: Any) -> ServerTools:
    return MCPServer(f"{url}/mcp", **options)


def of_http(url: str, **options: Any) -> ServerTools:
    return HTTPTools(url, **options)


@pytest.fixture(params=["mcp", "http"])
def kind(request: pytest.FixtureRequest) -> Make:
    return {"mcp": of_mcp, "http": of_http}[request.param]


@pytest.fixture
def make(kind: Make, url: str) -> Make:
    return partial(kind, url)


async def ask(tools: ServerTools, tool: str, **arguments: str | float) -> str:
    return text_of((await tools.call(tool, arguments, called(tool))).content)


def by_name(specs: list[ToolSpec]) -> dict[str, ToolSpec]:
    return {spec.name: spec for spec in specs}


async def specs_of(tools: ServerTools) -> dict[str, ToolSpec]:
    return by_name([*await tools.tools()])


async def test_tools_are_listed_and_called(make: Make) -> None:
    async with make(name="demo") as tools:
        specs = await specs_of(tools)
        assert tools.name == "demo"
        assert specs["add"].description == "Add two numbers."
        assert specs["add"].effect == "once"
        assert specs["add"].server == specs["add"].origin != ""
        assert specs["add"].untrusted
        assert await ask(tools, "add", a=1, b=2) == "3"


async def test_the_list_stays_the_same_object_while_nothing_changes(make: Make) -> None:
    async with make() as tools:
        assert (await tools.tools_for("u1")).tools is (await tools.tools_for("u2")).tools


async def test_results_of_all_kinds_come_back(make: Make) -> None:
    async with make() as tools:
        assert json.loads(await ask(tools, "weather", city="Oslo")) == {"city": "Oslo", "degrees": 3.5}
        assert (await tools.call("picture", {}, called("picture"))).content == (
            Image(data=PNG, media_type="image/png"),
        )
        text, sound, page = (await tools.call("pieces", {}, called("pieces"))).content
        assert text == Text(text="two files")
        assert isinstance(sound, File)
        assert isinstance(page, File)
        assert (sound.data, sound.media_type) == (b"sound", "audio/wav")
        assert (page.data, page.media_type, page.filename) == (b"page", "application/pdf", "b.pdf")
        assert len(await ask(tools, "large", size=3_000_000)) == 3_000_000


async def test_a_failure_that_the_tool_reports_is_a_result_for_the_model(make: Make) -> None:
    async with make() as tools:
        output = await tools.call("refuse", {}, called("refuse"))
        assert output.is_error
        assert "there is no such city" in text_of(output.content)


async def test_what_a_broken_tool_says_reaches_nobody(make: Make) -> None:
    async with make() as tools:
        output = await tools.call("explode", {}, called("explode"))
        assert output.is_error
        assert "hunter2" not in str(output)


async def test_arguments_that_do_not_fit_are_not_sent(make: Make) -> None:
    async with make() as tools:
        with pytest.raises(InvalidArguments) as refusal:
            await ask(tools, "add", a="one", b=2)
        assert "a" in str(refusal.value)


async def test_a_tool_that_is_not_there_is_not_called(make: Make) -> None:
    async with make() as tools:
        for tool in ("nothing", "pay"):  # `pay` asks for an approval, so it is not offered
            with pytest.raises(ToolError):
                await ask(tools, tool)
        assert await ask(tools, "add", a=1, b=2) == "3"


async def test_a_call_under_the_same_key_is_made_once(make: Make) -> None:
    async with make() as tools:
        call = called("tally")
        first = await tools.call("tally", {}, call)
        assert await tools.call("tally", {}, call) == first
        assert await tools.call("tally", {}, called("tally")) != first


async def test_many_calls_go_on_at_the_same_time(make: Make) -> None:
    async with make() as tools:
        answers: list[str] = []

        async def one() -> None:
            answers.append(await ask(tools, "short_wait", seconds=0.2))

        with anyio.fail_after(5):  # one after the other they would take 6
            async with anyio.create_task_group() as tasks:
                for _ in range(30):
                    tasks.start_soon(one)
        assert answers == ["waited"] * 30


async def test_a_cancelled_call_is_cancelled_at_the_server(make: Make, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    async with make() as tools:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tools.call, "wait", {"mark": str(mark)}, called("wait"))
            await until_says(mark, "started")
            tasks.cancel_scope.cancel()
        await until_says(mark, "cancelled")
        assert await ask(tools, "add", a=1, b=2) == "3"


async def test_nobody_knows_what_became_of_a_call_whose_time_is_over(make: Make, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    async with make() as tools:
        soon = Deadline.after(0.3, now=anyio.current_time())
        with pytest.raises(OutcomeUnknown):
            await tools.call("wait", {"mark": str(mark)}, called("wait", deadline=soon))
        await until_says(mark, "cancelled")
        assert await ask(tools, "add", a=1, b=2) == "3"


async def test_a_call_that_may_be_repeated_fails_plainly_when_its_time_is_over(make: Make) -> None:
    async with make(call_timeout=0.1, effects={"short_wait": "read"}) as tools:
        with pytest.raises(ToolError) as failure:
            await ask(tools, "short_wait", seconds=5)
        assert type(failure.value) is ToolError
        assert (await specs_of(tools))["short_wait"].timeout == 0.1


async def test_effects_and_approvals_are_what_the_application_declares(make: Make) -> None:
    declared = make(effects={"add": keyed(60), "weather": "idempotent"}, needs_approval={"large"})
    async with declared as tools:
        specs = await specs_of(tools)
        assert (specs["add"].effect, specs["weather"].effect) == (keyed(60), "idempotent")
        assert [name for name, spec in specs.items() if spec.needs_approval] == ["large"]
    async with make(trust_annotations=True, needs_approval=True) as tools:
        specs = await specs_of(tools)
        assert (specs["add"].effect, specs["large"].effect) == ("read", "once")
        assert all(spec.needs_approval for spec in specs.values())


async def test_a_misspelt_approval_is_refused(make: Make) -> None:
    with pytest.raises(ToolsetError):
        async with make(needs_approval={"no such tool"}):
            pass


async def test_a_prefix_stands_before_each_name(make: Make) -> None:
    async with make(prefix="demo") as tools:
        name = next(name for name in await specs_of(tools) if name.endswith("add"))
        assert name.startswith("demo")
        assert await ask(tools, name, a=1, b=2) == "3"


async def test_only_what_was_approved_is_offered(make: Make, tmp_path: Path) -> None:
    approved = tmp_path / "pins.json"
    async with make() as tools:
        await tools.pin(approved)
        digest = (await specs_of(tools))["add"].definition
    async with make(pins=approved) as tools:
        assert len(await tools.tools()) == len(TOOLS) - 1
    async with make(pins={"add": digest}) as tools:
        assert list(await specs_of(tools)) == ["add"]
        with pytest.raises(ToolError):
            await ask(tools, "large", size=1)
        assert "large" in "".join(tools.health().notes)


async def test_a_server_that_has_changed_what_was_approved_is_refused_with_the_difference(make: Make) -> None:
    approved = {"name": "add", "description": "Add two numbers, and nothing else."}
    with pytest.raises(ToolsetError) as failure:
        async with make(pins={"add": approved}):
            pass
    assert "nothing else" in str(failure.value)


async def test_the_trace_goes_along(make: Make) -> None:
    span = NonRecordingSpan(SpanContext(trace_id=7, span_id=8, is_remote=False, trace_flags=TraceFlags(1)))
    async with make() as tools:
        with use_span(span):
            assert f"{7:032x}" in await ask(tools, "trace")


async def test_a_server_that_is_not_there_is_an_error_when_it_is_required(kind: Make) -> None:
    with pytest.raises(ToolsetError) as failure:
        async with kind(f"http://user:hunter2@127.0.0.1:{free_port()}"):
            pass
    assert "hunter2" not in str(failure.value)


async def test_a_server_that_is_not_required_is_missed_and_comes_back(kind: Make) -> None:
    port = free_port()
    async with kind(f"http://127.0.0.1:{port}", required=False) as tools:
        offering = await tools.tools_for(None)
        assert (offering.tools, bool(offering.unavailable)) == ((), True)
        assert not tools.health().available
        with hosted(tool_server(TOOLS, name="demo"), port=port):
            with anyio.fail_after(10):
                while not (await tools.tools_for(None)).tools:  # noqa: ASYNC110  (no event comes from there)
                    await anyio.sleep(0.05)
            assert tools.health().available
            assert await ask(tools, "add", a=1, b=2) == "3"


async def test_a_server_that_was_restarted_is_used_again(kind: Make) -> None:
    port = free_port()
    with hosted(tool_server(TOOLS, name="demo"), port=port) as url:
        tools = kind(url)
        await tools.__aenter__()
        assert await ask(tools, "add", a=1, b=2) == "3"
    with pytest.raises(ToolError):
        await ask(tools, "add", a=1, b=2)
    with hosted(tool_server(TOOLS, name="demo"), port=port):
        with anyio.fail_after(10):
            while await failed(tools):  # noqa: ASYNC110  (a server that was down is left alone for a while)
                await anyio.sleep(0.05)
        await tools.__aexit__(None, None, None)


async def failed(tools: ServerTools) -> bool:
    try:
        return await ask(tools, "add", a=1, b=2) != "3"
    except ToolError:
        return True
