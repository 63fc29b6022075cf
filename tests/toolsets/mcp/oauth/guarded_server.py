"""An MCP server that wants tokens and the authorization server that gives them, on one port, doing as told.

The authorization server asks nobody: whoever comes with the header `x-person` has consented under that name.
"""

import base64
import hashlib
import json
import secrets
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Barrier, Lock, Thread
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import httpx2
import jwt

from assistant_kit.toolsets.mcp.oauth import ConsentRequest
from tests.toolsets.mcp.servers.old_server import answer

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Spares the clients of these tests reading certificates, which they do not need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    person: str
    scope: str
    resource: str | None


class GuardedServer(ThreadingHTTPServer):
    """`said` holds the fields of all requests for tokens, `consents` those of all requests for consent.

    What is set: `lasts` is the life of a token in seconds, `demands` a scope that calls need,
    `gives` the scope that is given whatever was asked for. `faults` maps paths to
    what is answered there, `pages` to the body of a refusal, `redirects` to another place. `metadata` overrides fields
    of the authorization server's metadata (None leaves a field out), `protected` those of the server's, `registered`
    those of a registration. `together`: calls are answered when so many wait. With `tls` it listens by that.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.scheme = "http" if tls is None else "https"
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.lock = Lock()
        self.codes: dict[str, dict[str, str]] = {}
        self.tokens: dict[str, Issued] = {}
        self.refreshes: dict[str, Issued] = {}
        self.clients: dict[str, str | None] = {}
        self.registrations: list[dict[str, Any]] = []
        self.said: list[dict[str, str]] = []
        self.consents: list[dict[str, str]] = []
        self.authorizations: list[str | None] = []
        self.lasts: int | None = 3600
        self.demands: str | None = None
        self.gives: str | None = None
        self.faults: dict[str, tuple[int, dict[str, Any]]] = {}
        self.pages: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.metadata: dict[str, Any] = {}
        self.protected: dict[str, Any] | None = {}
        self.registered: dict[str, Any] = {}
        self.issuer_path = "/as"
        self.together: Barrier | None = None
        self.paths: list[str] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that have left."""

    @property
    def origin(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    @property
    def url(self) -> str:
        return f"{self.origin}/mcp"

    @property
    def issuer(self) -> str:
        return f"{self.origin}{self.issuer_path}"

    def grant(self, person: str, scope: str, resource: str | None) -> dict[str, Any]:
        scope = scope if self.gives is None else self.gives
        issued = Issued(person=person, scope=scope, resource=resource)
        access, refresh = f"access-{secrets.token_hex(8)}", f"refresh-{secrets.token_hex(8)}"
        with self.lock:
            self.tokens[access] = issued
            self.refreshes[refresh] = issued
        granted = {"access_token": access, "token_type": "bearer", "refresh_token": refresh, "scope": scope}
        return granted if self.lasts is None else {**granted, "expires_in": self.lasts}

    def kinds(self) -> list[str]:
        return [fields["grant_type"] for fields in self.said]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body go together: the other side need not wait for the second piece
    disable_nagle_algorithm = True

    @property
    def guarded(self) -> GuardedServer:
        return cast("GuardedServer", self.server)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (its name above)
        pass

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        self.guarded.paths.append(place.path)
        if place.path in self.guarded.redirects:
            self.reply(307, {}, location=self.guarded.redirects[place.path])
        elif place.path == "/mcp" and self.headers["content-length"]:
            self.serve(self.rfile.read(int(self.headers["content-length"])))
        elif place.path in self.guarded.faults:
            self.reply(*self.guarded.faults[place.path])
        elif place.path == "/.well-known/oauth-protected-resource/mcp" and self.guarded.protected is not None:
            about = {"resource": self.guarded.url, "authorization_servers": [self.guarded.issuer]}
            self.reply(200, {**about, **self.guarded.protected})
        elif place.path == f"/.well-known/oauth-authorization-server{self.guarded.issuer_path}":
            self.reply(200, self.describe())
        elif place.path.endswith("/authorize"):
            self.consent({name: values[0] for name, values in parse_qs(place.query).items()})
        else:
            self.reply(404, {})

    def do_DELETE(self) -> None:
        self.reply(200, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        path = urlsplit(self.path).path
        self.guarded.paths.append(path)
        if path in self.guarded.pages:
            self.send_response(400)
            self.send_header("content-length", str(len(self.guarded.pages[path])))
            self.end_headers()
            self.wfile.write(self.guarded.pages[path])
        elif path in self.guarded.redirects:
            self.reply(307, {}, location=self.guarded.redirects[path])
        elif path in self.guarded.faults:
            self.reply(*self.guarded.faults[path])
        elif path == "/mcp":
            self.serve(body)
        elif path.endswith("/register"):
            self.register(json.loads(body))
        else:
            self.token({name: values[0] for name, values in parse_qs(body.decode()).items()})

    def describe(self) -> dict[str, Any]:
        issuer = self.guarded.issuer
        about = {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "registration_endpoint": f"{issuer}/register",
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            **self.guarded.metadata,
        }
        return {name: value for name, value in about.items() if value is not None}

    def register(self, wanted: dict[str, Any]) -> None:
        client_id = f"client-{len(self.guarded.registrations)}"
        self.guarded.registrations.append(wanted)
        given = {**wanted, "client_id": client_id, **self.guarded.registered}
        self.guarded.clients[client_id] = given.get("client_secret")
        self.reply(201, given)

    def consent(self, asked: dict[str, str]) -> None:
        self.guarded.consents.append(asked)
        code = secrets.token_hex(8)
        self.guarded.codes[code] = {**asked, "person": self.headers.get("x-person", "nobody")}
        back = urlencode({"code": code, "state": asked["state"], "iss": self.guarded.issuer})
        self.reply(302, {}, location=f"{asked['redirect_uri']}?{back}")

    def token(self, fields: dict[str, str]) -> None:
        self.guarded.said.append({**fields, "authorization": self.headers.get("authorization", "")})
        client = self.client(fields)
        if client not in self.guarded.clients:
            self.reply(401, {"error": "invalid_client", "error_description": f"who is {client}?"})
            return
        resource = fields.get("resource")
        match fields["grant_type"]:
            case "authorization_code":
                asked = self.guarded.codes.pop(fields["code"])
                digest = hashlib.sha256(fields["code_verifier"].encode()).digest()
                assert asked["code_challenge"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")
                assert asked.get("resource") == resource
                assert asked["client_id"] == client
                self.reply(200, self.guarded.grant(asked["person"], asked.get("scope", ""), resource))
            case "refresh_token":
                issued = self.guarded.refreshes.pop(fields["refresh_token"], None)
                if issued is None:
                    self.reply(400, {"error": "invalid_grant", "error_description": fields["refresh_token"]})
                else:
                    self.reply(200, self.guarded.grant(issued.person, issued.scope, resource))
            case _:
                self.reply(200, self.guarded.grant(client, fields.get("scope", ""), resource))

    def client(self, fields: dict[str, str]) -> str:
        kind, _, said = self.headers.get("authorization", "").partition(" ")
        if kind == "Basic":
            name, _, secret = base64.b64decode(said).decode().partition(":")
            name, secret = unquote(name), unquote(secret)
        else:
            name, secret = fields["client_id"], fields.get("client_secret", "")
        if "client_assertion" in fields:
            key = self.guarded.clients[name]
            assert key is not None
            jwt.decode(fields["client_assertion"], key, algorithms=["ES256"], audience=self.guarded.issuer)
            return name
        return name if (self.guarded.clients.get(name) or "") == secret else "nobody"

    def serve(self, body: bytes) -> None:
        authorization = self.headers["authorization"]
        self.guarded.authorizations.append(authorization)
        issued = self.guarded.tokens.get((authorization or "").removeprefix("Bearer "))
        if issued is None or issued.resource not in (None, self.guarded.url):
            self.refuse(401, "invalid_token", None)
        elif self.guarded.demands is not None and self.guarded.demands not in issued.scope.split():
            self.refuse(403, "insufficient_scope", self.guarded.demands)
        else:
            if self.guarded.together is not None:
                self.guarded.together.wait(30)
            self.reply(200, self.result(json.loads(body), issued))

    def result(self, message: dict[str, Any], issued: Issued) -> dict[str, Any]:
        if "method" not in message:
            return {"person": issued.person, "scope": issued.scope, "resource": issued.resource}
        result = (
            answer(message["method"], message.get("params", {})) if message["method"] != "server/discover" else None
        )
        if message["method"] == "tools/call":
            result = {"content": [{"type": "text", "text": issued.person}]}
        if result is None:
            return {"jsonrpc": "2.0", "id": message.get("id"), "error": {"code": -32601, "message": "not known"}}
        return {"jsonrpc": "2.0", "id": message["id"], "result": result}

    def refuse(self, status: int, error: str, scope: str | None) -> None:
        metadata = f"{self.guarded.origin}/.well-known/oauth-protected-resource/mcp"
        wanted = "" if scope is None else f', scope="{scope}"'
        named = "" if self.guarded.protected is None else f', resource_metadata="{metadata}"'
        self.reply(status, {}, www_authenticate=f'Bearer error="{error}"{wanted}{named}')

    def reply(self, status: int, body: dict[str, Any], **headers: str) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def guarded_server(tls: ssl.SSLContext | None = None) -> Generator[GuardedServer]:
    with GuardedServer(tls) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@dataclass(slots=True)
class Person:
    """A browser with somebody in front of it, who consents. `asked` are the users of the requests."""

    asked: list[str | None]
    redirect_uri: str = "http://127.0.0.1:8976/callback"

    async def ask(self, request: ConsentRequest) -> str:
        self.asked.append(request.user)
        return await self.visit(request.url, request.user or "nobody")

    async def visit(self, url: str, name: str) -> str:
        """Open a page under a name, and return where it leads."""
        async with httpx2.AsyncClient(verify=NO_TLS) as browser:
            answered = await browser.get(url, headers={"x-person": name})
        return answered.headers["location"]


def person() -> Person:
    return Person(asked=[])
