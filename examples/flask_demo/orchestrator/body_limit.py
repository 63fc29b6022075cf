"""Bodies that are too large are refused before they are read, or as soon as that shows."""

from collections.abc import Callable

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from examples.flask_demo.orchestrator.errors import TooLarge, told


class BodyLimit:
    """Stands around an application. `largest` says how many bytes the body of a request may have, by its path."""

    def __init__(self, app: ASGIApp, largest: Callable[[str], int]) -> None:
        """Take the application, and what knows the limits."""
        self._app = app
        self._largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, by 413 where its body is too large."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._largest(scope["path"])
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdecimal() or int(declared) > limit:
            status, body, _ = told(TooLarge(f"a body may have {limit} bytes here"))
            await JSONResponse(body.model_dump(), status)(scope, receive, send)
            return
        size = 0

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit:
                raise HTTPException(413)  # the one kind of error that the framework lets pass here
            return message

        await self._app(scope, bounded, send)
