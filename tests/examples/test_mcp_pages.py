"""The code that docs/mcp-oauth.md and docs/mcp-features.md show, run."""

from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest

from assistant_kit.messages import Image, Text, text_of
from assistant_kit.stores.encrypted import MasterKeys
from assistant_kit.testing.scripted_model import ScriptedModel
from assistant_kit.toolsets.mcp import MCPServer
from assistant_kit.toolsets.mcp.elicitation import FormValue
from examples.docs import mcp_features, mcp_oauth
from tests.toolsets.mcp.oauth.guarded_server import GuardedServer, guarded_server, person
from tests.toolsets.mcp.oauth.signing_keys import key_pair
from tests.toolsets.mcp.servers.asking_server import AskingServer
from tests.toolsets.mcp.servers.control import ask

pytestmark = pytest.mark.anyio


async def test_users_of_a_web_application_consent(tmp_path: Path) -> None:
    with guarded_server() as guarded, anyio.fail_after(30):
        came: dict[str, str] = {}

        async def show(user: str, url: str) -> None:
            came["url"] = await browsed(guarded, user, url)

        async def arrive(_: str) -> str:
            return came["url"]

        [storage] = mcp_oauth.storages(tmp_path, MasterKeys({"k1": bytes(32)}))
        [server] = mcp_oauth.many_users(guarded.url, mcp_oauth.Pages(show, arrive), storage)
        async with server:
            assert await ask(server, "echo") == "u1"


async def browsed(guarded: GuardedServer, user: str, url: str) -> str:
    """Return where the browser of a user is sent from a link."""
    browser = person()
    assert url.startswith(guarded.origin)
    return await browser.visit(url, user)


def test_the_other_ways_to_a_token_are_set_up_as_shown() -> None:
    private, _ = key_pair()
    url = "https://mcp.example/mcp"
    servers = [*mcp_oauth.command_line(url), *mcp_oauth.programs(url, "hush", private)]

    async def token(_issuer: str, _url: str) -> str:
        raise AssertionError

    servers += mcp_oauth.workload(url, token)
    assert [server.name for server in servers] == ["mcp.example"] * 4


async def test_resources_and_prompts_are_used_as_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with anyio.fail_after(30):
        async with MCPServer(AskingServer().server) as server:
            assert await mcp_features.context_of(server) == [
                Text(text="note://1\nhi"),
                Image(data=b"hi", media_type="image/png"),
            ]
            assert "note://1 Note text/plain" in capsys.readouterr().out
            assert len(mcp_features.as_tools(server)) == 2
            [message] = await mcp_features.prompt(server)
            assert text_of((message.content,)).startswith("trip to ref/prompt Ro")
            uris: list[str] = []

            def seen(uri: str) -> bool:
                uris.append(uri)
                return uri == "note://1"

            await mcp_features.follow(server, seen)
            assert uris == ["note://1"]


async def test_an_application_answers_as_shown(tmp_path: Path) -> None:
    async def somebody(_message: str, _about: str) -> Mapping[str, FormValue] | None:
        return {"name": "Ada"}

    async def nobody(_message: str, _about: str) -> Mapping[str, FormValue] | None:
        return None

    for answers, actions in ((somebody, ("accept", "accept")), (nobody, ("cancel", "decline"))):
        model = ScriptedModel(["three"])
        [client] = mcp_features.client(tmp_path, answers, model, [])
        with anyio.fail_after(30):
            async with MCPServer(AskingServer().server, client=client) as server:
                assert f'"{actions[0]}"' in await ask(server, "form")
                assert f'"{actions[1]}"' in await ask(server, "page")
                assert "three" in await ask(server, "think")
                assert tmp_path.name in await ask(server, "folders")
