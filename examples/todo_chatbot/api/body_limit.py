"""Bodies that are too large are refused before they are read, or as soon as that shows."""

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from examples.todo_chatbot.api.errors import too_large


class BodyLimit:
    """Stands around an application. That of FastAPI would answer in plain text."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        """Take the application, and the largest body in bytes."""
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, by 413 where its body is too large."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdecimal() or int(declared) > self._limit:
            await JSONResponse(too_large().model_dump(), 413)(scope, receive, send)
            return
        size = 0

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._limit:
                raise HTTPException(413)
            return message

        await self._app(scope, bounded, send)
