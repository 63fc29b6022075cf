"""What tool servers keep of users: erased and exported with everything else."""

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

import httpx2

from assistant_kit import StoreUnavailable, UserData
from assistant_kit.protocols.user_data import Kept
from examples.flask_demo.orchestrator.settings import ToolPlace
from examples.flask_demo.orchestrator.tool_servers import ToolTokens

PATH: Final = "/user-data"
_SECONDS: Final = 10.0


class KeptElsewhere:
    """The tool servers, as what keeps data of users. One that does not answer is an error: nobody is half erased."""

    def __init__(
        self, servers: Mapping[str, ToolPlace], tokens: ToolTokens, tls: Callable[[], ssl.SSLContext] | None
    ) -> None:
        """Take the servers' places by name, what says for whom one asks, and how connections are made."""
        self._servers = servers
        self._tokens = tokens
        self._tls = tls

    async def erase_user(self, user: str) -> None:
        """Erase what is kept of a user. Raises StoreUnavailable; may be repeated then."""
        for name, place in self._servers.items():
            await self._asked("DELETE", name, place, user)

    async def export_user(self, user: str) -> AsyncIterator[Kept]:
        """Return all that `erase_user` would erase. Raises StoreUnavailable."""
        for name, place in self._servers.items():
            answer = await self._asked("GET", name, place, user)
            for number, data in enumerate(answer.json()["data"]):
                yield UserData(place=f"tools/{name}", name=str(data.get("id", number)), data=data)

    async def _asked(self, method: str, name: str, place: ToolPlace, user: str) -> httpx2.Response:
        verify = True if self._tls is None else self._tls()
        try:
            async with httpx2.AsyncClient(verify=verify, timeout=_SECONDS, trust_env=False) as client:
                answer = await client.request(method, f"{place.base}{PATH}", auth=self._tokens.of(user))
                answer.raise_for_status()
        except httpx2.HTTPError as error:
            raise StoreUnavailable(f"the tool server {name} does not answer: try again when it is back") from error
        return answer
