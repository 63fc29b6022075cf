"""The way to the orchestrator's API: what goes through it, and what does not."""

import io
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import cast

import httpx2
import pytest
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from examples.flask_demo.frontend.app import make_frontend
from tests.examples.web.frontend.surroundings import PUBLIC_URL, Browser, Recorder, System, settings_in, system, told
from tests.services.processes import free_port


@pytest.fixture
def ann(web: System) -> Browser:
    browser = web.browser()
    browser.sign_in("Ann")
    return browser


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/conversations?limit=5&before=c_2"),
        ("POST", "/api/v1/conversations"),
        ("GET", "/api/v1/conversations/c_1"),
        ("PATCH", "/api/v1/conversations/c_1"),
        ("DELETE", "/api/v1/conversations/c_1"),
        ("POST", "/api/v1/conversations/c_1/messages"),
        ("GET", "/api/v1/conversations/c_1/events?after=7"),
        ("POST", "/api/v1/conversations/c_1/stop"),
        ("POST", "/api/v1/conversations/c_1/approvals/call_1.a:b"),
        ("GET", "/api/v1/files"),
        ("DELETE", "/api/v1/files/f_1"),
        ("GET", "/api/v1/tools"),
        ("POST", "/api/v1/tools/calendar.current_time/execute"),
        ("GET", "/api/v1/usage"),
        ("GET", "/api/v1/export"),
        ("DELETE", "/api/v1/user"),
    ],
)
def test_the_api_is_reached(ann: Browser, upstream: Recorder, method: str, path: str) -> None:
    answer = ann.json(method, path, {"a": 1})

    assert answer.status_code == 200
    (seen,) = upstream.seen
    assert (seen.method, seen.target, json.loads(seen.body)) == (method, path, {"a": 1})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/", 404),
        ("GET", "/api/v1/admin", 404),
        ("GET", "/api/v1/metrics", 404),
        ("GET", "/api/v1/conversations/c_1/turns", 404),
        ("GET", "/api/v1/conversations/..%2F..%2Fmetrics", 404),
        ("GET", "/api/v1/conversations/../../metrics", 404),
        ("GET", "/api/v1/conversations/c_1%3Fa=b", 404),
        ("GET", "/api/v1/files/a%2Fb", 404),
        ("GET", "/api/v1/files/%0d%0aX:y", 404),
        ("DELETE", "/api/v1/conversations", 405),
        ("PUT", "/api/v1/conversations/c_1", 405),
        ("GET", "/api/v1/conversations/c_1/messages", 405),
        ("GET", "/api/v1/user", 405),
        ("GET", "/api/v2/conversations", 404),
    ],
)
def test_nothing_else_is_reached(ann: Browser, upstream: Recorder, method: str, path: str, status: int) -> None:
    answer = ann.json(method, path)

    assert (answer.status_code, "error" in told(answer)) == (status, True)
    assert not upstream.seen


def test_a_refused_method_is_told_what_is_allowed(ann: Browser) -> None:
    assert ann.json("PUT", "/api/v1/conversations").headers["Allow"] == "GET, POST"


def test_parameters_nobody_knows_do_not_go_through(ann: Browser, upstream: Recorder) -> None:
    ann.get("/api/v1/conversations?user=u_2&limit=5")

    assert upstream.seen[0].target == "/api/v1/conversations?limit=5"


def test_of_a_browsers_headers_few_go_through(ann: Browser, upstream: Recorder) -> None:
    sent = {
        "Idempotency-Key": "key-1",
        "Last-Event-ID": "17",
        "Accept": "text/event-stream",
        "Authorization": "Bearer of the browser",
        "X-Forwarded-For": "10.0.0.1",
        "Connection": "X-Secret",
        "X-Secret": "1",
        "Transfer-Encoding": "identity",
        "Upgrade": "h2c",
        "X-User": "u_2",
    }

    ann.json("POST", "/api/v1/conversations/c_1/messages", {"text": "hello"}, **sent)

    (seen,) = upstream.seen
    taken = ("idempotency-key", "last-event-id", "accept", "content-type")
    assert [seen.headers[name] for name in taken] == ["key-1", "17", "text/event-stream", "application/json"]
    ours = {"authorization", "host", "user-agent", "accept-encoding", "connection", "content-length"}
    assert set(seen.headers) <= ours | set(taken) | {"x-request-id", "traceparent"}
    assert "of the browser" not in seen.headers["authorization"]
    assert "Secret" not in str(seen)


def test_a_key_that_is_none_does_not_go_through(ann: Browser, upstream: Recorder) -> None:
    ann.json("POST", "/api/v1/conversations/c_1/messages", {}, **{"Idempotency-Key": "x" * 300})

    assert "idempotency-key" not in upstream.seen[0].headers


def test_of_an_answers_headers_few_go_through(ann: Browser, upstream: Recorder) -> None:
    given = {
        "Content-Disposition": 'attachment; filename="a.txt"',
        "Retry-After": "3",
        "Set-Cookie": "__Host-session=planted; Path=/; Secure",
        "Server": "secret/1.0",
        "Access-Control-Allow-Origin": "*",
        "Location": "https://evil.example",
    }
    upstream.answer = lambda _: Response(b"text", 429, given, media_type="text/plain")

    answer = ann.get("/api/v1/files/f_1")

    assert (answer.status_code, answer.data, answer.mimetype) == (429, b"text", "text/plain")
    assert (answer.headers["Retry-After"], answer.headers["Content-Disposition"]) == ("3", given["Content-Disposition"])
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert not {"Set-Cookie", "Server", "Access-Control-Allow-Origin", "Location"} & set(answer.headers.keys())


def test_a_request_has_one_id_all_the_way(ann: Browser, upstream: Recorder) -> None:
    given = "0123456789abcdef" * 2

    answer = ann.get("/api/v1/usage", headers={"X-Request-ID": given})

    seen = upstream.seen[0].headers
    assert answer.headers["X-Request-ID"] == seen["x-request-id"] == given
    assert seen["traceparent"].split("-")[1] == given


@pytest.mark.parametrize("given", ["", "short", "0" * 32, "G" * 32, "a" * 33])
def test_an_id_of_another_form_is_replaced(ann: Browser, upstream: Recorder, given: str) -> None:
    answer = ann.get("/api/v1/usage", headers={"X-Request-ID": given})

    made = answer.headers["X-Request-ID"]
    assert (len(made), made == given) == (32, False)
    assert upstream.seen[0].headers["x-request-id"] == made


def test_a_trace_of_the_caller_goes_on(ann: Browser, upstream: Recorder) -> None:
    ann.get("/api/v1/usage", headers={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"})

    assert upstream.seen[0].headers["traceparent"].split("-")[1] == "ab" * 16


def test_a_body_that_is_too_large_is_refused(ann: Browser, upstream: Recorder) -> None:
    answer = ann.json("POST", "/api/v1/conversations/c_1/messages", {"text": "x" * 70_000})

    assert (answer.status_code, told(answer)["error"]["code"]) == (413, "too_large")
    assert not upstream.seen


def test_a_file_goes_through_in_pieces(ann: Browser, upstream: Recorder) -> None:
    content = b"0123456789" * 30_000

    answer = ann.post("/api/v1/files", data={"file": (io.BytesIO(content), "notes.txt")})

    assert answer.status_code == 200
    (seen,) = upstream.seen
    assert content in seen.body
    assert seen.headers["content-type"].startswith("multipart/form-data; boundary=")


@pytest.mark.parametrize("is_told", [True, False])
def test_a_file_that_is_too_large_is_refused(
    valkey_url: str, issuer: str, upstream: Recorder, tmp_path: Path, *, is_told: bool
) -> None:
    with system(tmp_path, valkey_url, issuer, upstream.url, largest_file=100_000) as made:
        browser = made.browser()
        browser.sign_in("Ann")
        given = {"input_stream": io.BytesIO(b"x" * 200_000), "headers": {"Content-Type": "multipart/form-data"}}
        more = {"content_length": 200_000} if is_told else {"environ_overrides": {"wsgi.input_terminated": True}}
        answer = browser.post("/api/v1/files", **given, **more)

    assert (answer.status_code, told(answer)["error"]["code"]) == (413, "too_large")
    assert not upstream.seen


def test_events_come_as_they_happen(ann: Browser, upstream: Recorder) -> None:
    seen_first = threading.Event()

    async def events() -> AsyncIterator[bytes]:
        yield b"id: 1\nevent: token\ndata: {}\n\n"
        await to_thread.run_sync(seen_first.wait, 20)
        yield b"id: 2\nevent: complete\ndata: {}\n\n"

    upstream.answer = lambda _: StreamingResponse(events(), media_type="text/event-stream")

    answer = ann.get("/api/v1/conversations/c_1/events", buffered=False)

    pieces = cast("Iterator[bytes]", iter(answer.response))
    assert b"id: 1" in next(pieces)
    seen_first.set()
    assert b"id: 2" in b"".join(pieces)
    assert (answer.mimetype, answer.headers["X-Accel-Buffering"]) == ("text/event-stream", "no")
    answer.close()


def test_who_reads_too_much_at_once_is_told_to_wait(
    valkey_url: str, issuer: str, upstream: Recorder, tmp_path: Path
) -> None:
    with system(tmp_path, valkey_url, issuer, upstream.url, streams=1) as made:
        browser = made.browser()
        browser.sign_in("Ann")
        with closing(browser.get("/api/v1/usage", buffered=False)):
            refused = browser.get("/api/v1/usage")
        again = browser.get("/api/v1/usage")

    assert (refused.status_code, told(refused)["error"]["code"], again.status_code) == (429, "limited", 200)
    assert refused.headers["Retry-After"]


class Broken(AsyncIterator[bytes]):
    """A body of which half comes."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = [b"half"]

    async def __anext__(self) -> bytes:
        if not self.pieces:
            raise ConnectionResetError
        return self.pieces.pop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_half_does_not_look_like_a_whole(ann: Browser, upstream: Recorder) -> None:
    upstream.answer = lambda _: StreamingResponse(Broken(), media_type="text/plain")

    answer = ann.get("/api/v1/files/f_1", buffered=False)

    with closing(answer), pytest.raises(httpx2.TransportError):
        b"".join(cast("Iterator[bytes]", answer.response))


def test_a_stream_of_events_that_breaks_off_ends(ann: Browser, upstream: Recorder) -> None:
    upstream.answer = lambda _: StreamingResponse(Broken(), media_type="text/event-stream")

    answer = ann.get("/api/v1/conversations/c_1/events", buffered=False)

    with closing(answer):
        assert b"".join(cast("Iterator[bytes]", answer.response)) == b"half"


def test_without_an_orchestrator_the_api_says_so(valkey_url: str, issuer: str, tmp_path: Path) -> None:
    with system(tmp_path, valkey_url, issuer, f"http://127.0.0.1:{free_port()}") as made:
        browser = made.browser()
        browser.sign_in("Ann")
        answer = browser.get("/api/v1/usage")

    assert (answer.status_code, told(answer)["error"]["code"]) == (503, "unavailable")
    assert answer.headers["Retry-After"]


def test_another_name_of_the_host_is_refused(web: System) -> None:
    answer = web.browser().http.get("/", base_url="http://evil.example:8000")

    assert (answer.status_code, answer.mimetype) == (400, "text/plain")
    assert "Content-Security-Policy" in answer.headers


def test_errors_of_the_orchestrator_come_through_as_they_are(ann: Browser, upstream: Recorder) -> None:
    def answer(_: Request) -> Response:
        return JSONResponse({"error": {"code": "conflict", "message": "wait"}}, 409)

    upstream.answer = answer

    given = ann.json("POST", "/api/v1/conversations/c_1/stop")

    assert (given.status_code, given.json) == (409, {"error": {"code": "conflict", "message": "wait"}})


def test_browsers_that_came_by_tls_come_by_tls_for_a_year(
    valkey_url: str, issuer: str, upstream: Recorder, tmp_path: Path
) -> None:
    settings = replace(settings_in(tmp_path, valkey_url, issuer, upstream.url), public_url="https://a.example")
    made = make_frontend(settings)

    headers = made.app.test_client().get("/sign-in", base_url="https://a.example").headers
    made.client.close()
    made.sessions.close()

    assert headers["Strict-Transport-Security"].startswith("max-age=31536000")
    assert "wss://a.example" in headers["Content-Security-Policy"]


def test_pages_are_told_to_load_nothing_from_elsewhere(web: System) -> None:
    headers = web.browser().get("/sign-in").headers

    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert policy["connect-src"] == f"'self' {PUBLIC_URL.replace('http', 'ws')}"
    assert policy["form-action"] == f"'self' {web.issuer}"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["object-src"] == "'none'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert "Strict-Transport-Security" not in headers
