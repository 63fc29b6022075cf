"""How a reply reaches the client: as a body or as a stream, whole or broken on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import Any

from .connection import Connection, head
from .replies import (
    JSON,
    Answer,
    BrokenJson,
    Cut,
    ErrorEvent,
    Failed,
    Hang,
    Incomplete,
    NoTerminal,
    Paced,
    Raw,
    Reply,
    Status,
)
from .wire import EventStream, Outcome, Wire, dump, error_body

_BROKEN = b'data: {"broken": \n\n'


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request that is being answered."""

    connection: Connection
    wire: Wire
    request: Mapping[str, Any]
    released: asyncio.Event
    """Ends a `Hang`."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    one_write_an_event: bool = False

    @property
    def streamed(self) -> bool:
        """Whether the client asked for events."""
        return self.request.get("stream") is True

    async def send(self, reply: Reply) -> None:
        """Answer with this reply."""
        if isinstance(reply, Hang) and (reply.after_events is None or not self.streamed):
            await self._hang(reply.seconds)
            reply = reply.answer
        if self.streamed and not isinstance(reply, Status | Raw):
            await self._send_stream(reply)
        else:
            self._send_body(reply)

    async def _send_stream(self, reply: Reply) -> None:
        plan = _Plan.of(reply, self)
        self.connection.write(
            head(
                200,
                {**self.headers, "content-type": "text/event-stream; charset=utf-8", "transfer-encoding": "chunked"},
            )
        )
        await self._write(plan.first, plan.pause)
        if plan.hang is not None:
            await self._hang(plan.hang)
            await self._write(plan.then)
        if plan.cut:
            self.connection.close()
        else:
            self.connection.end_chunks()

    async def _write(self, events: Sequence[bytes], pause: float = 0.0) -> None:
        if not self.one_write_an_event and not pause:
            self.connection.write_chunks(events)
            return
        for event in events:
            if self.connection.left.is_set():
                return
            self.connection.write_chunks([event])
            await (self._hang(pause) if pause else asyncio.sleep(0))

    async def _hang(self, seconds: float) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (self.released, self.connection.left)]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    @singledispatchmethod
    def _send_body(self, reply: Reply) -> None:
        raise TypeError(reply)

    @_send_body.register
    def _(self, reply: Answer) -> None:
        self.json(200, self.wire.body(reply, self.request))

    @_send_body.register(NoTerminal | Paced)
    def _(self, reply: NoTerminal | Paced) -> None:
        self.json(200, self.wire.body(reply.answer, self.request))

    @_send_body.register
    def _(self, reply: Incomplete) -> None:
        self.json(200, self.wire.body(reply.answer, self.request, reply))

    @_send_body.register
    def _(self, reply: Failed) -> None:
        body = self.wire.body(reply.answer, self.request, reply)
        if body.get("status") == "failed":
            self.json(200, body)
        else:
            self.json(500, error_body(reply.message, kind="server_error", code=reply.code))

    @_send_body.register
    def _(self, reply: ErrorEvent) -> None:
        self.json(500, error_body(reply.message, kind="server_error", code=reply.code))

    @_send_body.register
    def _(self, reply: BrokenJson) -> None:
        whole = dump(self.wire.body(reply.answer, self.request))
        self.body(200, whole[: len(whole) // 2], "application/json")

    @_send_body.register
    def _(self, reply: Cut) -> None:
        whole = dump(self.wire.body(reply.answer, self.request))
        self.body(200, whole[: len(whole) // 2], "application/json", promised=len(whole))
        self.connection.close()

    @_send_body.register
    def _(self, reply: Raw) -> None:
        self.connection.write(reply.data)
        self.connection.close()

    @_send_body.register
    def _(self, reply: Status) -> None:
        if isinstance(reply.body, str):
            self.body(reply.code, reply.body.encode(), "text/html; charset=utf-8", reply.headers)
        else:
            body = reply.body or error_body(f"scripted status {reply.code}", kind=_kind(reply.code))
            self.json(reply.code, body, reply.headers)

    def json(self, status: int, value: JSON, headers: Mapping[str, str] | None = None) -> None:
        """Answer with a JSON body."""
        self.body(status, dump(value), "application/json", headers)

    def body(
        self,
        status: int,
        content: bytes,
        content_type: str,
        headers: Mapping[str, str] | None = None,
        *,
        promised: int | None = None,
    ) -> None:
        """Answer with a body; `promised` is the length in the header if it is to differ from the real one."""
        length = len(content) if promised is None else promised
        own = {"content-type": content_type, "content-length": str(length)}
        self.connection.write(head(status, {**self.headers, **own, **(headers or {})}) + content)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a stream sends: events, perhaps silence and more events, and how it ends."""

    first: Sequence[bytes]
    hang: float | None = None
    then: Sequence[bytes] = ()
    cut: bool = False
    pause: float = 0.0  # seconds after each event

    @classmethod
    def of(cls, reply: Reply, delivery: Delivery) -> _Plan:
        stream = delivery.wire.stream(_answer_of(reply), delivery.request, _outcome_of(reply))
        whole = [*stream.events, *stream.ending, *([stream.done] if stream.done else [])]
        match reply:
            case Hang(seconds=seconds, after_events=int(count)):
                return cls(whole[:count], hang=seconds, then=whole[count:])
            case Paced(seconds=seconds):
                return cls(whole, pause=seconds)
            case Cut(after_events=count):
                return cls(whole[:count], cut=True)
            case BrokenJson(after_events=count):
                return cls([*whole[:count], _BROKEN, *whole[count:]])
            case ErrorEvent(after_events=count):
                before = whole[:count]
                return cls([*before, delivery.wire.error_event(reply.code, reply.message, len(before))])
            case NoTerminal():
                return cls(_without_end(stream, done_only=reply.done_only))
            case _:
                return cls(whole)


def _without_end(stream: EventStream, *, done_only: bool) -> Sequence[bytes]:
    return [*stream.events, *stream.ending] if done_only else stream.events


def _answer_of(reply: Reply) -> Answer:
    if isinstance(reply, Answer):
        return reply
    if isinstance(reply, Status | Raw):
        raise TypeError(reply)
    return reply.answer


def _outcome_of(reply: Reply) -> Outcome:
    return reply if isinstance(reply, Failed | Incomplete) else None


def _kind(status: int) -> str:
    kinds = {401: "invalid_request_error", 404: "invalid_request_error", 429: "requests"}
    return kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")
