"""Which programs make up the system, and what each is told by its environment."""

import os
import secrets
import ssl
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from examples.flask_demo.machine.children import Program
from examples.flask_demo.machine.servers import free_ports

TOOL_SERVERS = ("calendar", "notes", "search")
BY_MCP = ("search",)
_HOST = "127.0.0.1"
_OURS = (
    "ADMIN_LISTEN",
    "DATABASE_URL",
    "FILES_URL",
    "ISSUER",
    "JWKS_URL",
    "LISTEN",
    "MASTER_KEYS",
    "OIDC_",
    "ORCHESTRATOR_URLS",
    "PUBLIC_URL",
    "REDIS_URL",
    "SIGNING_KEYS",
    "TLS_DIR",
    "TOKEN_ISSUER",
    "TOOL_SERVERS",
    "VECTORS_URL",
)
"""What the programs read: whatever of it stands in the environment of the one who starts them is not for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where everything is: a folder of data, and the servers that keep the rest."""

    data: Path
    database_url: str
    redis_url: str

    @property
    def logs(self) -> Path:
        """The folder of the log files."""
        return self.data / "logs"

    @property
    def certificates(self) -> Path:
        """The folder of the certificates."""
        return self.data / "certificates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Where a program listens: its own port, and that for whoever runs it."""

    port: int
    admin: int

    @property
    def environment(self) -> Mapping[str, str]:
        """The two as the programs read them."""
        return {"LISTEN": f"{_HOST}:{self.port}", "ADMIN_LISTEN": f"{_HOST}:{self.admin}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Who listens where."""

    frontend: Ends
    identity: Ends
    tools: Mapping[str, Ends]
    orchestrators: Sequence[Ends]

    @classmethod
    def drawn(cls, *, port: int, orchestrators: int) -> "Plan":
        """Return a plan of free ports; `port` is that of the pages."""
        drawn = iter(free_ports(3 + 2 * (len(TOOL_SERVERS) + orchestrators)))

        def ends() -> Ends:
            return Ends(port=next(drawn), admin=next(drawn))

        return cls(
            identity=ends(),
            tools={name: ends() for name in TOOL_SERVERS},
            orchestrators=[ends() for _ in range(orchestrators)],
            frontend=Ends(port=port, admin=next(drawn)),
        )

    @property
    def url(self) -> str:
        """The address of the pages."""
        return f"http://localhost:{self.frontend.port}"

    @property
    def issuer(self) -> str:
        """The address of the identity provider."""
        return f"http://localhost:{self.identity.port}"


def programs(
    plan: Plan, place: Place, orchestrators: Mapping[str, str] = MappingProxyType({})
) -> Sequence[Sequence[Program]]:
    """Return the programs of the system beside its databases: each group needs those before it.

    `orchestrators` is what these are told besides.
    """
    called = [_identity(plan, place), *(_tool_server(name, plan, place) for name in plan.tools)]
    calling = [
        _orchestrator(f"orchestrator-{n}", plan, place, ends, orchestrators)
        for n, ends in enumerate(plan.orchestrators, 1)
    ]
    return [called, [*calling, _frontend(plan, place)]]


def _identity(plan: Plan, place: Place) -> Program:
    made = _program("identity", place, plan.identity, {"ISSUER": plan.issuer, **_client(place)})
    return replace(made, answers=partial(is_ready, f"{plan.issuer}/.well-known/openid-configuration"))


def _tool_server(name: str, plan: Plan, place: Place) -> Program:
    keys = f"http://{_HOST}:{plan.orchestrators[0].admin}/.well-known/jwks.json"  # they share their keys
    told = {"FILES_URL": _files(place), "JWKS_URL": keys, **_shared(plan, place)}
    if name == "notes":
        told["MASTER_KEYS_FILE"] = _master_keys(place, "notes-master-keys")
    made = _program("tool_servers", place, plan.tools[name], told, name)
    return replace(made, name=name, log=place.logs / f"{name}.log")


def _orchestrator(name: str, plan: Plan, place: Place, ends: Ends, more: Mapping[str, str]) -> Program:
    told = {
        "FILES_URL": _files(place),
        "JWKS_URL": f"http://{_HOST}:{plan.frontend.admin}/.well-known/jwks.json",
        "MASTER_KEYS_FILE": _master_keys(place, "master-keys"),
        "SIGNING_KEYS_FILE": str(place.data / "orchestrator-signing-keys.pem"),
        "TOOL_SERVERS": ",".join(f"{tool}={_tool_address(tool, at.port)}" for tool, at in plan.tools.items()),
        "no_proxy": ",".join(filter(None, (os.environ.get("no_proxy", os.environ.get("NO_PROXY", "")), _HOST))),
        **_shared(plan, place),
        **more,
    }
    made = _program("orchestrator", place, ends, told)
    return replace(made, name=name, log=place.logs / f"{name}.log")


def _tool_address(tool: str, port: int) -> str:
    """Return where a tool server is and by which protocol: a call by MCP costs more, and here both are in use."""
    return f"mcp+https://{_HOST}:{port}/mcp" if tool in BY_MCP else f"https://{_HOST}:{port}"


def _frontend(plan: Plan, place: Place) -> Program:
    told = {
        "OIDC_ISSUER": plan.issuer,
        "ORCHESTRATOR_URLS": ",".join(f"https://{_HOST}:{ends.port}" for ends in plan.orchestrators),
        "PUBLIC_URL": plan.url,
        **_client(place),
        "SIGNING_KEYS_FILE": str(place.data / "frontend-signing-keys.pem"),
        **_shared(plan, place),
    }
    return _program("frontend", place, plan.frontend, told)


def _shared(plan: Plan, place: Place) -> Mapping[str, str]:
    return {
        "DATABASE_URL": place.database_url,
        "REDIS_URL": place.redis_url,
        "TLS_DIR": str(place.certificates),
        "TOKEN_ISSUER": plan.url,
    }


def _client(place: Place) -> Mapping[str, str]:
    return {"OIDC_CLIENT_ID": "web", "OIDC_CLIENT_SECRET_FILE": str(secret_file(place, "oidc-client-secret"))}


def _master_keys(place: Place, name: str) -> str:
    return str(secret_file(place, name, f"first:{b64encode(secrets.token_bytes(32)).decode()}\n"))


def _files(place: Place) -> str:
    return (place.data / "files").as_uri()


def _program(name: str, place: Place, ends: Ends, told: Mapping[str, str], *arguments: str) -> Program:
    return Program(
        name=name,
        command=(sys.executable, "-m", f"examples.flask_demo.{name}", *arguments),
        environment={**ends.environment, **told},
        hidden=_OURS,
        answers=partial(is_ready, f"http://{_HOST}:{ends.admin}/ready"),
        log=place.logs / f"{name}.log",
    )


def secret_file(place: Place, name: str, text: str | None = None) -> Path:
    """Return a file in the data folder that only its owner reads; it is made, of `text`, when it is not there."""
    path = place.data / name
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text or secrets.token_urlsafe(32))
    return path


def is_ready(url: str, context: ssl.SSLContext | None = None) -> bool:
    """Whether a server answers that it can be used."""
    try:
        with urllib.request.urlopen(url, timeout=5, context=context) as answer:  # noqa: S310  (an address of ours)
            return answer.status == 200  # noqa: PLR2004  (OK)
    except (urllib.error.URLError, OSError):
        return False
