"""Turns that run beside their readers: a relay, an event log, and readers that come and go."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from assistant_kit import Assistant
from assistant_kit.event_logs.memory import MemoryEventLog
from assistant_kit.integrations.streaming import Relay, sse
from assistant_kit.integrations.streaming.response import EventResponse
from assistant_kit.protocols.event_log import Entry, EventLog
from assistant_kit.testing.scripted_model import ScriptedModel


# --8<-- [start:relay]
async def talk(assistant: Assistant[str], log: EventLog) -> str:
    text = ""
    async with assistant, Relay(assistant, log) as relay:
        started = await relay.start("Rain in Oslo?", user="ann", conversation="c1", request_id="m1")
        async with relay.events(started, user="ann", conversation="c1") as entries:
            async for entry in entries:
                text = applied(text, entry)
    return text


# --8<-- [end:relay]


# --8<-- [start:apply]
def applied(text: str, entry: Entry) -> str:
    """Return the text of the answer after an entry."""
    match entry.name:
        case "message" | "reset":
            return ""
        case "token":
            return text + str(entry.data["text"])
        case "text_retracted":
            return text.removesuffix(str(entry.data["text"]))
        case _:
            return text


# --8<-- [end:apply]


# --8<-- [start:web]
def web(assistant: Assistant[str], log: EventLog) -> Starlette:
    relay = Relay(assistant, log)

    async def say(request: Request) -> Response:
        started = await relay.start(
            (await request.body()).decode(),
            user="ann",  # whoever your sign-in says it is
            conversation=request.path_params["conversation"],
            request_id=request.headers.get("Idempotency-Key"),
        )
        return JSONResponse({"request_id": started.request_id, "last_event_id": started.after}, 202)

    async def events(request: Request) -> Response:
        after = request.headers.get("Last-Event-ID") or request.query_params.get("after")
        conversation = request.path_params["conversation"]
        return EventResponse(relay.follow(user="ann", conversation=conversation, after=after))

    async def stop(request: Request) -> Response:
        await relay.stop(user="ann", conversation=request.path_params["conversation"])
        return Response(status_code=202)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with assistant, relay:
            yield

    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/{conversation}", say, methods=["POST"]),
            Route("/{conversation}/events", events),
            Route("/{conversation}/stop", stop, methods=["POST"]),
        ],
    )


# --8<-- [end:web]


# --8<-- [start:parse]
def pass_on(pieces: list[bytes], parser: sse.Parser) -> list[Entry]:
    """Read the body of a response; `parser.last_id` is where to go on when the connection is lost."""
    return [entry for piece in pieces for entry in parser.feed(piece)]


# --8<-- [end:parse]


async def main() -> None:
    with ScriptedModel(["Yes, and wind."]) as model:
        text = await talk(Assistant(model, store="memory:"), MemoryEventLog())
    print(text)


if __name__ == "__main__":
    anyio.run(main)
