"""The code of docs/streaming.md."""

import anyio
import httpx2
import pytest

from assistant_kit import Assistant
from assistant_kit.event_logs.memory import MemoryEventLog
from assistant_kit.integrations.streaming import sse
from assistant_kit.testing.scripted_model import ScriptedModel
from examples.docs.streaming import applied, main, pass_on, web

pytestmark = pytest.mark.anyio


async def test_a_talk_ends_with_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    with anyio.fail_after(10):
        await main()

    assert capsys.readouterr().out == "Yes, and wind.\n"


async def test_the_web_application_streams() -> None:
    with ScriptedModel(["Yes, and wind."]) as model, anyio.fail_after(20):
        log = MemoryEventLog()
        app = web(Assistant(model, store="memory:"), log)
        transport = httpx2.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url="http://x") as http,
        ):
            begun = await http.post("/c1", content="Rain in Oslo?", headers={"Idempotency-Key": "m1"})
            reader = log.for_user("ann").follow("c1")
            text = ""
            found = list(await reader.next())
            while found[-1].name != "complete":
                found += await reader.next()
            for entry in found:
                text = applied(text, entry)
            stopped = await http.post("/c1/stop")

    assert (begun.status_code, stopped.status_code) == (202, 202)
    assert begun.json() == {"request_id": "m1", "last_event_id": found[0].id - 1}
    assert text == "Yes, and wind."
    assert pass_on([b"".join(map(sse.written, found))], sse.Parser()) == found
