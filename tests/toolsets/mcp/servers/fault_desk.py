"""The server of `faults` over HTTP, in a thread: streamable HTTP at /mcp, the older transport at /sse."""

import json
import ssl
import sys
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, cast

from tests.toolsets.mcp.servers.faults import answer, done


class Desk(ThreadingHTTPServer):
    """`mode`: how it meets a new client. `endpoint`: where it says that messages of the older transport go.

    With `tls` it listens by that.
    """

    daemon_threads = True

    def __init__(self, mode: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.scheme = "http" if tls is None else "https"
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.mode = mode
        self.endpoint = "/messages"
        self.streams: list[SimpleQueue[bytes | None]] = []
        self.closing = Event()
        self.requests: list[tuple[str, str, dict[str, str]]] = []

    def url(self, transport: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}/{'mcp' if transport == 'http' else 'sse'}"


class Handler(BaseHTTPRequestHandler):
    @property
    def desk(self) -> Desk:
        return cast("Desk", self.server)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (its name above)
        pass

    def do_GET(self) -> None:
        self.note()
        if self.path == "/moved":
            self.reply(307, b"", location="/sse")
        elif self.path == "/away":
            self.reply(307, b"", location="http://127.0.0.2:9/sse")
        elif self.path == "/round":
            self.reply(307, b"", location="/round")
        elif self.path == "/page":
            self.reply(200, b"<h1>welcome</h1>", "text/html")
        elif self.path != "/sse":
            self.reply(405, b"")
        else:
            self.stream()

    def stream(self) -> None:
        events: SimpleQueue[bytes | None] = SimpleQueue()
        self.desk.streams.append(events)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        if self.desk.mode == "cut":
            self.send_header("content-length", "1000000")
        self.end_headers()
        if self.desk.mode == "dies":
            return
        where = f"{self.desk.endpoint}?{len(self.desk.streams) - 1}"
        self.wfile.write(b": hello\n\nevent: hello\ndata: x\n\nevent: endpoint\ndata: " + where.encode() + b"\n\n")
        while (event := events.get()) is not None:
            self.wfile.write(event)
            if not event.endswith(b"\n\n"):
                return

    def do_DELETE(self) -> None:
        self.reply(200, b"")

    def do_POST(self) -> None:
        self.note()
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.desk.mode == "dies" and message["method"] == "initialize":
            return
        if self.desk.mode == "slow":
            self.desk.closing.wait(0.15)
        if self.path == "/mcp":
            self.at_mcp(message, done(message))
        elif self.path.startswith("/moved?"):
            self.reply(307, b"", location="/messages")
        elif self.path.startswith("/messages?"):
            self.at_messages(message, done(message))
        else:
            self.reply(405, b"no POST here")

    def at_mcp(self, message: dict[str, Any], do: str) -> None:
        reply = answer(message)
        body = json.dumps(reply).encode()
        if do == "half":
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:40])
        elif do == "malformed":
            self.reply(200, body[:-20])
        elif not self.fails(do):
            self.reply(202 if reply is None else 200, b"" if reply is None else body)

    def at_messages(self, message: dict[str, Any], do: str) -> None:
        events = self.known_stream(message)
        if events is None:
            self.reply(404, b"there is no such stream", "text/plain")
            return
        body = json.dumps(answer(message)).encode()
        if do == "drop":
            events.put(None)
        elif do == "half":
            events.put(b"data: " + body[:40])
        elif do == "malformed":
            events.put(b"data: " + body[:-20] + b"\n\n")
        elif do == "hang":
            pass
        elif self.fails(do):
            return
        elif "id" in message:
            events.put(b"event: message\ndata: " + body + b"\n\n")
        self.reply(202, b"")

    def known_stream(self, message: dict[str, Any]) -> SimpleQueue[bytes | None] | None:
        """The stream to which a message belongs; none from before this desk, or one that ends before the answer."""
        number = int(self.path.partition("?")[2])
        if number >= len(self.desk.streams):
            return None
        events = self.desk.streams[number]
        if self.desk.mode == "ends first" and message["method"] == "tools/call":
            self.desk.mode = ""
            events.put(None)
            self.desk.closing.wait(0.1)  # the client sees the end before it has an answer
            return None
        return events

    def fails(self, do: str) -> bool:
        if do == "hang":
            self.desk.closing.wait(30)
        elif do.isdecimal():
            self.reply(int(do), b"<h1>broken</h1>", "text/html")
        return do in ("hang", "drop") or do.isdecimal()

    def note(self) -> None:
        self.desk.requests.append(
            (self.command, self.path, {key.lower(): value for key, value in self.headers.items()})
        )

    def reply(self, status: int, body: bytes, media_type: str = "application/json", location: str = "") -> None:
        self.send_response(status)
        self.send_header("content-type", media_type)
        if location:
            self.send_header("location", location)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def fault_desk(mode: str = "", port: int = 0, tls: ssl.SSLContext | None = None) -> Generator[Desk]:
    with Desk(mode, port, tls) as desk:
        thread = Thread(target=desk.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield desk
        finally:
            desk.closing.set()
            for stream in desk.streams:
                stream.put(None)
            desk.shutdown()
            thread.join()


if __name__ == "__main__":
    with fault_desk(port=int(sys.argv[1])):
        Event().wait()
