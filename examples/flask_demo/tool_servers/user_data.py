"""What a tool server keeps of a user, erased and exported for orchestrators: `DELETE` and `GET /user-data`."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response

from assistant_kit.messages import JsonObject

PATH: Final = "/user-data"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserData:
    """Erases what there is of a user, and returns it: one object each. Both may be repeated."""

    erase: Callable[[str], Awaitable[object]]
    export: Callable[[str], Awaitable[Sequence[JsonObject]]]


class UserDoor:
    """Stands around an ASGI application, and answers for the user's data itself."""

    def __init__(
        self, app: Any, user_of: Callable[[HTTPConnection], Awaitable[str | None]], data: UserData | None
    ) -> None:
        """Take the application, what tells whose a request is, and what is kept of users, if anything is."""
        self._app = app
        self._user_of = user_of
        self._data = data

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        await (await self._answer(scope))(scope, receive, send)

    async def _answer(self, scope: Any) -> Response:
        user = await self._user_of(HTTPConnection(scope))
        if user is None:
            return JSONResponse({"error": {"code": "unauthorized", "message": "say who you are"}}, 401)
        match scope["method"]:
            case "GET":
                return JSONResponse({"data": [] if self._data is None else list(await self._data.export(user))})
            case "DELETE":
                if self._data is not None:
                    await self._data.erase(user)
                return Response(status_code=204)
            case _:
                return JSONResponse({"error": {"code": "invalid", "message": "GET or DELETE"}}, 405)
