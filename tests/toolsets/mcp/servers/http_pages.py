"""An HTTP endpoint in a thread that answers as told: with sessions of the old protocol, with pages, or not at all."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, cast

from tests.toolsets.mcp.servers.old_server import TOOLS, answer


class Endpoint(ThreadingHTTPServer):
    """`page`: a status, a media type and a body for every request. `fault`: what befalls a call of a tool.

    Who asks for `prompts` when there are none loses the connection.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.page: tuple[int, str, str] | None = None
        self.fault = ""
        self.session = "s1"
        self.lost: tuple[int, int, str] = (404, -32001, "Session not found")
        self.calls = 0
        self.cancelled = Event()
        self.tools = TOOLS
        self.prompts: list[dict[str, Any]] | None = None
        self.version = "2025-11-25"
        self.authorizations: list[str | None] = []

    def hear(self, method: str, authorization: str | None) -> None:
        self.authorizations.append(authorization)
        if method == "notifications/cancelled":
            self.cancelled.set()

    @property
    def url(self) -> str:
        return f"http://user:secret@127.0.0.1:{self.server_port}/mcp?token=secret"


class Handler(BaseHTTPRequestHandler):
    @property
    def endpoint(self) -> Endpoint:
        return cast("Endpoint", self.server)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (its name above)
        pass

    def do_GET(self) -> None:
        self.reply(405, "text/plain", "")

    def do_DELETE(self) -> None:
        self.reply(200, "text/plain", "")

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        method = message["method"]
        self.endpoint.hear(method, self.headers["authorization"])
        if self.endpoint.page is not None:
            self.reply(*self.endpoint.page)
        elif (
            method not in ("initialize", "server/discover") and self.headers["mcp-session-id"] != self.endpoint.session
        ):
            status, code, words = self.endpoint.lost
            self.reply(status, "application/json", error(message, code, words))
        elif method == "server/discover":
            self.reply(400, "application/json", error(message, -32600, "no session"))
        elif method == "tools/call" and self.endpoint.fault:
            self.break_down(message)
        elif method == "prompts/list":
            self.list_prompts(message)
        else:
            self.endpoint.calls += method == "tools/call"
            result = answer(method, message.get("params", {}))
            if method == "tools/list":
                result = {"tools": self.endpoint.tools}
            if method == "initialize" and result is not None:
                result = {**result, "protocolVersion": self.endpoint.version}
            body = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "result": result})
            self.reply(202 if result is None else 200, "application/json", "" if result is None else body)

    def list_prompts(self, message: dict[str, Any]) -> None:
        if self.endpoint.prompts is None:
            self.close_connection = True
        else:
            listed = {"prompts": self.endpoint.prompts}
            self.reply(200, "application/json", json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": listed}))

    def break_down(self, message: dict[str, Any]) -> None:
        self.endpoint.calls += 1
        match self.endpoint.fault:
            case "drop":
                self.close_connection = True
            case "hang":
                self.endpoint.cancelled.wait(10)
                self.close_connection = True
            case "drop once":
                self.endpoint.fault = ""
                self.close_connection = True
            case "half":
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", "1000")
                self.end_headers()
                self.wfile.write(b'{"jsonrpc"')
                self.close_connection = True
            case "half stream":
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.end_headers()
                self.wfile.write(b"data: {")
                self.close_connection = True
            case "nonsense":
                self.reply(
                    200, "application/json", json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": "no object"})
                )
            case status:
                self.reply(int(status), "text/html", "<h1>broken</h1>")

    def reply(self, status: int, media_type: str, body: str) -> None:
        self.send_response(status)
        self.send_header("content-type", media_type)
        self.send_header("mcp-session-id", self.endpoint.session)
        self.send_header("content-length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())


def error(message: dict[str, Any], code: int, text: str) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "error": {"code": code, "message": text}})


@contextmanager
def http_pages() -> Generator[Endpoint]:
    with Endpoint() as endpoint:
        thread = Thread(target=endpoint.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield endpoint
        finally:
            endpoint.shutdown()
            thread.join()
