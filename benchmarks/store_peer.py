"""One peer: `python store_peer.py NAME TURNS FOLDER` plays a conversation and prints its figures as JSON.

It runs in the peer's own environment, so that nothing is imported here but what all of them have.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

Say: TypeAlias = Callable[[str], Awaitable[tuple[str, int]]]
"""Plays a turn; returns the answer, and how many messages the model was given."""

QUESTION = (
    "I am going to Oslo and Bergen for nine days in May with two children and a dog: which trains should we take, "
    "and what should we pack if it rains all week?"
)
ANSWER = (
    "Take the morning train from Oslo to Bergen: it has a family car with a play area, dogs travel at half the fare, "
    "and the views are best on the left. Pack raincoats, rubber boots and wool for each of you, a towel for the dog, "
    "and a card game; the weather changes by the hour, so keep one dry set of clothes at the top of the bag."
)
AROUND = 10
"""Turns up to a place that are measured together."""


class WrongAnswer(Exception):
    """The peer's answer, or the number of messages that its model got, is not what it should be."""


@asynccontextmanager
async def kit(folder: Path) -> AsyncGenerator[Say]:
    """assistant_kit: a window that holds the whole conversation."""
    turns = import_module("benchmarks.store_turns")
    store = import_module("assistant_kit.stores.sqlite").SQLiteStore(folder / "kit.db")
    model = turns.InstantModel()
    async with turns.assistant_on(store, window=1_000_000, model=model) as assistant:

        async def say(text: str) -> tuple[str, int]:
            return (await assistant.run(text, user="u", conversation="c")).output, model.given

        yield say
    await store.aclose()


@asynccontextmanager
async def agents(folder: Path) -> AsyncGenerator[Say]:
    """openai-agents: `Runner.run` with a session, tracing off."""
    library: Any = import_module("agents")
    message: Any = import_module("openai.types.responses").ResponseOutputMessage
    text_part: Any = import_module("openai.types.responses").ResponseOutputText
    library.set_tracing_disabled(True)

    given: list[int] = []

    class Instant(library.Model):
        async def get_response(self, *_: Any, input: Any, **named: Any) -> Any:  # noqa: A002  (the library's own name)
            del named
            given.append(len(input))
            part = text_part(text=ANSWER, type="output_text", annotations=[])
            output = message(id="m", content=[part], role="assistant", status="completed", type="message")
            return library.ModelResponse(output=[output], usage=library.Usage(), response_id=None)

        def stream_response(self, *arguments: Any, **named: Any) -> Any:
            raise NotImplementedError

    agent = library.Agent(name="assistant", model=Instant())
    session = library.SQLiteSession("c", folder / "agents.db")

    async def say(text: str) -> tuple[str, int]:
        return (await library.Runner.run(agent, text, session=session)).final_output, given[-1]

    yield say
    session.close()


@asynccontextmanager
async def langgraph(folder: Path) -> AsyncGenerator[Say]:
    """LangGraph: one node that answers, each step on disk before the next (`durability="sync"`)."""
    graphs: Any = import_module("langgraph.graph")
    saver: Any = import_module("langgraph.checkpoint.sqlite.aio").AsyncSqliteSaver
    answer: Any = import_module("langchain_core.messages").AIMessage

    given: list[int] = []

    async def respond(state: Any) -> dict[str, Any]:
        given.append(len(state["messages"]))
        return {"messages": [answer(ANSWER)]}

    async with saver.from_conn_string(str(folder / "langgraph.db")) as checkpoints:
        builder = graphs.StateGraph(graphs.MessagesState)
        builder.add_node("model", respond)
        builder.add_edge(graphs.START, "model")
        graph = builder.compile(checkpointer=checkpoints)
        config = {"configurable": {"thread_id": "c"}}

        async def say(text: str) -> tuple[str, int]:
            state = await graph.ainvoke({"messages": [("user", text)]}, config, durability="sync")
            return state["messages"][-1].content, given[-1]

        yield say


OPEN: dict[str, Callable[[Path], AbstractAsyncContextManager[Say]]] = {
    "kit": kit,
    "agents": agents,
    "langgraph": langgraph,
}


async def play(name: str, turns: int, folder: Path) -> dict[str, float]:
    """Play a conversation; return CPU milliseconds of a turn around turn 10 and before the last. Raises WrongAnswer."""
    cpu: list[float] = []
    async with OPEN[name](folder) as say:
        for turn in range(1, turns + 1):
            begun = time.process_time()
            said = await say(QUESTION)
            cpu.append(time.process_time() - begun)
            if said != (ANSWER, 2 * turn - 1):
                raise WrongAnswer(name, turn, said)
    early, late = cpu[AROUND // 2 : AROUND + AROUND // 2], cpu[-AROUND:]
    return {"early": 1000 * sum(early) / len(early), "late": 1000 * sum(late) / len(late)}


def main(name: str, turns: str, place: str) -> None:
    """Play a conversation and print its figures, with the bytes on disk after it."""
    folder = Path(place)
    figures = asyncio.run(play(name, int(turns), folder))
    print(json.dumps({**figures, "bytes": sum(path.stat().st_size for path in folder.rglob("*"))}))


if __name__ == "__main__":
    main(*sys.argv[1:])
