"""Whatever a server does, what comes out of a run is an error of this library."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.errors import (
    AssistantKitError,
    ModelBroke,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelTimeout,
    ModelUnauthorized,
    ModelUnavailable,
)
from assistant_kit.run.result import Result
from tests.end_to_end.talking import WAYS, Way, model_for, talk, tool_texts
from tests.openai_server import (
    Answer,
    BrokenJson,
    Call,
    Cut,
    ErrorEvent,
    Failed,
    Incomplete,
    NoTerminal,
    OpenAIServer,
    Raw,
    Reply,
    Request,
    Status,
)

pytestmark = pytest.mark.anyio

every_way = pytest.mark.parametrize("way", WAYS, ids=str)
RICH = Answer("some text", (Call("f", {"a": 1}), Call("g")), reasoning="thought")
EVENTS = 40
"""More than RICH has in either format."""


@asynccontextmanager
async def asking(server: OpenAIServer, way: Way) -> AsyncGenerator[Assistant[str]]:
    assistant = Assistant(model_for(way, server), policies=())
    yield assistant
    await assistant.model.aclose()


async def outcomes(server: OpenAIServer, way: Way, replies: Sequence[Reply]) -> list[Result[str] | AssistantKitError]:
    """Run a turn for each reply; whatever is no error of this library fails the test."""
    found: list[Result[str] | AssistantKitError] = []
    with anyio.fail_after(30):
        async with asking(server, way) as assistant:
            for reply in replies:
                server.script(partial(_once, reply))
                try:
                    found.append(await talk(assistant, way, "x", user="u", conversation=None))
                except AssistantKitError as error:
                    found.append(error)
    return found


def _once(reply: Reply, request: Request) -> Reply:
    """The reply, also to `openai:NAME` asking by the other route; but calls that come whole are answered and done."""
    return Answer("done") if request.route is not None and tool_texts(request) else reply


KINDS: dict[int, type[ModelError]] = {
    401: ModelUnauthorized,
    403: ModelUnauthorized,
    408: ModelTimeout,
    429: ModelRateLimited,
}


@every_way
async def test_every_status_has_its_error(server: OpenAIServer, way: Way) -> None:
    codes = range(400, 600)
    found = await outcomes(server, way, [Status(code) for code in codes])
    for code, outcome in zip(codes, found, strict=True):
        assert isinstance(outcome, ModelError)
        assert outcome.status == code
        assert type(outcome) is KINDS.get(code, ModelRejected if code < 500 else ModelUnavailable)


@every_way
async def test_the_body_of_an_error_may_be_anything(server: OpenAIServer, way: Way) -> None:
    bodies = ("<html>nginx</html>", "", "null", "[]", '"x"', "{}", '{"error": null}', "\x00\xff")
    pages = [Status(code, body) for code in (400, 404, 429, 500, 502) for body in bodies]
    found = await outcomes(server, way, pages)
    assert [outcome.status for outcome in found if isinstance(outcome, ModelError)] == [page.code for page in pages]


@every_way
async def test_a_cut_at_any_event_is_an_error_and_never_an_answer(server: OpenAIServer, way: Way) -> None:
    found = await outcomes(server, way, [Cut(count, RICH) for count in range(EVENTS)])
    answers = [isinstance(outcome, Result) for outcome in found]
    if not way.streamed:
        assert not any(answers)
        return
    # Once the last event is there a cut takes nothing away; until then nothing passes for an answer.
    assert sorted(answers) == answers
    assert all(isinstance(outcome, ModelError) for outcome in found[: answers.index(True)])
    assert answers.index(True) > 10


@every_way
@pytest.mark.parametrize("kind", [BrokenJson, ErrorEvent])
async def test_what_is_broken_at_any_event_is_an_error(
    server: OpenAIServer, way: Way, kind: type[BrokenJson | ErrorEvent]
) -> None:
    replies = [kind(after_events=count, answer=RICH) for count in range(12)]
    found = await outcomes(server, way, replies)
    assert {type(outcome) for outcome in found} <= {ModelBroke, ModelUnavailable}


@every_way
async def test_an_end_that_is_no_success_is_an_error_or_says_so(server: OpenAIServer, way: Way) -> None:
    failed, missing, cut_off, filtered = await outcomes(
        server, way, [Failed(), NoTerminal(), Incomplete(), Incomplete("content_filter")]
    )
    assert isinstance(failed, ModelBroke | ModelUnavailable)
    assert isinstance(missing, ModelBroke if way.streamed else Result)
    assert isinstance(cut_off, Result)
    assert isinstance(filtered, Result)
    assert (cut_off.finish, filtered.finish) == ("length", "content_filter")


def http(body: bytes, *headers: str, status: str = "200 OK") -> Raw:
    lines = "".join(f"{line}\r\n" for line in (*headers, f"content-length: {len(body)}"))
    return Raw(f"HTTP/1.1 {status}\r\n{lines}\r\n".encode("latin-1") + body)


JSON = "content-type: application/json"
STREAM = "content-type: text/event-stream"
GARBAGE: dict[str, Raw] = {
    "nothing": Raw(b""),
    "no HTTP": Raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "noise": Raw(bytes(range(256)) * 8),
    "half a head": Raw(b"HTTP/1.1 200 OK\r\ncontent-ty"),
    "no body at all": Raw(b"HTTP/1.1 200 OK\r\n\r\n"),
    "a status that is none": http(b"", status="999 ?"),
    "a letter for a status": http(b"", status="OK"),
    "no content": http(b"", status="204 No Content"),
    "only a promise": Raw(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a switch of protocols": Raw(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    "not modified": http(b"", status="304 Not Modified"),
    "moved to nowhere": http(b"", "location: http://[", status="302 Found"),
    "moved to another protocol": http(b"", "location: ftp://example.com", status="307 Temporary Redirect"),
    "moved in a circle": http(b"", "location: ?", status="308 Permanent Redirect"),
    "a head in no alphabet": http(b"{}", "x-\xff: \xfe", JSON),
    "chunks that are none": Raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}"),
    "a wrong length": Raw(b"HTTP/1.1 200 OK\r\ncontent-length: -3\r\n\r\n{}"),
    "no zlib": http(b"{}", "content-encoding: deflate", STREAM),
    "an encoding nobody knows": http(b"{}", "content-encoding: x-none", JSON),
    "an alphabet nobody knows": http(b"\xff\xfe", "content-type: application/json; charset=klingon"),
    "an error in no alphabet": http(b"\xff\xfe", "content-type: text/plain; charset=klingon", status="500 x"),
    "a web page": http(b"<html>hello</html>", "content-type: text/html"),
    "a number": http(b"42", JSON),
    "a list": http(b"[]", JSON),
    "an empty object": http(b"{}", JSON),
    "half an object": http(b'{"choices": [', JSON),
    "choices of nothing": http(b'{"choices": [], "output": null}', JSON),
    "deep": http(b"[" * 100_000, JSON),
    "binary events": http(b"data: \xff\xfe\n\n", STREAM),
    "events of nothing": http(b"data: null\n\ndata: []\n\ndata: 3\n\n", STREAM),
    "only comments": http(b": ping\n\n" * 50, STREAM),
    "only an error": http(b'data: {"error": "out of memory"}\n\n', STREAM),
    "an error of another kind": http(b'data: {"error": {"message": 5, "code": {}}}\n\n', STREAM),
    "an early [DONE]": http(b"data: {}\n\n", STREAM),
}


@every_way
@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")  # httpcore2 leaves one, and trio says so
async def test_a_body_that_cannot_be_unpacked_is_an_error(server: OpenAIServer, way: Way) -> None:
    packed = [http(b"{}", "content-encoding: gzip", JSON, status=status) for status in ("200 OK", "500 x")]
    found = await outcomes(server, way, packed)
    assert all(isinstance(outcome, ModelError) for outcome in found)


@every_way
async def test_garbage_is_an_error(server: OpenAIServer, way: Way) -> None:
    found = await outcomes(server, way, list(GARBAGE.values()))
    wrong = [name for name, outcome in zip(GARBAGE, found, strict=True) if not isinstance(outcome, ModelError)]
    assert wrong == []
