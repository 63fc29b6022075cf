"""What befalls a call on a real connection: what the caller gets, and that the next call works."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, cast

import anyio
import pytest

from assistant_kit.deadline import Deadline
from assistant_kit.errors import OutcomeUnknown, ToolError
from assistant_kit.messages import text_of
from assistant_kit.toolsets.http_tools import HTTPTools
from tests.integrations.serving.hosting import called
from tests.toolsets.http_tools.scripted_server import ADD

pytestmark = pytest.mark.anyio
LARGE = 20_000_000


class Faulty(ThreadingHTTPServer):
    """A server of one tool. `fault` befalls the next call, `befallen` counts calls that came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.fault = ""
        self.befallen = 0
        self.closing = Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept

    @property
    def faulty(self) -> Faulty:
        return cast("Faulty", self.server)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (its name above)
        pass

    def do_GET(self) -> None:
        self.reply(200, "application/json", json.dumps({"tools": [ADD]}))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.faulty.befallen += 1
        fault, self.faulty.fault = self.faulty.fault, ""
        match fault:
            case "":
                self.reply(200, "application/json", json.dumps({"ok": True, "result": "3"}))
            case "large":
                self.reply(200, "application/json", json.dumps({"ok": True, "result": "x" * LARGE}))
            case "drop":
                self.close_connection = True
            case "half":
                self.send_response(200)
                self.send_header("content-length", "1000")
                self.end_headers()
                self.wfile.write(b'{"ok"')
                self.close_connection = True
            case "hang":
                self.faulty.closing.wait(10)
                self.close_connection = True
            case "malformed":
                self.reply(200, "application/json", '{"ok": tru')
            case status:
                self.reply(int(status), "text/html", "<h1>broken</h1>")

    def reply(self, status: int, media_type: str, body: str) -> None:
        self.send_response(status)
        self.send_header("content-type", media_type)
        self.send_header("content-length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())


@pytest.fixture
def server() -> Iterator[Faulty]:
    with Faulty() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


async def add(tools: HTTPTools, *, seconds: float = 5) -> str:
    deadline = Deadline.after(seconds, now=anyio.current_time())
    return text_of((await tools.call("add", {"a": 1, "b": 2}, called("add", deadline=deadline))).content)


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("drop", OutcomeUnknown),
        ("half", OutcomeUnknown),
        ("malformed", OutcomeUnknown),
        ("500", OutcomeUnknown),
        ("502", OutcomeUnknown),
        ("401", ToolError),
        ("503", ToolError),
        ("hang", OutcomeUnknown),
    ],
)
async def test_a_fault_is_that_of_one_call(server: Faulty, fault: str, outcome: type[ToolError]) -> None:
    async with HTTPTools(f"http://127.0.0.1:{server.server_port}") as tools:
        assert await add(tools) == "3"
        server.fault = fault
        with pytest.raises(ToolError) as failure:
            await add(tools, seconds=0.3 if fault == "hang" else 5)
        assert type(failure.value) is outcome
        assert server.befallen == 2  # once only
        await anyio.lowlevel.checkpoint()  # the task of the caller is not cancelled
        assert await add(tools) == "3"


@pytest.mark.parametrize("fault", ["drop", "half", "malformed", "500"])
async def test_a_call_that_may_be_repeated_survives_a_fault(server: Faulty, fault: str) -> None:
    async with HTTPTools(f"http://127.0.0.1:{server.server_port}", effects={"add": "read"}) as tools:
        server.fault = fault
        assert await add(tools) == "3"
        assert server.befallen == 2


async def test_a_result_of_many_megabytes_arrives(server: Faulty) -> None:
    async with HTTPTools(f"http://127.0.0.1:{server.server_port}") as tools:
        server.fault = "large"
        assert len(await add(tools, seconds=30)) == LARGE
