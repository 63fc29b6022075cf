"""A conversation of 200 turns with tool calls, and what a provider's prefix cache would serve of its requests."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from typing import Any, TypeAlias

from benchmarks.window_words import sentence

TURNS = 200
INSTRUCTIONS = "You are a travel assistant. Use the tools; answer briefly and in plain words."
LEAST = 1_024
STEP = 128
"""OpenAI's rule: a prefix of at least 1,024 tokens that was sent before is served from the cache, in steps of 128."""
_WORDS = (45, 85)  # of a message: about 60 to 100 tokens
_SEED = 4

Trace: TypeAlias = Sequence[Mapping[str, Any]]
"""Turns: `user`, `calls` (one step each: `name`, `arguments`, `result`), `answer`."""
TOOLS: Sequence[Mapping[str, Any]] = tuple(
    {
        "name": name,
        "description": description,
        "parameters": {
            "type": "object",
            "properties": {"query": {"type": "string", "description": "What to look for"}},
            "required": ["query"],
        },
    }
    for name, description in (
        ("timetable", "Trains between two stations on a day."),
        ("hotels", "Rooms in a town."),
        ("weather", "Forecast for a place."),
    )
)


def trace() -> Trace:
    """Return the conversation: the same each time."""
    random = Random(_SEED)  # noqa: S311  (the same texts each time, on purpose)

    def text() -> str:
        return sentence(random, random.randint(*_WORDS))

    turns: list[Mapping[str, Any]] = []
    for turn in range(TURNS):
        calls = [
            {
                "name": random.choice(TOOLS)["name"],
                "arguments": json.dumps({"query": f"{turn}.{step}: {sentence(random, 4)}"}),
                "result": text(),
            }
            for step in range(random.choices((0, 1, 2), (4, 4, 2))[0])
        ]
        turns.append({"user": f"{turn}: {text()}", "calls": calls, "answer": text()})
    return turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Tokens of all requests, those that the cache would serve, the longest request, and how often a prefix broke.

    A prefix breaks when a request does not begin with the whole of an earlier one's first 1,024 tokens.
    """

    requests: int
    prompt: int
    cached: int
    longest: int
    broken: int

    @property
    def share(self) -> float:
        """The part of the prompt tokens that the cache would serve."""
        return self.cached / self.prompt


class PrefixCache:
    """Keeps which prefixes were sent. Nothing is ever forgotten, for nobody."""

    def __init__(self) -> None:
        self._sent: set[bytes] = set()

    def served(self, tokens: Sequence[int]) -> int:
        """Return how many tokens of a request are served, and keep its prefixes."""
        prefix = sha256()
        best, begin = 0, 0
        for end in range(LEAST, len(tokens) + 1, STEP):
            prefix.update(b",".join(b"%d" % token for token in tokens[begin:end]) + b";")
            begin = end
            name = prefix.digest()
            best = end if name in self._sent else best
            self._sent.add(name)
        return best


def served(requests: Sequence[Sequence[str]], encode: Callable[[str], Sequence[int]]) -> Served:
    """Return what a cache would serve of requests, given as the pieces of each in the order of the prompt."""
    cache = PrefixCache()
    known: dict[str, Sequence[int]] = {}
    sizes: list[int] = []
    cached: list[int] = []
    for pieces in requests:
        tokens: list[int] = []
        for piece in pieces:
            if piece not in known:
                known[piece] = encode(piece)
            tokens += known[piece]
        sizes.append(len(tokens))
        cached.append(cache.served(tokens))
    broken = sum(hit == 0 for hit, size in zip(cached, sizes, strict=True) if size >= LEAST)
    return Served(requests=len(sizes), prompt=sum(sizes), cached=sum(cached), longest=max(sizes), broken=broken)
