"""One id for a request from the browser to the tool server, in every log record on the way."""

import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER: Final = "X-Request-ID"
_FORM: Final = re.compile(r"[0-9a-f]{32}")
_current: ContextVar[str] = ContextVar("request_id", default="")


def current_request_id() -> str:
    """Return the id of what is being done; empty outside of any request, as in a sweep."""
    return _current.get()


@contextmanager
def request_id(given: str) -> Generator[str]:
    """Work under an id: the given one if it is 32 hexadecimal digits, else a new one."""
    chosen = given if _FORM.fullmatch(given) else secrets.token_hex(16)
    token = _current.set(chosen)
    try:
        yield chosen
    finally:
        _current.reset(token)


class RequestIDs:
    """Stands around an application: takes the caller's id over, or makes one, and sends it back."""

    def __init__(self, app: ASGIApp) -> None:
        """Take the application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request under its id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with request_id(Headers(scope=scope).get(HEADER, "")) as chosen:

            async def named(message: Message) -> None:
                if message["type"] == "http.response.start":
                    MutableHeaders(scope=message)[HEADER] = chosen
                await send(message)

            await self._app(scope, receive, named)
