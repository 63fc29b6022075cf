"""What happens in a conversation, live to a browser: by Socket.IO, or by server-sent events where that is not possible.

Both say the same: the events of the orchestrator by their names, each with the number after which a browser that
comes back goes on. `complete` brings the answer as HTML as well (`html`). Beside them are some of our own, without a
number: `refused` {"code"}: there is no more; `unreachable` and `reachable` {}: no orchestrator answers, and one does
again.

A browser that listens holds a thread here and a connection to an orchestrator; the client bounds how many a user has.
A reader ends when its browser has left or its user has signed out: this is seen at the next message, or at the next
sign of life of the orchestrator.
"""

import json
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from threading import Event, Lock
from typing import Any, Final, Protocol, cast

from flask import Blueprint, Flask, Response, current_app, request

from examples.flask_demo.frontend.event_stream import Entry
from examples.flask_demo.frontend.markdown import render
from examples.flask_demo.frontend.orchestrator_client import OrchestratorClient, Refused, orchestrator
from examples.flask_demo.frontend.sessions import SessionsUnavailable
from examples.flask_demo.frontend.sign_in import User, current_user

JsonObject = dict[str, Any]
Told = tuple[str, JsonObject]

BATCH: Final = 64
"""Events that are sent before the browser must have taken the batch before."""
PATIENCE: Final = 30.0
"""Seconds a browser has for that."""
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NUMBER: Final = re.compile(r"[0-9]{1,18}")

live = Blueprint("live", __name__)


class SocketServer(Protocol):
    """What live channels need of Flask-SocketIO; `server` is python-socketio's."""

    server: Any

    def on_event(self, message: str, handler: Callable[..., object]) -> None: ...
    def emit(self, event: str, *args: object, **kwargs: object) -> None: ...
    def start_background_task(self, target: Callable[..., None], *args: object) -> object: ...


def told(entry: Entry) -> JsonObject:
    """Return what a browser gets of an event: its data, its number, and an answer as HTML."""
    data = entry.data if entry.id is None else {**entry.data, "id": entry.id}
    if entry.name == "complete" and isinstance(output := data.get("output"), str):
        return {**data, "html": render(output)}
    return data


def number(given: object) -> str | None:
    """Return the number of an event as a browser gives it; None when it is none."""
    return given if isinstance(given, str) and _NUMBER.fullmatch(given) else None


class Reader:
    """Reads a conversation for one browser, in a thread of its own; made in the request of that browser."""

    def __init__(self, user: User, conversation: str, after: str | None) -> None:
        self.left: Event = Event()
        """Is set when the browser has left."""
        self._client: OrchestratorClient = orchestrator()
        self._user = user
        self._conversation = conversation
        self._after = after
        self._app = cast("Flask", cast("Any", current_app)._get_current_object())  # noqa: SLF001  (as Flask documents)
        self._environ = request.environ

    def read(self) -> Generator[Told | None]:
        """Yield what the browser gets, and None as a sign of life; after `refused` there is no more."""
        happening = self._client.events(self._user.id, self._conversation, self._after, until=self.left)
        try:
            with closing(happening):
                for entry in happening:
                    if (entry is None or entry.name == "message") and not self._is_signed_in():
                        yield "refused", {"code": "unauthorized"}
                        return
                    yield None if entry is None else (entry.name, told(entry))
        except Refused as refused:
            yield "refused", {"code": refused.code}

    def _is_signed_in(self) -> bool:
        """Whether the session still is this user's; while nobody can tell, it is."""
        try:
            with self._app.request_context(self._environ):
                return current_user() == self._user
        except SessionsUnavailable:
            return True


@live.get("/conversations/<conversation>/events")
def events(conversation: str) -> Response:
    """Stream a conversation as server-sent events, after `?after=` or the Last-Event-ID of who comes back."""
    after = number(request.headers.get("Last-Event-ID")) or number(request.args.get("after"))
    user = current_user()
    reading = _nobody() if user is None else Reader(user, conversation, after).read()
    response = Response(_written(reading), mimetype="text/event-stream")
    response.headers.update({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    response.call_on_close(reading.close)
    return response


def _nobody() -> Generator[Told | None]:
    yield "refused", {"code": "unauthorized"}  # an EventSource does not tell its page of a status


def _written(reading: Iterator[Told | None]) -> Iterator[bytes]:
    yield b": hello\n\n"  # the browser knows at once that it is connected
    for one in reading:
        if one is None:
            yield b": alive\n\n"
        else:
            name, data = one
            line = f"id: {data['id']}\n" if "id" in data else ""
            yield f"{line}event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def attach(server: SocketServer) -> None:
    """Serve live channels on a server of Flask-SocketIO, made with `manage_session=False`."""
    sockets = Sockets(server)
    server.on_event("connect", sockets.connect)
    server.on_event("join", sockets.join)
    server.on_event("leave", sockets.leave)
    server.on_event("disconnect", sockets.leave)


class Sockets:
    """The browsers that listen by Socket.IO: each to one conversation at a time."""

    def __init__(self, server: SocketServer) -> None:
        self._server = server
        self._readers: dict[str, Reader] = {}
        self._lock = Lock()

    def connect(self) -> bool:
        """Let in who is signed in."""
        return current_user() is not None

    def join(self, wanted: object) -> JsonObject:
        """Begin to tell a browser what happens in a `conversation`, after the event that it names (`after`)."""
        user = current_user()
        if user is None:
            return {"refused": "unauthorized"}
        given = cast("JsonObject", wanted) if isinstance(wanted, dict) else {}
        conversation = given.get("conversation")
        if not isinstance(conversation, str) or not _ID.fullmatch(conversation):
            return {"refused": "not_found"}
        reader = Reader(user, conversation, number(given.get("after")))
        self._replace(_socket_id(), reader)
        self._server.start_background_task(self._tell, _socket_id(), reader)
        return {}

    def leave(self, *_reason: object) -> None:
        """Tell a browser nothing more."""
        self._replace(_socket_id(), None)

    def _replace(self, sid: str, reader: Reader | None) -> None:
        with self._lock:  # handlers of one socket run side by side
            before = self._readers.pop(sid, None)
            if reader is not None:
                self._readers[sid] = reader
        if before is not None:
            before.left.set()

    def _tell(self, sid: str, reader: Reader) -> None:
        window, server = Window(BATCH, PATIENCE), self._server.server
        with closing(reader.read()) as reading:
            for one in reading:
                if reader.left.is_set() or not server.manager.is_connected(sid, "/"):
                    return
                if one is None:
                    continue
                if not window.has_room():
                    server.disconnect(sid)  # it comes back, and goes on where it was
                    return
                self._server.emit(*one, to=sid, callback=window.mark())


class Window:
    """Bounds what is under way to a browser: what it does not take must not fill our memory."""

    def __init__(self, batch: int, patience: float) -> None:
        self._batch = batch
        self._patience = patience
        self._sent = 0
        self._taken = Event()
        self._taken.set()

    def has_room(self) -> bool:
        """Wait until the browser has taken the batch before, where one is full; False when it does not."""
        return self._sent % self._batch != 0 or self._taken.wait(self._patience)

    def mark(self) -> Callable[..., None] | None:
        """Count an event; return what the browser calls when it has taken the last one of a batch."""
        self._sent += 1
        if self._sent % self._batch != 0:
            return None
        taken = self._taken = Event()
        return lambda *_answer: taken.set()


def _socket_id() -> str:
    return cast("str", cast("Any", request).sid)  # Flask-SocketIO puts it there
