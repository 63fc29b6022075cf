import logging
from dataclasses import replace
from threading import Barrier

import anyio
import httpx2
import pytest

from assistant_kit.errors import ConfigurationError, ToolsetError
from assistant_kit.toolsets.mcp.oauth import Application, MCPOAuth, MemoryTokens, Redirect, TokenKey
from assistant_kit.toolsets.mcp.oauth.bearer import Bearer
from assistant_kit.toolsets.mcp.oauth.grants import Grant, client_from, grant_from, grant_text
from tests.toolsets.mcp.oauth.guarded_server import NO_TLS, GuardedServer, guarded_server, person

pytestmark = pytest.mark.anyio


async def use(auth: httpx2.Auth, url: str) -> httpx2.Response:
    """Make one request to a server, bounded."""
    with anyio.fail_after(20):
        async with httpx2.AsyncClient(auth=auth, verify=NO_TLS) as http:
            return await http.post(url, json={})


async def whose(auth: httpx2.Auth, server: GuardedServer) -> str:
    """Return under whose name a request arrives."""
    response = await use(auth, server.url)
    assert response.status_code == 200
    return response.json()["person"]


async def kept(storage: MemoryTokens, server: GuardedServer, user: str | None = None) -> Grant:
    found = grant_from(await storage.load(TokenKey(server=server.url, kind="grant", user=user)))
    assert found is not None
    return found


async def keep(storage: MemoryTokens, server: GuardedServer, grant: Grant, user: str | None = None) -> None:
    await storage.save(TokenKey(server=server.url, kind="grant", user=user), grant_text(grant))


async def test_the_first_request_asks_for_consent_and_the_next_ones_do_not(server: GuardedServer) -> None:
    somebody = person()
    auth = MCPOAuth(server.url, consent=somebody)("ada")
    assert await whose(auth, server) == "ada"
    assert await whose(auth, server) == "ada"
    assert somebody.asked == ["ada"]
    assert server.kinds() == ["authorization_code"]


async def test_a_token_is_asked_for_its_server_and_bound_to_it(server: GuardedServer) -> None:
    await use(MCPOAuth(server.url, consent=person())(), server.url)
    assert server.consents[0]["resource"] == server.url
    assert server.said[0]["resource"] == server.url
    assert server.consents[0]["code_challenge_method"] == "S256"


async def test_the_application_is_registered_once_for_all_its_users(server: GuardedServer) -> None:
    oauth = MCPOAuth(server.url, consent=person(), application=Application(name="Desk"))
    assert await whose(oauth("ada"), server) == "ada"
    assert await whose(oauth("bob"), server) == "bob"
    assert [registered["client_name"] for registered in server.registrations] == ["Desk"]


async def test_two_users_never_share_a_token(server: GuardedServer) -> None:
    storage = MemoryTokens()
    oauth = MCPOAuth(server.url, consent=person(), storage=storage)
    ada, bob = oauth("ada"), oauth("bob")
    assert [await whose(ada, server), await whose(bob, server), await whose(ada, server)] == ["ada", "bob", "ada"]
    assert (await kept(storage, server, "ada")).access_token != (await kept(storage, server, "bob")).access_token
    again = MCPOAuth(server.url, consent=person(), storage=storage)
    assert [await whose(again("bob"), server), await whose(again("ada"), server)] == ["bob", "ada"]
    assert len(server.consents) == 2


async def test_a_kept_token_is_used_by_the_next_process_without_asking(server: GuardedServer) -> None:
    storage = MemoryTokens()
    await use(MCPOAuth(server.url, consent=person(), storage=storage)("ada"), server.url)
    again = person()
    assert await whose(MCPOAuth(server.url, consent=again, storage=storage)("ada"), server) == "ada"
    assert again.asked == []


async def test_a_kept_token_whose_time_is_over_is_renewed_and_nobody_is_asked(server: GuardedServer) -> None:
    storage = MemoryTokens()
    await use(MCPOAuth(server.url, consent=person(), storage=storage)("ada"), server.url)
    old = await kept(storage, server, "ada")
    await keep(storage, server, replace(old, expires_at=1.0), "ada")
    again = person()
    assert await whose(MCPOAuth(server.url, consent=again, storage=storage)("ada"), server) == "ada"
    assert again.asked == []
    assert server.kinds() == ["authorization_code", "refresh_token"]
    assert server.said[1]["resource"] == server.url
    assert old.access_token not in server.authorizations[2:]
    assert (await kept(storage, server, "ada")).access_token != old.access_token


async def test_a_token_that_the_server_takes_no_more_is_renewed_without_asking(server: GuardedServer) -> None:
    somebody = person()
    auth = MCPOAuth(server.url, consent=somebody)("ada")
    await use(auth, server.url)
    server.tokens.clear()
    assert await whose(auth, server) == "ada"
    assert len(somebody.asked) == 1
    assert server.kinds() == ["authorization_code", "refresh_token"]


async def test_when_renewal_is_refused_consent_is_asked_for_again(server: GuardedServer) -> None:
    somebody = person()
    auth = MCPOAuth(server.url, consent=somebody)("ada")
    await use(auth, server.url)
    server.tokens.clear()
    server.refreshes.clear()
    assert await whose(auth, server) == "ada"
    assert somebody.asked == ["ada", "ada"]


async def test_when_a_token_is_over_and_its_renewal_refused_consent_is_asked_for_again(server: GuardedServer) -> None:
    server.lasts = 0
    somebody = person()
    auth = MCPOAuth(server.url, consent=somebody)("ada")
    await use(auth, server.url)
    server.refreshes.clear()
    assert await whose(auth, server) == "ada"
    assert somebody.asked == ["ada", "ada"]


async def test_an_authorization_server_that_fails_is_no_reason_to_ask_a_person(server: GuardedServer) -> None:
    somebody = person()
    auth = MCPOAuth(server.url, consent=somebody)("ada")
    await use(auth, server.url)
    server.tokens.clear()
    server.faults["/as/token"] = (503, {})
    with pytest.raises(ToolsetError):
        await use(auth, server.url)
    del server.faults["/as/token"]
    assert await whose(auth, server) == "ada"
    assert len(somebody.asked) == 1


async def test_a_token_that_cannot_be_renewed_is_asked_for_again_when_its_time_is_over(server: GuardedServer) -> None:
    storage, somebody = MemoryTokens(), person()
    auth = MCPOAuth(server.url, consent=somebody, storage=storage)("ada")
    await use(auth, server.url)
    old = await kept(storage, server, "ada")
    await keep(storage, server, replace(old, expires_at=1.0, refresh_token=None), "ada")
    assert await whose(MCPOAuth(server.url, consent=somebody, storage=storage)("ada"), server) == "ada"
    assert somebody.asked == ["ada", "ada"]


async def test_an_old_server_is_asked_for_another_token_as_it_was_for_the_first(server: GuardedServer) -> None:
    server.protected = None
    auth = MCPOAuth(server.url, consent=person())("ada")
    await use(auth, server.url)
    server.tokens.clear()
    assert await whose(auth, server) == "ada"
    assert server.kinds() == ["authorization_code", "refresh_token"]
    assert "resource" not in server.said[1]


async def test_an_answer_that_cannot_be_read_is_a_refusal(server: GuardedServer) -> None:
    server.pages["/as/token"] = b"<html>hush"
    with pytest.raises(ToolsetError) as failure:
        await use(MCPOAuth(server.url, consent=person())("ada"), server.url)
    assert "hush" not in str(failure.value)


async def test_an_application_without_a_secret_names_itself(server: GuardedServer) -> None:
    server.clients["desk"] = None
    auth = MCPOAuth(server.url, consent=person(), application=Application(client_id="desk"))("ada")
    assert await whose(auth, server) == "ada"


async def test_a_token_that_another_process_has_renewed_is_taken_over(server: GuardedServer) -> None:
    storage = MemoryTokens()
    here = MCPOAuth(server.url, consent=person(), storage=storage)("ada")
    await use(here, server.url)
    there = MCPOAuth(server.url, consent=person(), storage=storage)("ada")
    server.tokens.clear()
    await use(there, server.url)
    assert await whose(here, server) == "ada"
    assert server.kinds() == ["authorization_code", "refresh_token"]


async def test_what_is_over_here_and_renewed_elsewhere_is_taken_over(server: GuardedServer) -> None:
    server.lasts = 0
    storage = MemoryTokens()
    here = MCPOAuth(server.url, consent=person(), storage=storage)("ada")
    await use(here, server.url)
    server.lasts = 3600
    await use(MCPOAuth(server.url, consent=person(), storage=storage)("ada"), server.url)
    assert await whose(here, server) == "ada"
    assert server.kinds() == ["authorization_code", "refresh_token"]


async def test_a_refusal_for_the_lack_of_scope_asks_for_that_and_keeps_what_was_granted(server: GuardedServer) -> None:
    server.protected = {"scopes_supported": ["read"]}
    somebody = person()
    auth = MCPOAuth(server.url, consent=somebody)("ada")
    await use(auth, server.url)
    server.demands = "write"
    assert (await use(auth, server.url)).json()["scope"] == "read write"
    assert len(somebody.asked) == 2


async def test_a_scope_that_is_never_enough_is_asked_for_once_a_request(server: GuardedServer) -> None:
    server.demands, server.gives = "write", "nothing"
    somebody = person()
    auth = MCPOAuth(server.url, consent=somebody)("ada")
    assert (await use(auth, server.url)).status_code == 403
    assert len(somebody.asked) == 2


async def test_a_server_that_takes_no_token_at_all_is_left_in_peace(server: GuardedServer) -> None:
    somebody = person()
    server.faults["/mcp"] = (401, {})
    auth = MCPOAuth(server.url, consent=somebody)("ada")
    assert (await use(auth, server.url)).status_code == 401
    assert len(somebody.asked) == 1


@pytest.mark.parametrize(
    ("method", "header"), [("GET", ("mcp-session-id", "s1")), ("POST", ("mcp-method", "subscriptions/listen"))]
)
async def test_nobody_is_asked_for_a_stream_in_the_background(
    server: GuardedServer, method: str, header: tuple[str, str]
) -> None:
    somebody = person()
    auth = MCPOAuth(server.url, consent=somebody)("ada")
    await use(auth, server.url)
    server.tokens.clear()
    async with httpx2.AsyncClient(auth=auth, verify=NO_TLS) as http:
        with anyio.fail_after(20):
            assert (await http.request(method, server.url, headers=[header], json={})).status_code == 200
            server.tokens.clear()
            server.refreshes.clear()
            with pytest.raises(ToolsetError):
                await http.request(method, server.url, headers=[header], json={})
    assert somebody.asked == ["ada"]
    assert await whose(auth, server) == "ada"
    assert somebody.asked == ["ada", "ada"]


async def test_a_token_for_another_server_is_not_got(server: GuardedServer) -> None:
    server.protected = {"resource": "http://127.0.0.1:1/other"}
    somebody = person()
    with pytest.raises(ToolsetError):
        await use(MCPOAuth(server.url, consent=somebody)(), server.url)
    assert somebody.asked == []


async def test_a_token_goes_to_its_server_only(server: GuardedServer) -> None:
    auth = MCPOAuth(server.url, consent=person())("ada")
    await use(auth, server.url)
    with guarded_server() as other:
        assert (await use(auth, other.url)).status_code == 401
        assert other.authorizations == [None]
        assert other.paths == ["/mcp"]


async def test_calls_go_side_by_side(server: GuardedServer) -> None:
    auth = MCPOAuth(server.url, consent=person())("ada")
    await use(auth, server.url)
    server.together = Barrier(64)  # none is answered before all are there
    statuses: list[int] = []

    async def call(http: httpx2.AsyncClient) -> None:
        statuses.append((await http.post(server.url, json={})).status_code)

    with anyio.fail_after(40):
        async with httpx2.AsyncClient(auth=auth, verify=NO_TLS, timeout=35) as http, anyio.create_task_group() as tasks:
            for _ in range(64):
                tasks.start_soon(call, http)
    assert statuses == [200] * 64


async def test_many_requests_without_a_token_ask_a_person_once(server: GuardedServer) -> None:
    somebody = person()
    auth = MCPOAuth(server.url, consent=somebody)("ada")
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(whose, auth, server)
    assert somebody.asked == ["ada"]


async def test_many_requests_share_the_refusal_of_a_person(server: GuardedServer) -> None:
    asked: list[str | None] = []
    failed: list[ToolsetError] = []
    all_there = anyio.Event()

    async def show(_: object) -> None:
        asked.append(None)
        await all_there.wait()

    async def refuse(request: object) -> str:
        state = server.consents[-1]["state"] if server.consents else getattr(request, "state", "")
        return f"http://127.0.0.1/callback?error=access_denied&state={state}&iss={server.issuer}"

    consent = Redirect(redirect_uri="http://127.0.0.1/callback", open_url=show, wait_for_code=refuse)
    auth = MCPOAuth(server.url, consent=consent)("ada")

    async def call() -> None:
        with pytest.raises(ToolsetError) as failure:
            await use(auth, server.url)
        failed.append(failure.value)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(call)
            while len(server.authorizations) < 4 or not asked:
                await anyio.lowlevel.checkpoint()
            all_there.set()
    assert len(failed) == 4


async def test_a_person_who_does_not_decide_is_waited_for_with_patience_only(server: GuardedServer) -> None:
    async def nothing(_: object) -> None:
        pass

    async def forever(_: object) -> str:
        await anyio.sleep_forever()
        return ""

    consent = Redirect(redirect_uri="http://127.0.0.1/callback", open_url=nothing, wait_for_code=forever)
    with pytest.raises(ToolsetError):
        await use(MCPOAuth(server.url, consent=consent, patience=0.01)(), server.url)


async def test_no_secret_is_in_a_repr_an_error_or_a_log(
    server: GuardedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.registered = {"client_secret": "client-hush", "token_endpoint_auth_method": "client_secret_post"}
    storage = MemoryTokens()
    oauth = MCPOAuth(server.url.replace("//", "//root:hush@"), consent=person(), storage=storage)
    auth = oauth("ada")
    await use(auth, server.url)
    grant = await kept(storage, server, "ada")
    client = client_from(await storage.load(TokenKey(server=server.url, kind="client")))
    server.tokens.clear()
    server.faults["/as/token"] = (400, {"error": grant.refresh_token, "error_description": grant.access_token})
    with pytest.raises(ToolsetError) as failure:
        await use(auth, server.url)
    shown = [repr(thing) for thing in (oauth, auth, grant, client, storage, failure.value)] + [str(failure.value)]
    for secret in (grant.access_token, grant.refresh_token, "hush"):
        assert secret is not None
        assert not [text for text in [*shown, caplog.text] if secret in text]


async def test_a_user_who_is_forgotten_is_asked_again(server: GuardedServer) -> None:
    somebody = person()
    storage = MemoryTokens()
    oauth = MCPOAuth(server.url, consent=somebody, storage=storage)
    auth = oauth("ada")
    await use(auth, server.url)
    await oauth.forget("ada")
    assert await storage.load(TokenKey(server=server.url, kind="grant", user="ada")) is None
    assert await whose(auth, server) == "ada"
    assert somebody.asked == ["ada", "ada"]


async def test_a_registration_that_is_not_known_any_more_is_made_again(server: GuardedServer) -> None:
    somebody = person()
    auth = MCPOAuth(server.url, consent=somebody)("ada")
    await use(auth, server.url)
    server.tokens.clear()
    server.clients.clear()
    assert await whose(auth, server) == "ada"
    assert len(server.registrations) == 2


async def test_a_registration_that_is_refused_with_the_code_is_forgotten(server: GuardedServer) -> None:
    auth = MCPOAuth(server.url, consent=person())("ada")
    server.faults["/as/token"] = (401, {"error": "invalid_client"})
    with pytest.raises(ToolsetError):
        await use(auth, server.url)
    server.faults.clear()
    assert await whose(auth, server) == "ada"
    assert len(server.registrations) == 2


async def test_another_authorization_server_gets_nothing_of_the_first(server: GuardedServer) -> None:
    somebody = person()
    auth = MCPOAuth(server.url, consent=somebody)("ada")
    await use(auth, server.url)
    server.tokens.clear()
    server.issuer_path = "/new"
    assert await whose(auth, server) == "ada"
    assert server.kinds() == ["authorization_code", "authorization_code"]
    assert len(server.registrations) == 2


async def test_a_server_that_gives_no_token_but_something_else_is_an_error(server: GuardedServer) -> None:
    server.faults["/as/token"] = (200, {"token": "hush"})
    with pytest.raises(ToolsetError) as failure:
        await use(MCPOAuth(server.url, consent=person())(), server.url)
    assert failure.value.__cause__ is None
    assert failure.value.__suppress_context__ or failure.value.__context__ is None


async def test_a_document_is_the_name_of_the_application_where_such_names_are_taken(server: GuardedServer) -> None:
    name = "https://app.example/client.json"
    server.metadata = {"client_id_metadata_document_supported": True}
    server.clients[name] = None
    application = Application(metadata_url=name)
    assert await whose(MCPOAuth(server.url, consent=person(), application=application)("ada"), server) == "ada"
    assert server.registrations == []
    assert server.consents[0]["client_id"] == name


async def test_an_application_that_is_known_there_is_not_registered(server: GuardedServer) -> None:
    server.clients["desk"] = "hush"
    application = Application(client_id="desk", client_secret="hush")
    somebody = person()
    auth = MCPOAuth(server.url, consent=somebody, application=application)("ada")
    assert await whose(auth, server) == "ada"
    server.tokens.clear()
    assert await whose(auth, server) == "ada"
    assert server.kinds() == ["authorization_code", "refresh_token"]
    assert server.registrations == []


def test_a_user_has_one_authentication_at_a_time() -> None:
    oauth = MCPOAuth("http://127.0.0.1/mcp", consent=person())
    ada = oauth("ada")
    assert isinstance(ada, Bearer)
    assert oauth("ada") is ada
    assert oauth("bob") is not ada


@pytest.mark.parametrize("url", ["mcp.example", "ftp://mcp.example", "http://", "http://mcp.example:port", ""])
def test_what_is_no_url_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        MCPOAuth(url, consent=person())


def test_a_person_gets_some_time() -> None:
    with pytest.raises(ConfigurationError):
        MCPOAuth("https://mcp.example", consent=person(), patience=0)
