"""The code that docs/serving.md shows."""

import os

import anyio
import httpx2
import pytest
from starlette.requests import HTTPConnection

from assistant_kit.assistant import Assistant
from assistant_kit.errors import ToolError
from assistant_kit.integrations.serving import ServingSettings, assistant_server, tool_server
from assistant_kit.messages import JsonObject, Text, UserMessage, text_of
from assistant_kit.protocols.caller import Form, Sample, Sampled
from assistant_kit.protocols.caller import Reply as CallersReply
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.shared_states.memory import MemoryState
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import ScriptedModel
from assistant_kit.tool_spec import keyed
from assistant_kit.toolsets.functions import tool
from assistant_kit.toolsets.http_tools import HTTPTools
from assistant_kit.toolsets.mcp import MCPServer
from assistant_kit.toolsets.mcp.client_side import MCPClient, ServerLog
from assistant_kit.toolsets.mcp.elicitation import Elicitation, Reply
from assistant_kit.toolsets.mcp.sampling import Sampling, SamplingRequest
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


# --8<-- [start:asking]
FORM: JsonObject = {
    "type": "object",
    "properties": {"table": {"type": "integer", "minimum": 1}},
    "required": ["table"],
}


@tool
async def serve(item: str, context: ToolContext) -> str:
    """Bring an item to the table of whoever wants it."""
    caller = context.caller
    if caller is None or not caller.can("form"):
        raise ToolError("Nobody can be asked for the table.")
    reply = await caller.elicit(f"{item}: to which table?", FORM)  # ask first …
    if reply.action != "accept":
        return "Not served."
    caller.log("info", {"item": item, "table": reply.content["table"]})
    return f"{item} is at table {reply.content['table']}"  # … act after


# --8<-- [end:asking]


async def test_a_tool_asks_who_calls_it() -> None:
    async def answer(question: Elicitation) -> Reply:
        assert question.message == "tea: to which table?"
        return Reply(action="accept", content={"table": 4})

    lines: list[ServerLog] = []
    with hosted(tool_server([serve], name="café")) as url:
        client = MCPClient(elicitation=answer, log=lines.append, log_level="info")
        async with MCPServer(f"{url}/mcp", client=client) as cafe:
            output = await cafe.call("serve", {"item": "tea"}, called("serve"))
            assert text_of(output.content) == "tea is at table 4"
        async with HTTPTools(url) as plain:
            assert (await plain.call("serve", {"item": "tea"}, called("serve"))).is_error
    assert [line.data for line in lines] == ['{"item": "tea", "table": 4}']


async def test_several_things_are_asked_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_KEY", os.urandom(32).hex())

    @tool
    async def advise(context: ToolContext) -> str:
        assert context.caller is not None
        caller = context.caller
        # --8<-- [start:together]
        question = UserMessage(content=(Text(text="A tea for the evening, in a word?"),))
        answers = await caller.ask(
            {
                "table": Form(message="Which table?", schema=FORM),
                "tea": Sample(messages=[question], max_tokens=20),
            }
        )
        # --8<-- [end:together]
        table, tea = answers["table"], answers["tea"]
        assert isinstance(table, CallersReply)
        assert isinstance(tea, Sampled)
        return f"{tea.text} at {table.content['table']}"

    async def answer(_: Elicitation) -> Reply:
        return Reply(action="accept", content={"table": 4})

    async def approve(_: SamplingRequest) -> bool:
        return True

    # --8<-- [start:keys]
    settings = ServingSettings(state_keys=[bytes.fromhex(os.environ["STATE_KEY"])])
    # --8<-- [end:keys]
    with hosted(tool_server([advise], name="café", settings=settings)) as url:
        client = MCPClient(elicitation=answer, sampling=Sampling(model=ScriptedModel(["Rooibos"]), approve=approve))
        async with MCPServer(f"{url}/mcp", client=client) as cafe:
            output = await cafe.call("advise", {}, called("advise"))
            assert text_of(output.content) == "Rooibos at 4"


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
