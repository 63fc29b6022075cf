"""The code that docs/http-tools.md shows."""

import httpx2
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.testing.scripted_model import Call, CallTools, ScriptedModel
from assistant_kit.tool_spec import keyed
from assistant_kit.toolsets.http_tools import HTTPTools
from tests.toolsets.http_tools.scripted_server import ADD, ScriptedServer, listing, ok

pytestmark = pytest.mark.anyio


async def test_tools_of_a_server_are_given_to_an_assistant() -> None:
    transport = httpx2.MockTransport(ScriptedServer().handle)
    model = ScriptedModel([CallTools(Call("add", {"a": 1, "b": 2})), "Three."])
    # --8<-- [start:use]
    sums = HTTPTools(
        "https://tools.example",
        headers={"Authorization": "Bearer ..."},
        effects={"add": "read", "charge": keyed(86_400)},
        transport=transport,
    )
    async with Assistant(model, tools=[sums]) as assistant:
        result = await assistant.run("1 + 2?")
    # --8<-- [end:use]
    assert result.output == "Three."


def tokens_of(user: str) -> str:
    return f"token-of-{user}"


async def test_each_user_has_credentials_of_their_own() -> None:
    server = ScriptedServer()

    # --8<-- [start:user]
    def headers(user: str | None) -> dict[str, str]:
        return {} if user is None else {"Authorization": f"Bearer {tokens_of(user)}"}

    # --8<-- [end:user]
    async with server.tools(headers=headers) as tools:
        await tools.tools_for("ann")
    assert server.requests[0].headers["authorization"] == "Bearer token-of-ann"


async def test_a_server_that_can_be_missed_and_its_health() -> None:
    server = ScriptedServer(listings=[listing(ADD)], answers=[ok("3")])
    transport = httpx2.MockTransport(server.handle)
    # --8<-- [start:optional]
    sums = HTTPTools("https://tools.example", required=False)
    # --8<-- [end:optional]
    sums = HTTPTools("https://tools.example", required=False, transport=transport)
    async with sums:
        # --8<-- [start:health]
        known = sums.health()  # what is known: nothing is asked
        asked = await sums.check()  # asks GET /health
        # --8<-- [end:health]
    assert known.available
    assert asked.available
