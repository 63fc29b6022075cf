"""The orchestrator's API for our pages: what a signed-in browser asks for under /api/v1/ is asked there for its user.

Only known places and methods go through, with few headers; of the browser's credentials none.
"""

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import httpx2
from flask import Blueprint, Response, request
from werkzeug.exceptions import MethodNotAllowed, NotFound

from examples.flask_demo.frontend.orchestrator_client import IDEMPOTENCY_KEY, Asked, orchestrator
from examples.flask_demo.frontend.sign_in import required_user

PREFIX: Final = "/api/v1"
LARGE: Final = 65_536  # bytes of a piece that is handed on
_ASKED: Final = ("Accept", "Content-Type", IDEMPOTENCY_KEY, "Last-Event-ID")
_ANSWERED: Final = (
    "Content-Type",
    "Content-Length",
    "Content-Disposition",
    "Retry-After",
    "Cache-Control",
)
_KEY: Final = re.compile(r"[\x21-\x7e]{1,200}")
_ID: Final = r"[A-Za-z0-9_-]{1,64}"
_CALL: Final = r"[A-Za-z0-9_.:-]{1,200}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place of the API and what may be done there; `query` are the parameters that go through."""

    path: re.Pattern[str]
    methods: tuple[str, ...]
    query: tuple[str, ...] = ()
    takes_files: bool = False


def _place(path: str, *methods: str, query: tuple[str, ...] = (), takes_files: bool = False) -> Place:
    return Place(path=re.compile(path), methods=methods, query=query, takes_files=takes_files)


PLACES: Final = (
    _place("conversations", "GET", "POST", query=("limit", "before")),
    _place(f"conversations/{_ID}", "GET", "PATCH", "DELETE"),
    _place(f"conversations/{_ID}/messages", "POST"),
    _place(f"conversations/{_ID}/events", "GET", query=("after",)),
    _place(f"conversations/{_ID}/stop", "POST"),
    _place(f"conversations/{_ID}/approvals/{_CALL}", "POST"),
    _place("files", "GET", "POST", query=("limit", "before"), takes_files=True),
    _place(f"files/{_ID}", "GET", "DELETE"),
    _place("tools", "GET"),
    _place(f"tools/{_CALL}/execute", "POST"),
    _place("usage", "GET"),
    _place("export", "GET"),
    _place("user", "DELETE"),
)


def proxied(*, largest_body: int, largest_file: int) -> Blueprint:
    """Return the routes; the limits of bodies are in bytes."""
    routes = Blueprint("proxy", __name__)
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]

    def forward(path: str) -> Response:
        user = required_user()
        place = _known(path, request.method)
        request.max_content_length = largest_file if place.takes_files else largest_body
        asked = Asked(
            user=user.id,
            method=request.method,
            path=_target(path, place),
            headers=_headers(request.headers.get),
            content=_pieces() if place.takes_files and request.method == "POST" else request.get_data(),
        )
        return _handed_on(asked)

    routes.add_url_rule(f"{PREFIX}/<path:path>", view_func=forward, methods=methods, provide_automatic_options=False)
    return routes


def _known(path: str, method: str) -> Place:
    for place in PLACES:
        if place.path.fullmatch(path):
            if method not in place.methods:
                raise MethodNotAllowed(list(place.methods))
            return place
    raise NotFound


def _target(path: str, place: Place) -> str:
    kept = {name: request.args[name] for name in place.query if name in request.args}
    return f"{PREFIX}/{path}" + (f"?{httpx2.QueryParams(kept)}" if kept else "")


def _headers(given: Callable[[str], str | None]) -> dict[str, str]:
    found = {name: given(name) for name in _ASKED}
    kept = {name: value for name, value in found.items() if value}
    if not _KEY.fullmatch(kept.get(IDEMPOTENCY_KEY, "-")):
        del kept[IDEMPOTENCY_KEY]  # the orchestrator says that it is missing
    return kept


def _pieces() -> Iterator[bytes]:
    """Read the body as it comes. Raises RequestEntityTooLarge."""
    while piece := request.stream.read(LARGE):
        yield piece


def _handed_on(asked: Asked) -> Response:
    with ExitStack() as opened:
        upstream = opened.enter_context(orchestrator().stream(asked))
        headers = {name: upstream.headers[name] for name in _ANSWERED if name in upstream.headers}
        headers["X-Accel-Buffering"] = "no"  # to whoever stands before us: a stream is handed on as it comes
        response = Response(_body(upstream), upstream.status_code, headers)
        response.call_on_close(opened.pop_all().close)
    return response


def _body(upstream: httpx2.Response) -> Generator[bytes]:
    try:
        yield from upstream.iter_raw()
    except httpx2.TransportError:
        if not upstream.headers.get("Content-Type", "").startswith("text/event-stream"):
            raise  # a half must not look like a whole; a stream of events goes on by its ids
