"""Private values are nowhere but with their user, and in what they have uploaded."""

import io
import logging
from pathlib import Path

import pytest
from redis.asyncio import Redis

from assistant_kit.protocols.model import ModelRequest
from assistant_kit.testing.no_leak import assert_no_leak
from assistant_kit.testing.scripted_model import Say, ScriptedModel, Step
from examples.flask_demo.orchestrator.logging import set_up_logging
from tests.examples.web.orchestrator.world import Person, running, text_of

pytestmark = pytest.mark.anyio
SECRETS = ("carl.jones@example.org", "+49 170 1234567", "4111 1111 1111 1111")


async def test_what_is_stored_logged_and_sent_has_pseudonyms_and_the_user_sees_values(
    tmp_path: Path, valkey_url: str
) -> None:
    def repeat(request: ModelRequest) -> Step:
        said = request.items[-1]
        assert said.kind == "user"
        (part,) = said.content
        assert part.kind == "text"
        text = f"You wrote: {part.text}"
        return Say(text, pieces=[text[at : at + 7] for at in range(0, len(text), 7)])

    written, before = io.StringIO(), logging.getLogger().handlers[:]
    handler = set_up_logging("debug", written)
    try:
        model = ScriptedModel([repeat])
        async with running(tmp_path / "data", valkey_url, model=model) as world:
            ann = world.person()
            await _talk(ann)
            async with Redis.from_url(valkey_url) as redis:  # pyright: ignore[reportUnknownMemberType]  (the same)
                keys: list[bytes | str] = await redis.keys("web:events*")  # pyright: ignore[reportUnknownMemberType]  (redis leaves types out)
                events = [await redis.dump(key) or b"" for key in keys]
    finally:
        logging.getLogger().handlers[:] = before
        handler.close()
    assert "<EMAIL_1>" in str(model.requests)
    for place in (tmp_path / "data", written.getvalue().encode(), b"".join(events), str(model.requests).encode()):
        assert assert_no_leak(place, SECRETS) > 0


async def _talk(ann: Person) -> None:
    text = f"Write to {SECRETS[0]} or call {SECRETS[1]}, card {SECRETS[2]}."
    conversation = await ann.begin()
    events = await ann.say(conversation, text)
    assert events[0].data["text"] == text
    assert text_of(events) == events[-1].data["output"] == f"You wrote: {text}"
    shown = await ann.get(f"/conversations/{conversation}")
    assert (shown["turns"][0]["user"]["text"], shown["turns"][0]["text"]) == (text, f"You wrote: {text}")
    assert shown["title"].startswith(f"Write to {SECRETS[0]}")
