"""The events of a run as server-sent events."""

import logging
from typing import Any

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from assistant_kit import RunStream
from assistant_kit.integrations.streaming import Entry, Failure, data_of, error_data, sse
from assistant_kit.messages import JsonObject
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
                    told_now = ((event.kind, data_of(event, tell=_failure)) for event in events)
                    await _write(send, b"".join(self._written(*one) for one in told_now))
                    if events[-1].kind == "error":
                        break
        except Exception as error:  # noqa: BLE001  (the reader is told, and the log)
            _log.exception("a stream has failed")
            await _write(send, self._written("error", {"error": error_data(error, tell=_failure)}))
        await _write(send, b"", more=False)

    def _written(self, name: str, data: JsonObject) -> bytes:
        self._number += 1
        return sse.written(Entry(id=self._number, name=name, data=data))


async def _write(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


def _failure(error: BaseException) -> Failure:
    detail = told(error if isinstance(error, Exception) else RuntimeError())[1].error
    return Failure(code=detail.code, message=detail.message)
