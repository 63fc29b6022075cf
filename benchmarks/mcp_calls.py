"""What a call of an MCP server's tool costs: `python -m benchmarks mcp --help` says what is measured."""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from signal import SIGKILL
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeAlias

import anyio
from mcp import Client, StdioServerParameters, stdio_client
from mcp.types import TextContent

from assistant_kit import MCPServer
from assistant_kit.messages import JsonObject, text_of
from assistant_kit.protocols.toolset import ToolContext
from benchmarks.measure import Ratio, ratio
from tests.services.processes import ending_with_us, free_port, running
from tests.toolsets.mcp.servers.control import listens

DESCRIPTION = """\
Beside the bare client of the official SDK, over stdio and streamable HTTP, in one run:
  CPU of this process for a call that is answered at once (kit over bare; the adapter adds the idempotency key, checks
  the arguments, and contains failures), and
  the time of 64 calls of 50 ms each made together over one connection, over 50 ms (1 is the best there is; calls that
  wait for each other come to 64).
The last line has the ratios.
"""
TOGETHER = 64
NAP = 0.05  # seconds
CALLS = 200
WARM_UP = 20

Way: TypeAlias = Literal["stdio", "http"]
Ask: TypeAlias = Callable[[str, JsonObject], Coroutine[Any, Any, str]]


def _context(tool: str) -> ToolContext:
    return ToolContext(user="u", conversation="c", call_id="1", tool=tool, idempotency_key="k")


@asynccontextmanager
async def bare(target: list[str] | str) -> AsyncGenerator[Ask]:
    """The SDK's client by itself."""
    if isinstance(target, str):
        way = Client(target)
    else:
        way = Client(stdio_client(StdioServerParameters(command=target[0], args=target[1:])))
    async with way as client:
        await client.list_tools()

        async def ask(tool: str, arguments: JsonObject) -> str:
            result = await client.call_tool(tool, dict(arguments))
            if not isinstance(result.content[0], TextContent):
                raise TypeError(result)
            return result.content[0].text

        yield ask


@asynccontextmanager
async def kit(target: list[str] | str) -> AsyncGenerator[Ask]:
    """The adapter."""
    async with MCPServer(target) as server:

        async def ask(tool: str, arguments: JsonObject) -> str:
            return text_of((await server.call(tool, arguments, _context(tool))).content)

        yield ask


async def measure(asks: Mapping[str, Ask], repeats: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """CPU seconds of a call, and seconds of the calls that are made together, by peer and repeat."""
    cpu: dict[str, list[float]] = {name: [] for name in asks}
    together: dict[str, list[float]] = {name: [] for name in asks}
    for ask in asks.values():
        await _calls(ask, WARM_UP)
    for repeat in range(repeats):
        names = list(asks)[:: 1 if repeat % 2 else -1]
        for name in names:
            gc.collect()
            begun = time.process_time()
            await _calls(asks[name], CALLS)
            cpu[name].append((time.process_time() - begun) / CALLS)
        for name in names:
            begun = time.perf_counter()
            async with anyio.create_task_group() as group:
                for _ in range(TOGETHER):
                    group.start_soon(asks[name], "nap", {"seconds": NAP})
            together[name].append(time.perf_counter() - begun)
    return cpu, together


async def _calls(ask: Ask, count: int) -> None:
    for number in range(count):
        answer = await ask("echo", {"text": f"call {number}"})
        if answer != f"call {number}":
            raise ValueError(answer)


async def run(repeats: int, folder: Path) -> dict[str, float]:
    """Measure both ways, print a table each, return the summary."""
    ratios: dict[str, float] = {}
    port = free_port()
    line = [sys.executable, "-m", "benchmarks.mcp_tools"]
    serving = running(
        [*ending_with_us(SIGKILL), *line, str(port)],
        stop=SIGKILL,
        log=folder / "server.log",
        answers=lambda: listens(port),
    )
    with serving:
        ways: Mapping[Way, list[str] | str] = {"stdio": line, "http": f"http://127.0.0.1:{port}/mcp"}
        for way, target in ways.items():
            async with AsyncExitStack() as stack:
                asks = {"bare": await stack.enter_async_context(bare(target))}
                asks["kit"] = await stack.enter_async_context(kit(target))
                cpu, together = await measure(asks, repeats)
            over = ratio(cpu["kit"], cpu["bare"])
            print(_table(way, cpu, together, over), flush=True)
            ratios |= {
                f"{way}_call_ratio": over.median,
                f"{way}_together_ratio": statistics.median(together["kit"]) / NAP,
                f"{way}_together_bare": statistics.median(together["bare"]) / NAP,
            }
    return ratios


def _table(way: Way, cpu: Mapping[str, list[float]], together: Mapping[str, list[float]], over: Ratio) -> str:
    lines = [f"{way}: {'peer':8}{'CPU ms/call':>14}{f'{TOGETHER} x {NAP * 1000:.0f} ms, in ms':>22}"]
    for name, values in cpu.items():
        took = 1000 * statistics.median(together[name])
        lines.append(f"{'':{len(way) + 2}}{name:8}{1000 * statistics.median(values):14.3f}{took:22.1f}")
    lines.append(f"{'':{len(way) + 2}}kit over bare: {over.median:.3f} ({over.low:.2f}-{over.high:.2f})\n")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Parse the command line, measure, and print the line of ratios last."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks mcp", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=9, help="paired repeats (default: 9)")
    given = parser.parse_args(arguments)
    with TemporaryDirectory() as folder:
        ratios = asyncio.run(run(given.repeats, Path(folder)))
    print(" ".join(f"{name}={value:.3f}" for name, value in ratios.items()))
    return 0
