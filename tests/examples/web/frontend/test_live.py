"""What happens in a conversation reaches who may see it, once, by Socket.IO and by server-sent events."""

# python-socketio and websocket-client come without types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

import json
import secrets
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, cast

import httpx2
import pytest
import socketio
import websocket
from socketio.exceptions import ConnectionError as NotConnected

from examples.flask_demo.frontend import live
from examples.flask_demo.frontend.live import Window
from examples.flask_demo.frontend.sessions import COOKIE, RedisSessions, SessionStore, redis_client
from tests.examples.web.browser.site import Site, running_site

JsonObject = dict[str, Any]
Client = Any  # of python-socketio, which has no types
WAIT = 10


@pytest.fixture(scope="module")
def site(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(valkey_url, tmp_path_factory.mktemp("site")) as running:
        yield running


class Ann:
    """Somebody who is signed in."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.id = f"u_{secrets.token_hex(16)}"
        answer = httpx2.get(f"{site.url}/enter/{self.id}")
        self.cookie = f"{COOKIE}={answer.cookies[COOKIE]}"
        self.talk = site.stand_in.begun(self.id)

    def hears(self, name: str, /, talk: str = "", **data: object) -> None:
        self.site.stand_in.tell(self.id, talk or self.talk, name, data)

    def signs_out(self) -> None:
        httpx2.get(f"{self.site.url}/leave", headers={"Cookie": self.cookie})

    @contextmanager
    def socket(self, *, origin: str = "", **headers: str) -> Generator[Client]:
        client: Client = cast("Any", socketio).SimpleClient(
            reconnection=False, websocket_extra_options={"origin": origin or self.site.url}
        )
        headers = {"Cookie": self.cookie} | headers
        client.connect(self.site.url, headers=headers, transports=["websocket"], wait_timeout=WAIT)
        try:
            yield client
        finally:
            client.client.eio.ws.sock.shutdown(
                socket.SHUT_RDWR
            )  # at once: saying goodbye waits 3 seconds for the server's
            client.disconnect()

    @contextmanager
    def stream(self, path: str, **headers: str) -> Generator[Iterator[tuple[str, JsonObject]]]:
        with httpx2.stream("GET", self.site.url + path, headers={"Cookie": self.cookie} | headers) as answer:
            answer.raise_for_status()
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            yield _events(answer.iter_lines())


def _events(lines: Iterator[str]) -> Iterator[tuple[str, JsonObject]]:
    name = ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


@pytest.fixture
def ann(site: Site) -> Ann:
    return Ann(site)


def _join(client: Client, talk: object, after: object = "0") -> JsonObject:
    return client.call("join", {"conversation": talk, "after": after}, timeout=WAIT)


def _next(client: Client) -> tuple[str, JsonObject]:
    name, data = client.receive(timeout=WAIT)
    return name, data


def test_a_socket_gets_the_events_by_their_names_with_their_numbers_and_an_answer_as_html(ann: Ann) -> None:
    ann.hears("message", request_id="r", text="Hi", files=[])
    with ann.socket() as client:
        assert _join(client, ann.talk) == {}
        assert _next(client) == ("message", {"request_id": "r", "text": "Hi", "files": [], "id": 1})
        ann.hears("token", text="*Hi*")
        assert _next(client) == ("token", {"text": "*Hi*", "id": 2})
        ann.hears("complete", output="*Hi*", status="completed", usage={}, request_id="r")
        name, data = _next(client)

    assert (name, data["id"], data["html"]) == ("complete", 3, "<p><em>Hi</em></p>\n")


def test_server_sent_events_say_the_same_after_the_last_that_the_browser_has(ann: Ann) -> None:
    ann.hears("message", request_id="r", text="Hi", files=[])
    ann.hears("token", text="one")
    with ann.stream(f"/conversations/{ann.talk}/events?after=1") as events:
        assert next(events) == ("token", {"text": "one", "id": 2})
        ann.hears("complete", output=None, status="waiting", usage={}, request_id="r")
        assert next(events)[1]["id"] == 3

    with ann.stream(f"/conversations/{ann.talk}/events?after=1", **{"Last-Event-ID": "2"}) as events:
        assert next(events)[1]["id"] == 3


@pytest.mark.parametrize("after", [None, "", "x", -1, 2, "1" * 30, {}])
def test_who_names_no_event_gets_them_all(ann: Ann, after: object) -> None:
    ann.hears("message", request_id="r", text="Hi", files=[])
    with ann.socket() as client:
        _join(client, ann.talk, after)
        assert _next(client)[1]["id"] == 1


def test_a_socket_goes_on_after_the_event_that_it_names(ann: Ann) -> None:
    ann.hears("message", request_id="r", text="Hi", files=[])
    ann.hears("token", text="one")
    with ann.socket() as client:
        _join(client, ann.talk, "1")
        assert _next(client)[1]["id"] == 2


def test_who_is_not_signed_in_gets_no_socket_and_no_stream(site: Site, ann: Ann) -> None:
    address = site.url.replace("http:", "ws:") + "/socket.io/?EIO=4&transport=websocket"
    knocking = cast("Any", websocket).create_connection(address, timeout=WAIT, origin=site.url)
    assert knocking.recv().startswith("0")  # of Engine.IO: open
    knocking.send("40")
    assert knocking.recv().startswith("44")  # of Socket.IO: not connected
    knocking.shutdown()
    with ann.stream(f"/conversations/{ann.talk}/events", Cookie="") as events:
        assert list(events) == [("refused", {"code": "unauthorized"})]


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null"])
def test_a_socket_from_a_page_of_another_origin_is_refused(ann: Ann, origin: str) -> None:
    with pytest.raises(NotConnected), ann.socket(origin=origin):
        pass


@pytest.mark.parametrize("talk", ["", "../files", "c_1?x=", None, 1, "c" * 65])
def test_what_is_no_name_of_a_conversation_is_refused_without_asking(ann: Ann, talk: object) -> None:
    ann.site.stand_in.asked.clear()
    with ann.socket() as client:
        assert _join(client, talk) == {"refused": "not_found"}
        assert client.call("join", "nonsense", timeout=WAIT) == {"refused": "not_found"}
    assert ann.site.stand_in.asked == []


def test_what_is_another_users_is_refused_as_if_it_were_not_there(ann: Ann, site: Site) -> None:
    other = Ann(site)
    for talk in (other.talk, "c_none"):
        with ann.socket() as client:
            _join(client, talk)
            assert _next(client) == ("refused", {"code": "not_found"})
        with ann.stream(f"/conversations/{talk}/events") as events:
            assert list(events) == [("refused", {"code": "not_found"})]


def test_who_joins_another_conversation_has_left_the_first(ann: Ann) -> None:
    second = ann.site.stand_in.begun(ann.id)
    with ann.socket() as client:
        _join(client, ann.talk)
        _join(client, second)
        ann.hears("token", text="in the first")
        ann.hears("token", text="in the second", talk=second)
        assert _next(client) == ("token", {"text": "in the second", "id": 1})


def test_who_leaves_hears_nothing_more(ann: Ann) -> None:
    second = ann.site.stand_in.begun(ann.id)
    with ann.socket() as client:
        _join(client, ann.talk)
        ann.hears("token", text="one")
        assert _next(client)[1]["text"] == "one"
        client.call("leave", timeout=WAIT)
        ann.hears("token", text="two")
        _join(client, second)
        ann.hears("token", text="three", talk=second)
        assert _next(client)[1]["text"] == "three"


def test_who_has_signed_out_elsewhere_hears_no_further_message(ann: Ann) -> None:
    with ann.socket() as client, ann.stream(f"/conversations/{ann.talk}/events") as events:
        _join(client, ann.talk)
        ann.signs_out()
        ann.hears("message", request_id="r", text="A secret", files=[])

        assert _next(client) == ("refused", {"code": "unauthorized"})
        assert list(events) == [("refused", {"code": "unauthorized"})]
        assert _join(client, ann.talk) == {"refused": "unauthorized"}


def test_while_nobody_can_say_who_is_signed_in_readers_go_on(ann: Ann, site: Site) -> None:
    with ann.stream(f"/conversations/{ann.talk}/events") as events:
        ann.hears("token", text="one")
        next(events)
        app = site.frontend.app
        kept, nowhere = app.session_interface, SessionStore(redis_client("redis://127.0.0.1:1"), idle=1, life=1)
        app.session_interface = RedisSessions(nowhere)
        ann.hears("message", request_id="r", text="Hi", files=[])
        try:
            assert next(events)[0] == "message"
        finally:
            app.session_interface = kept
            nowhere.close()


def test_readers_are_told_when_no_orchestrator_answers_and_when_one_does_again(ann: Ann, site: Site) -> None:
    with ann.socket() as client:
        _join(client, ann.talk)
        ann.hears("token", text="one")
        assert _next(client)[0] == "token"
        site.stand_in.cut()
        assert _next(client) == ("unreachable", {})
        site.stand_in.is_down = False
        assert _next(client) == ("reachable", {})
        ann.hears("token", text="two")
        assert _next(client) == ("token", {"text": "two", "id": 2})


def test_a_browser_that_takes_nothing_is_disconnected_and_goes_on_where_it_was(
    ann: Ann, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PATIENCE", 0.0)
    monkeypatch.setattr(live, "BATCH", 2)
    client: Client = cast("Any", socketio).Client(reconnection=False)
    may_take, ended = threading.Event(), threading.Event()
    taken: list[int] = []

    def take(_name: str, data: JsonObject) -> None:
        taken.append(data["id"])
        may_take.wait(WAIT)

    on = cast("Callable[[str, Callable[..., None]], None]", client.on)
    on("*", take)
    on("disconnect", lambda *_reason: ended.set())
    client.connect(ann.site.url, headers={"Cookie": ann.cookie}, transports=["websocket"], wait_timeout=WAIT)
    for number in range(10):
        ann.hears("token", text=str(number))
    # Its answer is not waited for: the end may come before it.
    client.emit("join", {"conversation": ann.talk, "after": "0"})

    assert ended.wait(WAIT)
    may_take.set()
    client.eio.ws.sock.shutdown(socket.SHUT_RDWR)
    client.disconnect()
    assert taken == list(range(1, len(taken) + 1))
    assert len(taken) < 10


def test_a_window_has_room_again_when_the_batch_was_taken() -> None:
    window = Window(batch=2, patience=0.0)
    assert window.has_room()
    assert window.mark() is None
    assert window.has_room()
    taken = window.mark()
    assert taken is not None
    assert not window.has_room()
    taken()
    assert window.has_room()
