"""The code that docs/serving.md shows."""

import anyio
import httpx2
import pytest
from starlette.requests import HTTPConnection

from assistant_kit.assistant import Assistant
from assistant_kit.integrations.serving import ServingSettings, assistant_server, tool_server
from assistant_kit.messages import text_of
from assistant_kit.shared_states.memory import MemoryState
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import ScriptedModel
from assistant_kit.tool_spec import keyed
from assistant_kit.toolsets.functions import tool
from assistant_kit.toolsets.http_tools import HTTPTools
from assistant_kit.toolsets.mcp import MCPServer
from tests.integrations.serving.hosting import called, hosted

pytestmark = pytest.mark.anyio


# --8<-- [start:tools]
@tool(effect="read")
def price(item: str) -> float:
    """The price of an item in euros."""
    return {"tea": 2.5}.get(item, 0.0)


@tool(effect=keyed(86_400))
def order(item: str) -> str:
    """Order an item."""
    return f"{item} is ordered"


app = tool_server([price, order], name="shop")
# --8<-- [end:tools]


async def test_one_server_speaks_both_protocols() -> None:
    with hosted(app) as url:
        # --8<-- [start:clients]
        plain = HTTPTools(url)
        mcp = MCPServer(f"{url}/mcp")
        # --8<-- [end:clients]
        for toolset in (plain, mcp):
            async with toolset:
                output = await toolset.call("price", {"item": "tea"}, called("price"))
                assert text_of(output.content) == "2.5"


TOKENS = {"secret-of-ann": "ann"}


async def test_who_asks_is_found_out_from_the_request() -> None:
    # --8<-- [start:authenticate]
    async def who(request: HTTPConnection) -> str | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return TOKENS.get(token) if scheme == "Bearer" else None

    app = tool_server(
        [price, order],
        name="shop",
        authenticate=who,
        settings=ServingSettings(hosts=["tools.example"], repeats=MemoryState(), call_timeout=30.0),
    )
    # --8<-- [end:authenticate]
    transport = httpx2.ASGITransport(app)
    async with app, httpx2.AsyncClient(transport=transport, base_url="https://tools.example") as http:
        call = {"tool": "price", "arguments": {"item": "tea"}}
        assert (await http.post("/mcp/execute", json=call)).status_code == 401
        known = {"authorization": "Bearer secret-of-ann"}
        assert (await http.post("/mcp/execute", json=call, headers=known)).json()["ok"]


async def test_an_assistant_is_asked_by_another_program() -> None:
    async def who(request: HTTPConnection) -> str | None:
        return TOKENS.get(request.headers.get("authorization", "").removeprefix("Bearer "))

    model = ScriptedModel(["Tea is 2.50."])
    store = MemoryStore()
    # --8<-- [start:assistant]
    assistant = Assistant(model, instructions="You sell tea.", tools=[price], store=store)
    app = assistant_server(assistant, description="Asks the shop's clerk.", authenticate=who)
    # --8<-- [end:assistant]
    with hosted(app) as url:
        headers = {"authorization": "Bearer secret-of-ann"}
        async with MCPServer(f"{url}/mcp", headers=headers) as shop:
            assert [spec.name for spec in await shop.tools()] == ["ask", "price"]
            question = {"message": "What is tea?", "conversation": "c1"}
            output = await shop.call("ask", question, called("ask"))
            assert text_of(output.content) == "Tea is 2.50."
        (kept,) = await store.for_user("ann").conversations(limit=9)
        assert kept.conversation == "c1"


async def main() -> None:
    # --8<-- [start:stdio]
    await app.serve_stdio(user="local")
    # --8<-- [end:stdio]


async def test_a_part_of_another_application_is_opened_by_it() -> None:
    with anyio.fail_after(5):
        # --8<-- [start:mounted]
        async with app:  # in the lifespan of the application in which it is mounted
            ...
        # --8<-- [end:mounted]
