"""The MCP server that a token is for, and what may be spoken to on its behalf."""

from dataclasses import dataclass
from ipaddress import ip_address

import httpx2
from mcp.shared.auth_utils import check_resource_allowed, resource_url_from_server_url

from assistant_kit.errors import ConfigurationError, ToolsetError
from assistant_kit.toolsets._tls import Verify, checked


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPlace:
    """An MCP server by its URL, in the canonical form of RFC 8707; `name` is its host, for errors.

    `in_private_network`: it may name addresses there, and such without https. `verify` is for its own origin, and for
    all that it names if it is in a private network.
    """

    url: str
    name: str
    in_private_network: bool
    verify: Verify = True

    def problem(self, text: str) -> ToolsetError:
        """Make the error of an authorization that failed."""
        return ToolsetError(self.name, text)

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        url = httpx2.URL(self.url)
        return str(url.copy_with(raw_path=b"/", fragment=None)).rstrip("/")

    def owns(self, url: httpx2.URL) -> bool:
        """Whether a request to this URL may bear the server's token."""
        own = httpx2.URL(self.url)
        return (url.scheme, url.host, url.port) == (own.scheme, own.host, own.port)

    def covered_by(self, resource: str) -> bool:
        """Whether a token for this resource is one for this server."""
        return check_resource_allowed(requested_resource=self.url, configured_resource=resource)

    def admits(self, url: httpx2.URL) -> bool:
        """Whether secrets may be sent to this URL: by https, or within the network in which the server is."""
        if url.scheme == "https":
            return True
        near = _private(url.host) or self.owns(url)
        return url.scheme == "http" and self.in_private_network and near


def server_place(url: str, *, allow_private: bool, verify: Verify = True) -> ServerPlace:
    """Read the URL of an MCP server. Raises ConfigurationError."""
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = httpx2.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigurationError("OAuth needs the URL of the MCP server: http:// or https://")
    checked(verify, where="OAuth")
    bare = resource_url_from_server_url(str(parsed.copy_with(userinfo=b"", fragment=None)))
    private = allow_private or _private(parsed.host)
    name = parsed.netloc.decode().rpartition("@")[2]
    return ServerPlace(url=bare, name=name, in_private_network=private, verify=verify)


def _private(host: str) -> bool:
    """Tell by its name alone whether a host is this machine or in a private network."""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
