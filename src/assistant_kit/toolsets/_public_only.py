"""Requests to addresses that others have named, kept out of private networks.

A URL may come from data: from the metadata of a server, a redirect, a list of servers. Then it must not lead to
loopback, to link-local addresses (the metadata service of a cloud), or into the network of the application.
"""

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

import anyio
import httpx2

Address: TypeAlias = IPv4Address | IPv6Address
_NAT64 = IPv6Network("64:ff9b::/96")  # by which a network without IPv4 reaches it (RFC 6052)


class PrivateAddress(httpx2.ConnectError):
    """A name that leads into a private network; nothing was sent."""


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the public internet; an IPv4 address inside of an IPv6 one counts as itself."""
    inner = address
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or address
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
    return inner.is_global and not inner.is_multicast


class PublicOnly(httpx2.AsyncBaseTransport):
    """Sends requests to public addresses only, whatever their names are.

    A name is looked up here, and the address that was looked at is the one that is connected to: a name server that
    gives another answer the second time (DNS rebinding) gains nothing. `make` makes the transport that connects; each
    host has one of its own, so that no connection is shared between names. Raises PrivateAddress.
    """

    def __init__(self, make: Callable[[], httpx2.AsyncBaseTransport] = httpx2.AsyncHTTPTransport) -> None:
        self._make = make
        self._transports: dict[str, httpx2.AsyncBaseTransport] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Look up the host, and send the request to the address that was found."""
        host = request.url.host
        found = await _addresses(request)
        private = next((address for address in found if not is_public(address)), None)
        if private is not None:
            words = f"{host} leads to {private}, which is no public address: allow it if it is meant (allow_private)"
            raise PrivateAddress(words, request=request)
        if host not in self._transports:
            self._transports[host] = self._make()
        pinned = httpx2.Request(
            request.method,
            request.url.copy_with(host=str(found[0])),
            headers=request.headers,  # its Host is the name
            stream=request.stream,
            # The certificate has to be the name's, not the address's.
            extensions={**request.extensions, "sni_hostname": host},
        )
        return await self._transports[host].handle_async_request(pinned)

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in self._transports.values():
            await transport.aclose()


async def _addresses(request: httpx2.Request) -> list[Address]:
    host = request.url.host
    try:
        return [ip_address(host)]
    except ValueError:
        pass
    try:
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpx2.ConnectError(f"{host} is not known: {error}", request=request) from error
    return [ip_address(str(sockaddr[0]).partition("%")[0]) for *_, sockaddr in found]
