"""What a prompt cache would serve: `python -m benchmarks cache --help` says what is measured."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import anyio

from benchmarks.cache_kit import requests_of
from benchmarks.cache_trace import INSTRUCTIONS, TOOLS, Served, served, trace
from benchmarks.window_peers import Peers, opened_peers

DESCRIPTION = """\
The share of the prompt tokens that a provider's prompt cache would serve, by OpenAI's rule: the longest prefix that was
sent before, of at least 1,024 tokens, in steps of 128. All play the same conversation: 200 turns with up to two tool
calls, 60 to 100 tokens a message. What goes over the wire is taken as its model reads it: the tools, the instructions,
then the items with their roles; tokens are those of o200k_base. Nothing that was sent is ever forgotten.

kit          assistant_kit as it comes, with a window of so many tokens
langchain    LangChain: `trim_messages` to so many tokens before each request, which is a sliding window
pydantic_ai  pydantic-ai with `SlidingWindowCompaction` of pydantic-ai-harness: when an estimate exceeds so many tokens,
             down to half of it; what is dropped stays so

The last line: cache_share, langchain_share, pydantic_ai_share, from 0 to 1.
"""
BUDGET = 8_000


def measure(peers: Peers, budget: int) -> Mapping[str, Served]:
    """Play the trace everywhere."""
    os.environ["TIKTOKEN_CACHE_DIR"] = str(peers.folder)
    encode = import_module("tiktoken").get_encoding("o200k_base").encode_ordinary
    turns = trace()
    given, out = peers.folder / "trace.json", peers.folder / "requests.json"
    given.write_text(json.dumps({"instructions": INSTRUCTIONS, "tools": TOOLS, "trace": turns}))
    found = {"kit": served(anyio.run(requests_of, turns, budget), encode)}
    for name in ("langchain", "pydantic_ai"):
        peers.run("cache_peer.py", name, given, str(budget), out)
        found[name] = served(json.loads(out.read_text()), encode)
    return found


def table(found: Mapping[str, Served]) -> str:
    """The figures of all."""
    titles = ("requests", "tokens", "cached", "share", "longest", "broken")
    lines = [f"  {'':12}" + "".join(f"{title:>12}" for title in titles)]
    lines += [
        f"  {name:12}{one.requests:12,}{one.prompt:12,}{one.cached:12,}"
        f"{one.share:12.3f}{one.longest:12,}{one.broken:12,}"
        for name, one in found.items()
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Measure, print a table, and the line of shares last."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks cache", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--budget", type=int, default=BUDGET, help=f"tokens of a request (default: {BUDGET:,})")
    parser.add_argument("--peers", type=Path, default=None, help="the peers' environment (default: in $BENCH_PEERS)")
    options = parser.parse_args(arguments)
    with opened_peers(options.peers) as peers:
        found = measure(peers, options.budget)
    print(f"200 turns in a window of {options.budget:,} tokens; `broken`: requests of which nothing was served")
    print(table(found), end="\n\n")
    shares = {"cache": found["kit"], "langchain": found["langchain"], "pydantic_ai": found["pydantic_ai"]}
    print(" ".join(f"{name}_share={one.share:.3f}" for name, one in shares.items()))
    return 0
