"""Calls to the orchestrators: any of them will do, and when one is down the next one is asked.

What may be sent twice goes on at the next instance whenever one fails: requests that only read, and those with an
`Idempotency-Key`. Everything else does so only when no connection could be made, as nothing has been sent then.
"""

import json as json_text
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import quote

import httpx2
from flask import current_app

from examples.flask_demo.frontend.event_stream import FAILED, RESET, Entry, EventTooLarge, entries_of
from examples.flask_demo.frontend.instances import Instances
from examples.flask_demo.frontend.metrics import Metrics
from examples.flask_demo.frontend.open_streams import OpenStream, OpenStreams, Shut, TooMany
from examples.flask_demo.frontend.request_ids import current_request_id, onward

IDEMPOTENCY_KEY: Final = "Idempotency-Key"
_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_NOT_NOW: Final = (502, 503, 504)
_NEVER_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout)
_PATIENCE: Final = httpx2.Timeout(60, connect=2)  # seconds; a stream says every 15 s that it is alive
_PAUSES: Final = (0.0, 0.2, 0.5, 1.0, 2.0)  # seconds before a stream is asked for again
_PING_SECONDS: Final = 2.0


class Unavailable(Exception):
    """No orchestrator has answered."""


class Refused(Exception):
    """An orchestrator has answered that this cannot be done."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status: int = status
        self.code: str = code
        self.message: str = message


_LOST: Final = (Unavailable, httpx2.TransportError, EventTooLarge, Shut)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an orchestrator has answered: `data` is its JSON object, empty where there is none."""

    status: int
    headers: Mapping[str, str]
    data: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request for a user: `path` with its query. `content` in pieces can be sent once."""

    user: str
    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    content: bytes | Iterable[bytes] = b""
    request_id: str = field(default_factory=current_request_id)

    @property
    def may_repeat(self) -> bool:
        """Whether it does no harm to send it twice."""
        named = any(name.lower() == IDEMPOTENCY_KEY.lower() for name in self.headers)
        return isinstance(self.content, bytes) and (self.method in _SAFE or named)


class OrchestratorClient:
    """Calls orchestrators for users; from any thread."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        token: Callable[[str], str],
        tls: ssl.SSLContext | None = None,
        streams: int = 20,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the addresses, what makes a token for a user, and how many streams one user may read at once."""
        self._instances = Instances(urls, clock)
        self._token = token
        self._metrics = metrics or Metrics()
        self._streams = OpenStreams(streams, self._metrics)
        self._http = httpx2.Client(
            verify=True if tls is None else tls,
            timeout=_PATIENCE,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=32),
            trust_env=False,
            headers={"User-Agent": "web-frontend", "Accept-Encoding": "identity"},
        )

    def call(
        self,
        user: str,
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        request_id: str | None = None,
    ) -> Answer:
        """Ask for something of the API (`/api/v1/…`); an error comes back as the answer it is. Raises Unavailable."""
        asked = Asked(
            user=user,
            method=method,
            path=path,
            headers={"Accept": "application/json", "Content-Type": "application/json", **(headers or {})},
            content=b"" if json is None else json_text.dumps(json).encode(),
            request_id=request_id or current_request_id(),
        )
        response = self._sent(asked, whole=True)
        return Answer(status=response.status_code, headers=response.headers, data=_object(response))

    @contextmanager
    def stream(self, asked: Asked) -> Generator[httpx2.Response]:
        """Ask, and read the answer as it comes. Raises Unavailable, and Refused when a user reads too much at once."""
        with self._slot(asked.user) as opened, closing(self._sent(asked, whole=False)) as response:
            try:
                opened.watch(response)
            except Shut as error:
                raise Unavailable("this process ends") from error
            yield response

    def events(
        self, user: str, conversation: str, after: str | int | None, *, until: threading.Event | None = None
    ) -> Generator[Entry | None]:
        """Follow a conversation: what comes after an event, then live, at whichever instance is there.

        None comes at least every 15 s, and before it connects again: the reader can see whether it is still wanted.
        An entry `unreachable` says that no instance answers now, and `reachable` that one does again. It ends when
        `until` is set, or when this client closes. Raises Refused.
        """
        last, failures, is_away, request_id = _number(after), 0, False, current_request_id()
        with self._slot(user) as opened:
            while not (opened.is_shut or (until is not None and until.is_set())):
                try:
                    with self._followed(user, conversation, last, request_id) as response:
                        opened.watch(response)
                        if is_away:
                            is_away = False
                            yield Entry(id=None, name="reachable", data={})
                        for entry in _new(entries_of(response.iter_raw()), last):
                            failures = 0
                            last = last if entry is None else entry.position(last)
                            yield entry
                except _LOST:
                    if failures and not is_away:
                        is_away = True
                        yield Entry(id=None, name="unreachable", data={})
                opened.wait(_PAUSES[min(failures, len(_PAUSES) - 1)])
                failures += 1
                yield None

    def is_reachable(self) -> bool:
        """Whether at least one orchestrator answers, whatever it says."""
        return any(self._answers(url) for url in self._instances.order())

    def shut(self) -> None:
        """End all streams, and begin no more: this process ends."""
        self._streams.shut()

    def close(self) -> None:
        """Close all connections."""
        self.shut()
        self._http.close()

    @contextmanager
    def _slot(self, user: str) -> Generator[OpenStream]:
        try:
            with self._streams.one(user) as opened:
                yield opened
        except TooMany as error:
            raise Refused(429, "limited", "too many tabs are open: close some") from error

    @contextmanager
    def _followed(self, user: str, conversation: str, last: int | None, request_id: str) -> Generator[httpx2.Response]:
        headers = {"Accept": "text/event-stream"} | ({} if last is None else {"Last-Event-ID": str(last)})
        path = f"/api/v1/conversations/{quote(conversation, safe='')}/events"
        asked = Asked(user=user, method="GET", path=path, headers=headers, request_id=request_id)
        with closing(self._sent(asked, whole=False)) as response:
            if response.status_code in _NOT_NOW:
                raise Unavailable("every orchestrator asks for patience")
            if not response.is_success:
                response.read()
                raise refusal(response.status_code, _object(response))
            yield response

    def _sent(self, asked: Asked, *, whole: bool) -> httpx2.Response:
        """Return the answer of the first instance that gives one; `whole` with its body. Raises Unavailable."""
        *first, last = self._instances.order()
        for url in first:
            if (response := self._tried(url, asked, whole=whole, is_last=False)) is not None:
                return response
        response = self._tried(last, asked, whole=whole, is_last=True)
        assert response is not None  # noqa: S101  (the last one answers or fails)
        return response

    def _tried(self, url: str, asked: Asked, *, whole: bool, is_last: bool) -> httpx2.Response | None:
        """Return the answer of one instance, or None where the next one may be asked. Raises Unavailable."""
        try:
            response = self._http.send(self._request(url, asked), stream=True)
            if response.status_code in _NOT_NOW and asked.may_repeat and not is_last:
                response.close()
                self._count(url, "not_now", failover=True)
                return None
            if whole:
                response.read()
        except httpx2.TransportError as error:
            self._instances.failed(url)
            goes_on = not is_last and (asked.may_repeat or isinstance(error, _NEVER_SENT))
            self._count(url, "failed", failover=goes_on)
            if goes_on:
                return None
            raise Unavailable("no orchestrator has answered") from error
        self._instances.answered(url)
        self._count(url, "answered")
        return response

    def _request(self, url: str, asked: Asked) -> httpx2.Request:
        headers = {
            **asked.headers,
            **onward(asked.request_id),
            "Authorization": f"Bearer {self._token(asked.user)}",
        }
        return self._http.build_request(asked.method, url + asked.path, headers=headers, content=asked.content)

    def _answers(self, url: str) -> bool:
        try:
            self._http.get(f"{url}/health", timeout=_PING_SECONDS)
        except httpx2.TransportError:
            return False
        return True

    def _count(self, url: str, outcome: str, *, failover: bool = False) -> None:
        self._metrics.add("web_upstream_requests_total", orchestrator=url, outcome=outcome)
        if failover:
            self._metrics.add("web_upstream_failovers_total")


def orchestrator() -> OrchestratorClient:
    """Return the client of the application that answers now."""
    return cast("OrchestratorClient", current_app.extensions["orchestrator"])


def refusal(status: int, body: Mapping[str, Any]) -> Refused:
    """Return what an answer of the API says."""
    told = body.get("error")
    detail = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
    return Refused(status, str(detail.get("code", "failed")), str(detail.get("message", "this cannot be done")))


def _new(entries: Iterator[Entry | None], last: int | None) -> Iterator[Entry | None]:
    """Leave out what the reader has seen already. Raises Unavailable when the stream says that it cannot go on."""
    for entry in entries:
        if entry is None:
            yield entry
            continue
        if entry.name == FAILED:
            raise Unavailable("the stream of events has failed")
        if entry.id is None or last is None or entry.id > last or entry.name == RESET:
            yield entry
            last = entry.position(last)


def _number(after: str | int | None) -> int | None:
    text = str(after)
    return int(text) if text.isascii() and text.isdigit() else None


def _object(response: httpx2.Response) -> dict[str, Any]:
    try:
        found: object = response.json()
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
