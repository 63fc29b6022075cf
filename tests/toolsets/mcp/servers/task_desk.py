"""An HTTP endpoint in a thread that carries out calls as tasks, in either generation of the protocol.

A test tells what becomes of a task; the desk remembers what it was asked.
"""

import json
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any, Literal, cast

Generation = Literal["2025-11-25", "2026-07-28"]
EXTENSION = "io.modelcontextprotocol/tasks"
UNKNOWN_TASK = -32602
TOOLS: list[dict[str, Any]] = [
    {"name": "build", "inputSchema": {"type": "object"}, "execution": {"taskSupport": "required"}},
    {"name": "test", "inputSchema": {"type": "object"}, "execution": {"taskSupport": "optional"}},
    {"name": "clock", "inputSchema": {"type": "object"}, "execution": {"taskSupport": "forbidden"}},
    {"name": "echo", "inputSchema": {"type": "object"}},
]


class Refusal(Exception):
    """An error of JSON-RPC."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        self.message = message


class Desk(ThreadingHTTPServer):
    """`asked` are the methods of all requests; `started` the arguments of each task; `tasks` their states by id.

    `at_once`: what a new task has become already. `declares`: the server says that it offers tasks. `faults`: what is
    sent in place of the next answers, an HTTP status or the members of a message. The older generation
    speaks in a `session`: a server that has forgotten it refuses all else than a new handshake.
    """

    daemon_threads = True

    def __init__(self, generation: Generation) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.generation = generation
        self.declares = True
        self.asked: list[str] = []
        self.headers: list[str | None] = []
        self.started: list[dict[str, Any]] = []
        self.tasks: dict[str, dict[str, Any]] = {}
        self.cancelled: list[str] = []
        self.at_once: dict[str, Any] = {}
        self.interval: int | None = 1
        self.faults: list[int | dict[str, Any]] = []
        self.session = "s1"
        self.looked = Event()
        self.lock = Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/mcp"

    @property
    def newer(self) -> bool:
        return self.generation == "2026-07-28"

    def becomes(self, status: str, **more: Any) -> None:
        """Say what has become of the task that was begun last; `result` and `error` as on the wire."""
        self.tasks[list(self.tasks)[-1]] = {"status": status, **more}

    def completes(self, text: str, **more: Any) -> None:
        self.becomes("completed", result={"content": [{"type": "text", "text": text}], **more})

    def answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Return the result of a request. Raises Refusal."""
        match method:
            case "server/discover" if self.newer:
                return {"supportedVersions": [self.generation], "capabilities": self.capabilities(), **_CACHE}
            case "initialize" if not self.newer:
                about = {"name": "desk", "version": "1"}
                return {"protocolVersion": self.generation, "capabilities": self.capabilities(), "serverInfo": about}
            case "tools/list":
                return {"tools": TOOLS, **(_CACHE if self.newer else {})}
            case "tools/call":
                return self.call(params)
            case "tasks/get":
                return self.account(params["taskId"], whole=self.newer)
            case "tasks/result" if not self.newer:
                return self.result(params["taskId"])
            case "tasks/cancel":
                self.cancelled.append(params["taskId"])
                return self.account(params["taskId"])
            case _:
                raise Refusal(-32601, "Method not found")

    def capabilities(self) -> dict[str, Any]:
        if not self.declares:
            return {"tools": {}}
        if self.newer:
            return {"tools": {}, "extensions": {EXTENSION: {}}}
        return {"tools": {}, "tasks": {"cancel": {}, "requests": {"tools": {"call": {}}}}}

    def call(self, params: dict[str, Any]) -> dict[str, Any]:
        as_task = params["name"] in ("build", "test") if self.newer else "task" in params
        if not as_task:
            return {"content": [{"type": "text", "text": json.dumps(params["arguments"])}], **self.complete()}
        with self.lock:
            self.started.append(params["arguments"])
            task_id = f"t{len(self.started)}"
            self.tasks[task_id] = self.at_once or {"status": "working"}
        state = self.account(task_id)
        return {**state, "resultType": "task"} if self.newer else {"task": state}

    def account(self, task_id: str, *, whole: bool = False) -> dict[str, Any]:
        state = self.tasks.get(task_id)
        if state is None:
            raise Refusal(UNKNOWN_TASK, "Failed to retrieve task: Task not found")
        now = "2026-11-22T10:00:00Z"
        suffix = "Ms" if self.newer else ""
        times = {"createdAt": now, "lastUpdatedAt": now, f"ttl{suffix}": None}
        if self.interval is not None:
            times[f"pollInterval{suffix}"] = cast("Any", self.interval)
        shown = state if whole else {"status": state["status"]}
        return {"taskId": task_id, **shown, **times, **self.complete()}

    def result(self, task_id: str) -> dict[str, Any]:
        state = self.tasks[task_id]
        if "result" not in state:
            raise Refusal(**state.get("error", {"code": UNKNOWN_TASK, "message": "Task has expired"}))
        return cast("dict[str, Any]", state["result"])

    def complete(self) -> dict[str, Any]:
        return {"resultType": "complete"} if self.newer else {}


_CACHE = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}


class Handler(BaseHTTPRequestHandler):
    @property
    def desk(self) -> Desk:
        return cast("Desk", self.server)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (its name above)
        pass

    def do_GET(self) -> None:
        self.reply(405, "")

    def do_DELETE(self) -> None:
        self.reply(200, "")

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        method = message["method"]
        if "id" not in message:
            self.reply(202, "")
            return
        desk = self.desk
        desk.asked.append(method)
        if method.startswith("tasks/"):
            desk.headers.append(self.headers["mcp-name"])
        handshake = method in ("server/discover", "initialize")
        if not (desk.newer or handshake) and self.headers["mcp-session-id"] != desk.session:
            self.reply(404, "no such session")
            return
        if desk.faults:
            self.break_down(message, desk.faults.pop(0))
            return
        self.reply(200, json.dumps(self.outcome(message)))
        if method == "tasks/get":
            desk.looked.set()

    def outcome(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            result = self.desk.answer(message["method"], message.get("params", {}))
        except Refusal as refusal:
            error = {"code": refusal.code, "message": refusal.message}
            return {"jsonrpc": "2.0", "id": message["id"], "error": error}
        return {"jsonrpc": "2.0", "id": message["id"], "result": result}

    def break_down(self, message: dict[str, Any], fault: int | dict[str, Any]) -> None:
        if isinstance(fault, int):
            self.reply(fault, "broken")
        else:
            self.reply(200, json.dumps({"jsonrpc": "2.0", "id": message["id"], **fault}))

    def reply(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        if not self.desk.newer:
            self.send_header("mcp-session-id", self.desk.session)
        self.send_header("content-length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())


@contextmanager
def task_desk(generation: Generation) -> Generator[Desk]:
    with Desk(generation) as desk:
        thread = Thread(target=desk.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield desk
        finally:
            desk.shutdown()
            thread.join()
