from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from assistant_kit import HTTPTools, MCPServer
from assistant_kit.messages import JsonObject, text_of
from assistant_kit.protocols.toolset import Toolset
from examples.flask_demo.environment import SettingsError
from examples.flask_demo.service_tokens import KeyRing, Verifier
from examples.flask_demo.tool_servers.__main__ import main
from examples.flask_demo.tool_servers.server import (
    Counted,
    Service,
    Watched,
    make_admin,
    make_server,
    make_service,
)
from examples.flask_demo.tool_servers.settings import Settings, read_settings
from tests.integrations.serving.hosting import called, hosted

pytestmark = pytest.mark.anyio

ISSUER = "http://localhost:8080"
KEYS = KeyRing.made()
NEEDED = {"LISTEN": "127.0.0.1:1", "ADMIN_LISTEN": "127.0.0.1:2", "JWKS_URL": "http://keys", "TOKEN_ISSUER": ISSUER}


def settings(folder: Path, **more: Any) -> Settings:
    return Settings(
        listen="127.0.0.1:1",
        admin_listen="127.0.0.1:2",
        jwks_url="",
        token_issuer=ISSUER,
        database_url=f"sqlite:///{folder / 'web.db'}",
        **more,
    )


def headers(
    user: str = "u_1", *, issuer: str = ISSUER, audience: str = "tools", at: float | None = None
) -> dict[str, str]:
    token = KEYS.issue(user, issuer=issuer, audience=audience, at=at)
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    given = settings(tmp_path)
    known = Verifier(KEYS, issuer=ISSUER, audience="tools")
    with hosted(make_server(make_service("calendar", given), given, known)) as found:
        yield found


EVENT: JsonObject = {"title": "dentist", "day": "2026-12-01"}
DAYS: JsonObject = {"first": "2026-12-01", "last": "2026-12-01"}


async def test_both_protocols_reach_the_same_tools_for_the_user_of_the_token(url: str) -> None:
    async def shown(toolset: Toolset) -> str:
        return text_of((await toolset.call("list_events", DAYS, called("list_events"))).content)

    async with HTTPTools(url, headers=headers()) as plain, MCPServer(f"{url}/mcp", headers=headers()) as mcp:
        assert [spec.name for spec in await plain.tools()] == [spec.name for spec in await mcp.tools()]
        await plain.call("add_event", EVENT, called("add_event"))
        assert "dentist" in await shown(plain)
        assert "dentist" in await shown(mcp)
    async with MCPServer(f"{url}/mcp", headers=headers("u_2")) as other:
        assert "dentist" not in await shown(other)


async def test_a_call_that_is_repeated_under_its_key_is_made_once(url: str) -> None:
    async with httpx2.AsyncClient(base_url=url) as http:
        asked = {"tool": "add_event", "arguments": EVENT}
        for _ in range(2):
            answer = await http.post("/mcp/execute", json=asked, headers={**headers(), "Idempotency-Key": "k"})
            assert answer.json()["ok"]
        listed = await http.post("/mcp/execute", json={"tool": "list_events", "arguments": DAYS}, headers=headers())
        assert listed.text.count("dentist") == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"authorization": "Bearer nonsense"},
        headers(audience="orchestrator"),
        headers(issuer="http://elsewhere"),
        headers(at=0.0),
    ],
)
async def test_who_has_no_token_for_tools_is_refused(url: str, wrong: dict[str, str]) -> None:
    async with httpx2.AsyncClient(base_url=url, headers=wrong) as http:
        assert (await http.get("/mcp/discover")).status_code == 401
        assert (await http.post("/mcp/execute", json={"tool": "current_time", "arguments": {}})).status_code == 401
        assert (await http.post("/mcp", json={})).status_code == 401


async def test_arguments_that_do_not_fit_are_refused_before_anything_runs(url: str) -> None:
    async with httpx2.AsyncClient(base_url=url, headers=headers()) as http:
        for arguments in ({"title": "x"}, {**EVENT, "day": "soon"}, {**EVENT, "more": 1}):
            answer = await http.post("/mcp/execute", json={"tool": "add_event", "arguments": arguments})
            assert (answer.status_code, answer.json()["error"]["type"]) == (422, "invalid_arguments")


async def test_what_is_kept_of_a_user_is_exported_and_erased_for_that_user_alone(url: str) -> None:
    async with httpx2.AsyncClient(base_url=url) as http:
        for user in ("u_1", "u_2"):
            await http.post("/mcp/execute", json={"tool": "add_event", "arguments": EVENT}, headers=headers(user))
        (kept,) = (await http.get("/user-data", headers=headers())).json()["data"]
        assert kept["title"] == "dentist"
        assert (await http.delete("/user-data", headers=headers())).status_code == 204
        assert (await http.get("/user-data", headers=headers())).json() == {"data": []}
        assert len((await http.get("/user-data", headers=headers("u_2"))).json()["data"]) == 1
        assert (await http.delete("/user-data")).status_code == 401
        assert (await http.post("/user-data", headers=headers())).status_code == 405


def test_who_cannot_be_checked_is_refused(tmp_path: Path) -> None:
    given = settings(tmp_path)
    unreachable = Verifier("http://127.0.0.1:1/keys", issuer=ISSUER, audience="tools")
    with (
        hosted(make_server(make_service("calendar", given), given, unreachable)) as found,
        httpx2.Client(base_url=found, headers=headers()) as http,
    ):
        assert http.get("/mcp/discover").status_code == 401


async def test_health_tells_of_a_dependency_that_does_not_answer(tmp_path: Path) -> None:
    given = settings(tmp_path)
    whole = make_service("calendar", given)
    failing = anyio.Event()

    async def ping() -> None:
        if failing.is_set():
            raise ConnectionError

    service = Service(
        name="calendar", toolset=whole.toolset, dependencies={"database": ping}, open=whole.open, close=whole.close
    )
    admin = httpx2.AsyncClient(transport=httpx2.ASGITransport(make_admin(service, lambda: "")), base_url="http://admin")
    async with admin, Watched(service, every=0.0) as watched:
        with anyio.fail_after(30):
            assert (await admin.get("/ready")).status_code == 200
            assert watched.health().available
            failing.set()
            while watched.health().available:
                await anyio.lowlevel.checkpoint()
            assert (await admin.get("/ready")).json()["dependencies"] == {"database": "unavailable"}
            assert (await admin.get("/health")).status_code == 200


async def test_answers_are_counted_without_the_paths_that_somebody_made_up(tmp_path: Path) -> None:
    given = settings(tmp_path)
    known = Verifier(KEYS, issuer=ISSUER, audience="tools")
    counted = Counted(make_server(make_service("calendar", given), given, known))
    with hosted(counted) as url:
        async with httpx2.AsyncClient(base_url=url, headers=headers()) as http:
            await http.get("/mcp/discover")
            await http.get("/nowhere")
    assert 'web_requests_total{route="/mcp/discover",status="200"} 1' in counted.text()
    assert "nowhere" not in counted.text()


def test_what_is_missing_or_wrong_is_one_clear_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for changed, named in (
        ({"JWKS_URL": ""}, "JWKS_URL"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL"),
        ({"TOKEN_ISSUER": "", "TOKEN_ISSUER_FILE": str(tmp_path / "none")}, "TOKEN_ISSUER_FILE"),
    ):
        with pytest.raises(SettingsError, match=named):
            read_settings({**NEEDED, **changed})
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        make_service("calendar", read_settings(NEEDED))
    with pytest.raises(SystemExit):
        main(["nowhere"])
    capsys.readouterr()


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "database").write_text("sqlite:///x.db\n")
    read = read_settings({**NEEDED, "DATABASE_URL_FILE": str(tmp_path / "database"), "HOSTS": "a:* b"})
    assert (read.database_url, read.hosts) == ("sqlite:///x.db", ("a:*", "b"))
