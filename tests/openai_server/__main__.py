"""The server as a process of its own: prints its base URL, serves until its standard input is closed."""

from __future__ import annotations

import argparse
import asyncio
import sys
from functools import partial
from importlib import import_module
from typing import cast

from .server import Behaviour, OpenAIServer, Script


def load_script(name: str) -> Script:
    """The function named `package.module:function`."""
    module, _, function = name.partition(":")
    return cast("Script", getattr(import_module(module), function))


async def run(server: OpenAIServer) -> None:
    """Serve until whoever started the process closes its standard input, or is gone."""
    serving = asyncio.create_task(server.serve(announce=partial(print, flush=True)))
    input_closed = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    await asyncio.wait([serving, input_closed], return_when=asyncio.FIRST_COMPLETED)
    serving.cancel()
    await asyncio.wait([serving])


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.openai_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--script", help="package.module:function from a Request to a Reply; without it always 'ok'")
    parser.add_argument("--no-strict", action="store_true", help="do not check requests")
    parser.add_argument("--no-responses", action="store_true", help="404 for /v1/responses")
    parser.add_argument("--quirks", action="store_true", help="answer as llama.cpp does")
    parser.add_argument("--one-write-an-event", action="store_true", help="send each event in a write of its own")
    args = parser.parse_args()
    behaviour = Behaviour(
        strict=not args.no_strict,
        responses=not args.no_responses,
        quirks=args.quirks,
        one_write_an_event=args.one_write_an_event,
    )
    script = load_script(args.script) if args.script else None
    asyncio.run(run(OpenAIServer(behaviour, script=script, port=args.port)))


if __name__ == "__main__":
    main()
