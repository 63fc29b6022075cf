"""Servers in this process, spoken to in the older generation of the protocol or in the newer one."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from assistant_kit.toolsets.mcp.link import Endpoint
from assistant_kit.toolsets.mcp.server import MCPServer
from assistant_kit.toolsets.mcp.targets import Address, ServerObject

Generation = Literal["older", "newer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OldAddress(Address):
    """Where a server is that is asked in the older protocol, whatever it knows."""

    def endpoint(self, user: str | None) -> Endpoint:
        # Without super(): a dataclass with slots is another class than the one its methods were written in.
        found = Address.endpoint(self, user)
        return replace(found, ways=tuple(replace(way, mode="legacy") for way in found.ways))


def server_of(generation: Generation, target: ServerObject, **settings: Any) -> MCPServer:
    server = MCPServer(target, **settings)
    if generation == "older":
        # Nothing public asks a server object in the older protocol.
        server._address = OldAddress(target=target, name=server.name)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return server
