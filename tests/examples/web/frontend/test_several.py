"""Several front ends on one Redis, behind what hands each new connection to another one: nobody has to stay at one."""

import re
import socket
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, cast

import httpx2
import pytest
import socketio  # pyright: ignore[reportMissingTypeStubs]

from tests.examples.web.frontend.processes import Running, running, signed_in
from tests.examples.web.stand_in import StandIn

Client = Any  # of python-socketio, which has no types
WAIT: Final = 20


@dataclass(kw_only=True)
class Forwarder:
    """Hands connections to servers in turns; `taken` says to which ones they went."""

    listening: socket.socket
    ports: list[int] = field(default_factory=list[int])
    taken: list[int] = field(default_factory=list[int])
    carrying: list[threading.Thread] = field(default_factory=list[threading.Thread])

    @property
    def url(self) -> str:
        return f"http://localhost:{self.listening.getsockname()[1]}"

    def serve(self) -> None:
        """Take connections until there is no more listening."""
        with suppress(OSError):
            while True:
                browser, _ = self.listening.accept()
                port = self.ports[len(self.taken) % len(self.ports)]
                self.taken.append(port)
                self.carrying.append(threading.Thread(target=_carry, args=(browser, port)))
                self.carrying[-1].start()


def _carry(browser: socket.socket, port: int) -> None:
    """Connect a browser to a server, until one of both ends."""
    with browser, socket.create_connection(("127.0.0.1", port)) as server:
        back = threading.Thread(target=_pump, args=(server, browser))
        back.start()
        _pump(browser, server)
        back.join()


def _pump(one: socket.socket, other: socket.socket) -> None:
    """Hand on what comes, until one of both ends."""
    with suppress(OSError):
        while piece := one.recv(65_536):
            other.sendall(piece)
    for end in (one, other):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def forwarder() -> Generator[Forwarder]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        made = Forwarder(listening=listening)
        serving = threading.Thread(target=made.serve)
        serving.start()
        try:
            yield made
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            serving.join(WAIT)
            for thread in made.carrying:
                thread.join(WAIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """The way in, and the front ends behind it."""

    forwarder: Forwarder
    front_ends: tuple[Running, Running]

    @contextmanager
    def http(self, headers: Mapping[str, str]) -> Generator[httpx2.Client]:
        """Yield a browser that makes a connection for each request."""
        alone = httpx2.Limits(max_keepalive_connections=0)
        with httpx2.Client(
            base_url=self.forwarder.url, headers=headers, trust_env=False, limits=alone, timeout=WAIT
        ) as http:
            yield http

    @contextmanager
    def socket(self, headers: Mapping[str, str]) -> Generator[Client]:
        """Yield a socket of a browser."""
        client: Client = cast("Any", socketio).SimpleClient(
            reconnection=False, websocket_extra_options={"origin": self.forwarder.url}
        )
        client.connect(self.forwarder.url, headers=dict(headers), transports=["websocket"], wait_timeout=WAIT)
        try:
            yield client
        finally:
            client.client.eio.ws.sock.shutdown(socket.SHUT_RDWR)  # as a connection that is lost
            client.disconnect()


@pytest.fixture(scope="module")
def entrance(
    valkey_url: str, issuer: str, stand_in: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Entrance]:
    folder = tmp_path_factory.mktemp("several")  # of both: they share the keys of their tokens
    with forwarder() as made, ExitStack() as processes:
        one, two = (
            processes.enter_context(running(folder, valkey_url, issuer, stand_in.url, made.url)) for _ in range(2)
        )
        made.ports += [one.port, two.port]
        yield Entrance(forwarder=made, front_ends=(one, two))


def _csrf_token(page: str) -> str:
    found = re.search(r'name="csrf-token" content="([^"]+)"', page)
    assert found is not None
    return found[1]


def test_who_signs_in_at_one_front_end_is_signed_in_at_all_and_signs_out_of_all(entrance: Entrance) -> None:
    entrance.forwarder.taken.clear()
    headers = signed_in(entrance.forwarder.url)

    with entrance.http(headers) as http:
        pages = [http.get("/conversations") for _ in range(2)]
        token = _csrf_token(pages[0].text)
        begun = [http.post("/conversations", data={"csrf_token": token}) for _ in range(2)]
        out = http.post("/sign-out", data={"csrf_token": token})
        after = [http.get("/conversations").status_code for _ in range(2)]

    ports = [made.port for made in entrance.front_ends]
    assert entrance.forwarder.taken[:6] == ports * 3
    assert [page.status_code for page in (*pages, *begun, out)] == [200, 200, 303, 303, 303]
    assert after == [302, 302]


def test_a_socket_that_breaks_goes_on_at_the_other_front_end_where_it_was(
    entrance: Entrance, stand_in: StandIn
) -> None:
    headers = signed_in(entrance.forwarder.url)
    with entrance.http(headers) as http:
        page = http.get("/conversations")
        begun = http.post("/conversations", data={"csrf_token": _csrf_token(page.text)})
    talk = begun.headers["Location"].rpartition("/")[2]
    user = next(user for user, name in stand_in.held if name == talk)
    stand_in.tell(user, talk, "message", {"request_id": "r", "text": "Hi", "files": []})
    entrance.forwarder.taken.clear()

    seen: list[object] = []
    for text in ("one", "two", "three"):
        stand_in.tell(user, talk, "token", {"text": text})
        with entrance.socket(headers) as client:
            after = str(seen[-1] if seen else 0)
            assert client.call("join", {"conversation": talk, "after": after}, timeout=WAIT) == {}
            told: dict[str, object] = {}
            while told.get("text") != text:
                _, told = client.receive(timeout=WAIT)
                seen.append(told["id"])

    assert seen == [1, 2, 3, 4]
    one, two = (made.port for made in entrance.front_ends)
    assert entrance.forwarder.taken in ([one, two, one], [two, one, two])


def test_a_socket_is_one_connection_and_no_series_of_requests(entrance: Entrance) -> None:
    with entrance.http(signed_in(entrance.forwarder.url)) as http:
        answer = http.get("/socket.io/?EIO=4&transport=polling")

    assert answer.status_code == 400
