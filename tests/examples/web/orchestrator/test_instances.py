"""Two orchestrators on one store and one Redis."""

from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from examples.flask_demo.orchestrator.audit import verify_users
from examples.flask_demo.orchestrator.databases import Databases
from tests.examples.web.orchestrator.world import Person, Sent, front_end, orchestrator, settings_in, text_of

pytestmark = pytest.mark.anyio
COUNTED = " ".join(map(str, range(1, 81)))


async def test_an_answer_is_read_and_stopped_at_the_other_instance(tmp_path: Path, valkey_url: str) -> None:
    async with AsyncExitStack() as stack:
        jwks = await stack.enter_async_context(front_end())
        settings = settings_in(tmp_path, valkey_url, jwks)
        one, other = [await stack.enter_async_context(orchestrator(settings)) for _ in range(2)]
        here = one.person()
        there = Person(id=here.id, http=other.http)
        conversation = await here.begin()
        sent = await here.send(conversation, "count to 80", key="a")
        read: list[Sent] = []
        with anyio.fail_after(20):
            async with there.follow(conversation, sent["last_event_id"]) as events:
                async for event in events:
                    read.append(event)
                    if event.name == "complete":
                        break
        assert text_of(read) == COUNTED
        assert text_of(await there.say(conversation, "count to 80", key="a")) == COUNTED  # the same message
        sent = await here.send(conversation, "count to 500")
        with anyio.fail_after(20):
            async with there.follow(conversation, sent["last_event_id"]) as events:
                async for event in events:
                    if event.name == "token":
                        await there.ask("POST", f"/conversations/{conversation}/stop")
                    if event.name == "complete":
                        assert event.data["status"] == "cancelled"
                        break


async def test_what_an_instance_leaves_when_it_ends_the_other_one_finishes(tmp_path: Path, valkey_url: str) -> None:
    async with AsyncExitStack() as stack:
        jwks = await stack.enter_async_context(front_end())
        settings = settings_in(tmp_path, valkey_url, jwks)
        other = await stack.enter_async_context(orchestrator(settings))
        async with orchestrator(settings) as one:
            here = one.person()
            conversation = await here.begin()
            sent = await here.send(conversation, "count to 80")
            with anyio.fail_after(20):
                async with here.follow(conversation, sent["last_event_id"]) as events:
                    async for event in events:
                        if event.name == "token":
                            break
        there = Person(id=here.id, http=other.http)
        read: list[Sent] = []
        with anyio.fail_after(30):
            async with there.follow(conversation, sent["last_event_id"]) as events:
                async for event in events:
                    read.append(event)
                    if event.name == "complete":
                        break
        assert text_of(read) == COUNTED
        (turn,) = (await there.get(f"/conversations/{conversation}"))["turns"]
        assert (turn["text"], turn["status"]) == (COUNTED, "completed")
    out = (tmp_path / "report").open("w")
    assert await verify_users(Databases.at(settings.database_url).kept(), None, out)
    out.close()
