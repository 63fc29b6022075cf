"""Trimming 20,000 messages elsewhere: `python window_peer.py NAME MESSAGES BUDGET REPEATS` prints its figures as JSON.

It runs in the peers' environment, so that nothing is imported here but what is there. MESSAGES is a file of texts, the
user's and the answers by turns.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

FRAMING = 4
"""Tokens around a message (the accounting of Chat Completions)."""


def langchain(texts: list[str], budget: int, encode: Callable[[str], list[int]]) -> Callable[[], int]:
    """LangChain's `trim_messages`, with a counter by tiktoken, from a list of messages in memory."""
    messages: Any = import_module("langchain_core.messages")
    kinds = (messages.HumanMessage, messages.AIMessage)
    history = [kinds[place % 2](text) for place, text in enumerate(texts)]

    def count(some: list[Any]) -> int:
        return sum(len(encode(message.content)) + FRAMING for message in some)

    def trim() -> int:
        kept = messages.trim_messages(
            history, max_tokens=budget, token_counter=count, strategy="last", start_on="human"
        )
        return len(kept)

    return trim


def floor(texts: list[str], budget: int, encode: Callable[[str], list[int]]) -> Callable[[], int]:
    """The least that can be done with a tokenizer and no record of counts: from the newest one on until it is full."""

    def trim() -> int:
        room, kept = budget, 0
        for text in reversed(texts):
            room -= len(encode(text)) + FRAMING
            if room < 0:
                break
            kept += 1
        return kept

    return trim


def main(name: str, place: str, budget: str, repeats: str) -> None:
    """Measure, and print milliseconds of CPU and how many messages were kept."""
    texts = json.loads(Path(place).read_text())
    encode = import_module("tiktoken").get_encoding("o200k_base").encode_ordinary
    trim = {"langchain": langchain, "floor": floor}[name](texts, int(budget), encode)
    kept = trim()  # warms up
    times: list[float] = []
    for _ in range(int(repeats)):
        gc.collect()
        begun = time.process_time()
        trim()
        times.append(time.process_time() - begun)
    print(json.dumps({"cpu": 1000 * statistics.median(times), "kept": kept}))


if __name__ == "__main__":
    main(*sys.argv[1:])
