"""The events of a run as server-sent events."""

import json
import logging
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from assistant_kit import RunStream
from assistant_kit.events import Event
from examples.todo_chatbot.api.errors import told

_log = logging.getLogger("todo.api")
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

DOCUMENTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "What happens, until `complete` or `error`",
        "content": {
            "text/event-stream": {
                "itemSchema": {
                    "type": "object",
                    "required": ["id", "event", "data"],
                    "properties": {
                        "id": {"type": "string"},
                        "event": {"type": "string"},
                        "data": {"type": "string", "contentMediaType": "application/json"},
                    },
                }
            }
        },
    }
}
"""What OpenAPI says of a stream."""


class EventStream(Response):
    """Sends what happens in a run: first `conversation`, then the events of the library, each with a number."""

    media_type = "text/event-stream"

    def __init__(self, run: RunStream[str], conversation: int) -> None:
        """Take a run that has not begun."""
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]  # nobody knows it yet
        self._run = run
        self._conversation = conversation
        self._number = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the run is over; a reader who leaves ends it."""
        del scope
        async with anyio.create_task_group() as group:

            async def until_left() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(until_left)
            await self._send(send)
            group.cancel_scope.cancel()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await _write(send, self._written("conversation", {"conversation_id": self._conversation}))
        try:
            async with self._run as run:
                while events := await run.arrived():
                    await _write(send, b"".join(self._written(event.kind, _data(event)) for event in events))
                    if events[-1].kind == "error":
                        break
        except Exception as error:  # noqa: BLE001  (the reader is told, and the log)
            _log.exception("a stream has failed")
            await _write(send, self._written("error", {"error": _json(error)}))
        await _write(send, b"", more=False)

    def _written(self, name: str, data: Mapping[str, Any]) -> bytes:
        self._number += 1
        text = json.dumps(data)  # in one line, and ASCII
        return f"id: {self._number}\nevent: {name}\ndata: {text}\n\n".encode()


async def _write(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


def _data(event: Event) -> dict[str, Any]:
    """Return the fields of an event, by the names that they have in the library."""
    return {field.name: _json(getattr(event, field.name)) for field in fields(event) if field.name != "kind"}


def _json(value: Any) -> Any:
    match value:
        case Exception():
            return told(value)[1].error.model_dump()
        case (*several,):
            return [_json(one) for one in several]
        case _ if is_dataclass(value):
            return {field.name: _json(getattr(value, field.name)) for field in fields(value)}
        case _:
            return value
