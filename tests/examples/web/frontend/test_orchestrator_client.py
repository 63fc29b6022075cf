"""Calls to orchestrators of which some are down, hang up, or say that they cannot now."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from examples.flask_demo.certificates import make
from examples.flask_demo.frontend.event_stream import Entry
from examples.flask_demo.frontend.orchestrator_client import Answer, Asked, OrchestratorClient, Refused, Unavailable
from examples.flask_demo.tls import client_context, server_context
from tests.services.processes import free_port

KEY = {"Idempotency-Key": "k"}


class Instance:
    """An orchestrator of raw bytes: each request is answered by the next of its answers; None hangs up."""

    def __init__(self, *answers: bytes | Callable[[socket.socket], None] | None) -> None:
        self.answers: list[bytes | Callable[[socket.socket], None] | None] = list(answers)
        self.requests: list[str] = []
        self.context: ssl.SSLContext | None = None

    def take(self, connection: socket.socket) -> None:
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(65536)
                if not piece:
                    return
                head += piece
            self.requests.append(head.decode())
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if callable(answer):
                answer(connection)
            elif answer is not None:
                connection.sendall(answer)


@contextmanager
def running(instance: Instance) -> Generator[str]:
    """Run an instance; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                if instance.context is not None:
                    try:
                        connection = instance.context.wrap_socket(connection, server_side=True)
                    except OSError:
                        connection.close()
                        continue
                threading.Thread(target=instance.take, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            scheme = "http" if instance.context is None else "https"
            yield f"{scheme}://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def said(status: int, body: object) -> bytes:
    text = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + text


def told(*events: str) -> bytes:
    """Return a stream that ends, as that of a process that ends."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + "".join(events).encode()


def event(number: int, name: str = "token") -> str:
    return f'id: {number}\nevent: {name}\ndata: {{"n": {number}}}\n\n'


def client_of(*urls: str, streams: int = 20, tls: ssl.SSLContext | None = None) -> OrchestratorClient:
    return OrchestratorClient(urls, token=lambda user: f"token-of-{user}", streams=streams, tls=tls)


@contextmanager
def two(first: Instance, second: Instance, **given: Any) -> Generator[OrchestratorClient]:
    """A client that asks the first instance first."""
    with running(first) as one, running(second) as other, closing(client_of(other, one, **given)) as client:
        yield client


DOWN = f"http://127.0.0.1:{free_port()}"
WELL = said(200, {"ok": True})


def test_a_request_says_whose_it_is() -> None:
    instance = Instance(WELL)

    with running(instance) as url, closing(client_of(url)) as client:
        answer = client.call("u_1", "POST", "/api/v1/conversations", json={"title": "a"}, request_id="ab" * 16)

    assert (answer.status, answer.data) == (200, {"ok": True})
    head = instance.requests[0].lower()
    assert head.startswith("post /api/v1/conversations http/1.1")
    assert "authorization: bearer token-of-u_1" in head
    assert f"x-request-id: {'ab' * 16}" in head
    assert f"traceparent: 00-{'ab' * 16}-" in head


@pytest.mark.parametrize(
    "failure", [None, said(503, {}), b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"], ids=str
)
@pytest.mark.parametrize(("method", "headers"), [("GET", {}), ("POST", KEY)])
def test_what_may_be_sent_twice_goes_on_at_the_next_instance(
    failure: bytes | None, method: str, headers: dict[str, str]
) -> None:
    first, second = Instance(failure), Instance(WELL)

    with two(first, second) as client:
        answer = client.call("u_1", method, "/x", headers=headers)

    assert (answer.status, len(first.requests), len(second.requests)) == (200, 1, 1)


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_what_may_not_be_sent_twice_is_not(method: str) -> None:
    first, second = Instance(None), Instance(WELL)

    with two(first, second) as client, pytest.raises(Unavailable):
        client.call("u_1", method, "/x")

    assert (len(first.requests), len(second.requests)) == (1, 0)


def test_what_may_not_be_sent_twice_is_answered_by_the_one_that_got_it() -> None:
    first, second = Instance(said(503, {"error": {"code": "unavailable"}})), Instance(WELL)

    with two(first, second) as client:
        answer = client.call("u_1", "POST", "/x")

    assert (answer.status, len(second.requests)) == (503, 0)


def test_what_has_never_been_sent_goes_on_whatever_it_is() -> None:
    instance = Instance(WELL)

    with running(instance) as url, closing(client_of(url, DOWN)) as client:
        assert client.call("u_1", "POST", "/x").status == 200

    assert len(instance.requests) == 1


def test_a_body_in_pieces_goes_on_where_nothing_of_it_was_sent() -> None:
    instance = Instance(WELL)

    with running(instance) as url, closing(client_of(url, DOWN)) as client:
        asked = Asked(user="u_1", method="POST", path="/x", headers=KEY, content=iter([b"a", b"b"]))
        assert not asked.may_repeat
        with client.stream(asked) as response:
            assert response.status_code == 200


def test_one_that_is_down_is_not_asked_first_for_a_while() -> None:
    first, second = Instance(None, WELL), Instance(WELL)

    with two(first, second) as client:
        for _ in range(4):
            client.call("u_1", "GET", "/x")

    assert (len(first.requests), len(second.requests)) == (1, 4)


def test_when_all_are_down_it_says_so() -> None:
    with closing(client_of(DOWN, DOWN)) as client:
        with pytest.raises(Unavailable):
            client.call("u_1", "GET", "/x")
        assert not client.is_reachable()


def test_when_none_can_now_the_answer_says_so() -> None:
    busy = said(503, {"error": {"code": "unavailable"}})

    with two(Instance(busy), Instance(busy)) as client:
        answer = client.call("u_1", "GET", "/x")

    assert answer.status == 503


def test_one_that_answers_anything_is_reachable() -> None:
    with running(Instance(said(401, {}))) as url, closing(client_of(DOWN, url)) as client:
        assert client.is_reachable()


def test_an_answer_without_an_object_is_an_empty_one() -> None:
    with (
        running(Instance(said(200, [1]), b"HTTP/1.1 204 X\r\nConnection: close\r\n\r\n")) as url,
        closing(client_of(url)) as client,
    ):
        answers: list[Answer] = [client.call("u_1", "DELETE", "/x") for _ in range(2)]

    assert [(answer.status, answer.data) for answer in answers] == [(200, {}), (204, {})]


@contextmanager
def following(instance: Instance, after: int | str | None = None) -> Generator[Generator[Entry | None]]:
    """Follow a conversation at one instance."""
    with (
        running(instance) as url,
        closing(client_of(url)) as client,
        closing(client.events("u_1", "c_1", after)) as entries,
    ):
        yield entries


def ids(entries: Iterator[Entry | None], wanted: int) -> list[int | None]:
    """Return the numbers of so many events."""
    found: list[int | None] = []
    while len(found) < wanted:
        entry = next(entries)
        if entry is not None:
            found.append(entry.id)
    return found


def test_a_stream_goes_on_at_the_other_instance_without_loss_or_repetition() -> None:
    first = Instance(told(event(1), ": alive\n\n", event(2), "id: 3\nevent: token\ndata: {"))
    second = Instance(told(event(2), event(3), event(4, "complete")), told(event(5)))

    with two(first, second) as client, closing(client.events("u_1", "c_1", "0")) as entries:
        assert ids(entries, 5) == [1, 2, 3, 4, 5]

    assert "Last-Event-ID: 0" in first.requests[0]
    assert "Last-Event-ID: 2" in second.requests[0]


def test_a_stream_from_the_beginning_names_no_event() -> None:
    instance = Instance(told(event(1)))

    with following(instance) as entries:
        assert ids(entries, 1) == [1]

    assert "last-event-id" not in instance.requests[0].lower()


def test_a_conversation_is_no_path() -> None:
    instance = Instance(told(event(1)))

    with running(instance) as url, closing(client_of(url)) as client:
        next(client.events("u_1", "../../usage?a=#", None))

    assert instance.requests[0].startswith("GET /api/v1/conversations/..%2F..%2Fusage%3Fa%3D%23/events HTTP/1.1")


def test_a_sign_of_life_is_told() -> None:
    with following(Instance(told(": alive\n\n"))) as entries:
        assert next(entries) is None


def test_after_a_reset_a_stream_goes_on_where_that_says() -> None:
    reset = 'event: reset\ndata: {"last_event_id": "3"}\n\n'
    instance = Instance(told(event(8), reset, event(4)))

    with following(instance, 7) as entries:
        assert ids(entries, 3) == [8, None, 4]


def test_a_reset_to_an_earlier_event_is_told_as_the_log_may_have_forgotten_all() -> None:
    reset = 'id: 0\nevent: reset\ndata: {"last_event_id": "0"}\n\n'

    with following(Instance(told(event(8), reset, event(4))), 7) as entries:
        assert [entry.id for entry in islice(entries, 3) if entry is not None] == [8, 0, 4]


def test_a_stream_that_says_that_it_has_failed_counts_as_one_that_nobody_answers() -> None:
    failed = 'event: failed\ndata: {"error": {"code": "unavailable"}}\n\n'
    instance = Instance(told(event(1), failed), told(failed), told(event(2)))

    with following(instance) as entries:
        found = [entry.name for entry in islice(entries, 6) if entry is not None]  # two are signs that it tries again

    assert found == ["token", "unreachable", "reachable", "token"]


@pytest.mark.parametrize("status", [401, 404, 429])
def test_a_refused_stream_says_why(status: int) -> None:
    body = {"error": {"code": "some_code", "message": "some words"}}

    with following(Instance(said(status, body))) as entries, pytest.raises(Refused) as caught:
        next(entries)

    assert (caught.value.status, caught.value.code, caught.value.message) == (status, "some_code", "some words")


def test_a_stream_tells_when_nobody_answers_and_when_somebody_does_again() -> None:
    instance = Instance(told(event(1)), None, said(503, {}), told(event(2)))

    with following(instance) as entries:
        found: list[str] = []
        while "reachable" not in found:
            entry = next(entries)
            found += [] if entry is None else [entry.name]
        assert ids(entries, 1) == [2]

    assert found == ["token", "unreachable", "reachable"]


def test_a_stream_ends_when_its_reader_says_so() -> None:
    left = threading.Event()

    with running(Instance(told(event(1)))) as url, closing(client_of(url)) as client:
        entries = client.events("u_1", "c_1", None, until=left)
        next(entries)
        left.set()
        assert len([entry for entry in entries if entry is not None]) == 0


def waiting(connection: socket.socket) -> None:
    """Begin a stream, and then say nothing until the other end hangs up."""
    connection.settimeout(20)
    connection.sendall(told(event(1)))
    connection.recv(1)


@pytest.mark.parametrize("is_tls", [False, True])
def test_when_the_process_ends_streams_that_wait_end_at_once(tmp_path: Path, *, is_tls: bool) -> None:
    ended = threading.Event()
    instance, tls = Instance(waiting), None
    if is_tls:
        make(tmp_path / "tls")
        instance.context = server_context(tmp_path / "tls", "orchestrator")
        tls = client_context(tmp_path / "tls", "frontend")

    with running(instance) as url, closing(client_of(url, tls=tls)) as client:
        entries = client.events("u_1", "c_1", None)
        assert next(entries) == Entry(id=1, name="token", data={"n": 1})

        def read_on() -> None:
            list(entries)
            ended.set()

        threading.Thread(target=read_on, daemon=True).start()
        client.shut()
        assert ended.wait(10)
        with pytest.raises(Unavailable), client.stream(Asked(user="u_1", method="GET", path="/x")):
            pass
        assert list(client.events("u_1", "c_1", None)) == []


def test_a_user_reads_so_many_streams_and_another_user_reads_theirs() -> None:
    instance = Instance(waiting)

    with running(instance) as url, closing(client_of(url, streams=2)) as client:
        open_streams = [client.events("u_1", "c_1", None) for _ in range(2)]
        for stream in open_streams:
            next(stream)
        with pytest.raises(Refused) as caught:
            next(client.events("u_1", "c_1", None))
        with closing(client.events("u_2", "c_1", None)) as of_another:
            assert next(of_another) is not None
        open_streams[0].close()
        with closing(client.events("u_1", "c_1", None)) as again:
            assert next(again) is not None
        open_streams[1].close()

    assert (caught.value.status, caught.value.code) == (429, "limited")
