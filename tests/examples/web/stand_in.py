"""An orchestrator that says what a test tells it to: the API of the web assistant, without an assistant behind it.

    with running_stand_in() as stand_in:
        stand_in.url                                   # for ORCHESTRATOR_URLS
        stand_in.scripts["hello"] = [("token", {"text": "Hi"}), ("complete", {"output": "Hi", ...})]
        stand_in.tell(user, conversation, "token", {"text": "now"})        # from any thread

What people say is recorded as `message`, and answered by the script whose name the message begins with. Users are
the `sub` of the token, which is not verified here.
"""

import itertools
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import jwt
import uvicorn
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

JsonObject = dict[str, Any]
Script = Sequence[tuple[str, JsonObject]]
NOW = "2026-11-22T20:00:00+00:00"


@dataclass(kw_only=True)
class Conversation:
    """What is known of a conversation: what happened, and its turns made of it."""

    id: str
    title: str = ""
    entries: list[tuple[int, str, JsonObject]] = field(default_factory=list[tuple[int, str, JsonObject]])
    turns: list[JsonObject] = field(default_factory=list[JsonObject])
    pending: list[JsonObject] = field(default_factory=list[JsonObject])
    saying: str = ""
    """The answer that is being told: it is in no turn before it is whole."""
    is_early: bool = False
    """Whether GET names an event from before everything that it shows, as an orchestrator may that does not know."""
    happened: anyio.Event = field(default_factory=anyio.Event)

    @property
    def running(self) -> bool:
        return bool(self.turns) and self.turns[-1]["status"] == "running"

    @property
    def last(self) -> int:
        return self.entries[-1][0] if self.entries else 0

    def brief(self) -> JsonObject:
        return {"id": self.id, "title": self.title, "created_at": NOW, "updated_at": NOW}

    def whole(self) -> JsonObject:
        """Return what GET gives: while a turn runs, the last event is the one before it."""
        last = self.last
        if self.running:
            last = next(id_ for id_, name, _ in reversed(self.entries) if name == "message") - 1
        if self.is_early:
            last = 0
        more = {"running": self.running, "last_event_id": str(last), "turns": self.turns, "pending": self.pending}
        return self.brief() | more

    def add(self, name: str, data: JsonObject) -> None:
        """Record an event, and wake who follows."""
        self.entries.append((self.last + 1, name, data))
        self._take_in(name, data)
        self.happened.set()
        self.happened = anyio.Event()

    def _take_in(self, name: str, data: JsonObject) -> None:
        if name == "message":
            self.turns.append(_turn(data))
        elif name in _TAKEN_IN:
            _TAKEN_IN[name](self, data)


def _said(one: Conversation, data: JsonObject) -> None:
    one.saying += data["text"]


def _retracted(one: Conversation, data: JsonObject) -> None:
    one.saying = one.saying.removesuffix(data["text"]) if data.get("text") else ""


def _called(one: Conversation, data: JsonObject) -> None:
    turn, tool = one.turns[-1], {**data, "outcome": None, "text": ""}
    if one.saying or not turn["steps"]:
        turn["steps"].append({"text": one.saying, "tools": []})
    one.saying = ""
    turn["steps"][-1]["tools"].append(tool)
    turn["tools"].append(tool)


def _answered(one: Conversation, data: JsonObject) -> None:
    for tool in one.turns[-1]["tools"]:
        if tool["call_id"] == data["call_id"]:
            tool.update(outcome=data["outcome"], text=data["text"])


def _asked(one: Conversation, data: JsonObject) -> None:
    one.pending.append(data)
    _called(one, data)


def _decided(one: Conversation, data: JsonObject) -> None:
    del data
    one.pending.clear()
    one.turns[-1]["status"] = "running"


def _completed(one: Conversation, data: JsonObject) -> None:
    one.turns[-1].update(status=data["status"], text=data["output"] or "", citations=data.get("citations", []))
    if data["status"] == "completed":
        one.turns[-1]["steps"].append({"text": data["output"] or "", "tools": []})
    one.saying = ""


def _failed(one: Conversation, data: JsonObject) -> None:
    one.saying = ""
    one.turns[-1].update(status="failed", error=data["error"])


_TAKEN_IN: dict[str, Callable[[Conversation, JsonObject], None]] = {
    "token": _said,
    "text_retracted": _retracted,
    "tool_request": _called,
    "tool_result": _answered,
    "approval_required": _asked,
    "approved": _decided,
    "complete": _completed,
    "error": _failed,
}


def _turn(data: JsonObject) -> JsonObject:
    user = {"text": data["text"], "files": data.get("files", [])}
    return {
        "id": data["request_id"],
        "request_id": data["request_id"],
        "at": NOW,
        "user": user,
        "text": "",
        "status": "running",
        "steps": [],
        "tools": [],
        "citations": [],
        "usage": {},
        "error": None,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of a user."""

    id: str
    user: str
    name: str
    media_type: str
    content: bytes

    def brief(self) -> JsonObject:
        more = {"media_type": self.media_type, "size": len(self.content), "passages": 1, "created_at": NOW}
        return {"id": self.id, "name": self.name, **more}


class StandIn:
    """The state of the stand-in, and the endpoints."""

    def __init__(self, port: int, portal: BlockingPortal) -> None:
        self.url: str = f"http://127.0.0.1:{port}"
        self.scripts: dict[str, Script] = {}
        self.asked: list[tuple[str, str]] = []
        """Methods and paths of all requests."""
        self.followed: list[int] = []
        """The events after which conversations were followed."""
        self.is_down: bool = False
        """While true, everything is answered with 503, and streams end."""
        self.held: dict[tuple[str, str], Conversation] = {}
        self.files: dict[str, File] = {}
        self._keys: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._portal = portal

    def tell(self, user: str, conversation: str, name: str, data: JsonObject) -> None:
        """Let something happen in a conversation."""
        self._portal.call(self.held[user, conversation].add, name, data)

    def trim(self, user: str, conversation: str) -> None:
        """Forget what happened, as a log does after a while: who comes back is told `reset`."""
        one = self.held[user, conversation]
        one.entries = [(id_, "token", {"text": ""}) for id_, _, _ in one.entries[-1:]]

    def cut(self) -> None:
        """End all streams, as a dying orchestrator does, and be down."""
        self.is_down = True
        for one in self.held.values():
            self._portal.call(one.happened.set)

    def begun(self, user: str, title: str = "") -> str:
        """Begin a conversation."""
        id_ = f"c_{next(self._numbers):026d}"
        self.held[user, id_] = Conversation(id=id_, title=title)
        return id_

    def has(self, user: str, name: str, content: bytes = b"words", media_type: str = "text/plain") -> str:
        """Let a user have a file."""
        id_ = f"f_{next(self._numbers)}"
        self.files[id_] = File(id=id_, user=user, name=name, media_type=media_type, content=content)
        return id_

    def routes(self) -> list[Route]:
        """Return the API."""
        one = "/api/v1/conversations/{id}"
        return [
            Route("/api/v1/conversations", self._conversations, methods=["GET", "POST"]),
            Route(one, self._conversation, methods=["GET", "PATCH", "DELETE"]),
            Route(f"{one}/messages", self._messages, methods=["POST"]),
            Route(f"{one}/events", self._events),
            Route(f"{one}/stop", self._stop, methods=["POST"]),
            Route(f"{one}/approvals/{{call}}", self._approvals, methods=["POST"]),
            Route("/api/v1/files", self._files),
            Route("/api/v1/files", self._upload, methods=["POST"]),
            Route("/api/v1/files/{id}", self._file, methods=["GET", "DELETE"]),
            Route("/health", self._health),
            Route("/ready", self._health),
        ]

    async def _health(self, request: Request) -> Response:
        del request
        return JSONResponse({"status": "ok"})

    async def _conversations(self, request: Request) -> Response:
        user = self._user(request)
        if request.method == "POST":
            body: JsonObject = await request.json()
            return JSONResponse(self.held[user, self.begun(user, body.get("title", ""))].brief(), 201)
        mine = [one.brief() for (whose, _), one in self.held.items() if whose == user]
        return JSONResponse({"conversations": mine[::-1]})

    async def _conversation(self, request: Request) -> Response:
        user = self._user(request)
        if request.method == "DELETE":
            self._one(request)
            del self.held[user, request.path_params["id"]]
            return Response(status_code=204)
        if request.method == "PATCH":
            self._one(request).title = (await request.json())["title"]
        return JSONResponse(self._one(request).whole())

    async def _messages(self, request: Request) -> Response:
        one, body = self._one(request), await request.json()
        key = request.headers["Idempotency-Key"]
        begun = {"request_id": key, "last_event_id": str(one.last)}
        if key in self._keys:
            return JSONResponse(begun, 202)
        if one.running:
            raise _Refused(409, "conflict", "The conversation is busy.")
        self._keys[key] = one.id
        files = [{"id": id_, "name": self.files[id_].name} for id_ in body["files"]]
        one.add("message", {"request_id": key, "text": body["text"], "files": files})
        self._play(one, body["text"].split()[0], key)
        return JSONResponse(begun, 202)

    def _play(self, one: Conversation, name: str, key: str) -> None:
        for event, data in self.scripts.get(name, []):
            more = {"request_id": key} if event in {"complete", "error"} else {}
            one.add(event, {**data, **more})

    async def _stop(self, request: Request) -> Response:
        one = self._one(request)
        if one.running:
            key = one.turns[-1]["request_id"]
            one.add("complete", {"output": None, "status": "cancelled", "usage": {}, "request_id": key})
        return JSONResponse({}, 202)

    async def _approvals(self, request: Request) -> Response:
        one, body, call = self._one(request), await request.json(), request.path_params["call"]
        if not any(p["call_id"] == call and p["digest"] == body["digest"] for p in one.pending):
            raise _Refused(409, "conflict", "This is about another call.")
        one.add("approved", {"call_id": call, "approved": body["approve"]})
        self._play(one, "allowed" if body["approve"] else "denied", one.turns[-1]["request_id"])
        return JSONResponse({}, 202)

    async def _upload(self, request: Request) -> Response:
        user = self._user(request)
        async with request.form() as form:
            file: Any = form["file"]
            id_ = self.has(user, file.filename, await file.read())
        return JSONResponse(self.files[id_].brief(), 201)

    async def _files(self, request: Request) -> Response:
        user = self._user(request)
        mine = [file.brief() for file in self.files.values() if file.user == user]
        return JSONResponse({"files": mine[::-1]})

    async def _file(self, request: Request) -> Response:
        user, file = self._user(request), self.files.get(request.path_params["id"])
        if file is None or file.user != user:
            raise _Refused(404, "not_found", "There is no such file.")
        if request.method == "DELETE":
            del self.files[file.id]
            return Response(status_code=204)
        return Response(file.content, headers={"Content-Disposition": f'attachment; filename="{file.name}"'})

    async def _events(self, request: Request) -> Response:
        one = self._one(request)
        after = request.headers.get("Last-Event-ID") or request.query_params.get("after") or "0"
        self.followed.append(int(after))
        return StreamingResponse(self._stream(one, int(after)), media_type="text/event-stream")

    async def _stream(self, one: Conversation, after: int) -> AsyncIterator[bytes]:
        yield b": hello\n\n"
        if one.entries and after < one.entries[0][0] - 1:
            after = one.entries[-1][0]
            yield _written(after, "reset", {"last_event_id": str(after)})
        while not self.is_down:
            happened = one.happened
            new = [entry for entry in one.entries if entry[0] > after]
            for entry in new:
                yield _written(*entry)
                after = entry[0]
            if not new:
                await happened.wait()

    def _user(self, request: Request) -> str:
        self.asked.append((request.method, request.url.path))
        if self.is_down:
            raise _Refused(503, "unavailable", "Down.")
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            raise _Refused(401, "unauthorized", "Who is there?")
        claims: JsonObject = jwt.decode(token, options={"verify_signature": False})
        return claims["sub"]

    def _one(self, request: Request) -> Conversation:
        found = self.held.get((self._user(request), request.path_params["id"]))
        if found is None:
            raise _Refused(404, "not_found", "There is no such conversation.")
        return found


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.answer: JSONResponse = JSONResponse({"error": {"code": code, "message": message}}, status)


async def _refused(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, _Refused)
    return error.answer


def _written(id_: int, name: str, data: JsonObject) -> bytes:
    return f"id: {id_}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode()


@contextmanager
def running_stand_in() -> Generator[StandIn]:
    """Serve a stand-in at a free port of this machine, in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listening, start_blocking_portal() as portal:
        stand_in = StandIn(listening.getsockname()[1], portal)
        app = Starlette(routes=stand_in.routes(), exception_handlers={_Refused: _refused})
        with portal.wrap_async_context_manager(_serving(app, listening, stand_in)):
            yield stand_in


@asynccontextmanager
async def _serving(app: Starlette, listening: socket.socket, stand_in: StandIn) -> AsyncGenerator[None]:
    config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    async with anyio.create_task_group() as group:
        group.start_soon(server.serve, [listening])
        yield
        stand_in.is_down = True
        for one in stand_in.held.values():
            one.happened.set()
        server.should_exit = True
