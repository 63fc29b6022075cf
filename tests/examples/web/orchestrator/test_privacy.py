"""Private values are nowhere but with their user, and in what they have uploaded."""

import io
import json
import logging
from pathlib import Path

import pytest
from redis.asyncio import Redis

from assistant_kit.messages import text_of as text_of_parts
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.testing.no_leak import assert_no_leak
from assistant_kit.testing.scripted_model import Call, CallTools, Say, ScriptedModel, Step
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
            events = await _logged(valkey_url)
    finally:
        logging.getLogger().handlers[:] = before
        handler.close()
    assert "<EMAIL_1>" in str(model.requests)
    assert "<EMAIL_1>" in events
    for place in (tmp_path / "data", written.getvalue().encode(), events, str(model.requests).encode()):
        assert assert_no_leak(place, SECRETS) > 0


async def _logged(valkey_url: str) -> str:
    """Return the entries of the logs of events."""
    async with Redis.from_url(valkey_url) as redis:  # pyright: ignore[reportUnknownMemberType]  (redis leaves types out)
        keys: list[bytes | str] = await redis.keys("web:events*")  # pyright: ignore[reportUnknownMemberType]  (the same)
        streams = [key for key in keys if await redis.type(key) == b"stream"]
        return repr([await redis.xrange(key) for key in streams])


async def _talk(ann: Person) -> None:
    text = f"Write to {SECRETS[0]} or call {SECRETS[1]}, card {SECRETS[2]}."
    conversation = await ann.begin()
    events = await ann.say(conversation, text)
    assert events[0].data["text"] == text
    assert text_of(events) == events[-1].data["output"] == f"You wrote: {text}"
    shown = await ann.get(f"/conversations/{conversation}")
    assert (shown["turns"][0]["user"]["text"], shown["turns"][0]["text"]) == (text, f"You wrote: {text}")
    assert shown["title"].startswith(f"Write to {SECRETS[0]}")


PEOPLE = f"""# People

The address of Carl is:
{SECRETS[0]}

## Money

He pays with the card
{SECRETS[2]}
and no other.
"""


async def test_an_uploaded_file_is_searched_and_cited_in_clear_and_its_index_has_pseudonyms(
    tmp_path: Path, valkey_url: str
) -> None:
    def cite(request: ModelRequest) -> Step:
        told = request.items[-1]
        assert told.kind == "tool_answer"
        label = json.loads(text_of_parts(told.content).split("\n")[0])["label"]
        return Say(f"You can write to <EMAIL_1>, with <CARD_1> [{label}].")

    model = ScriptedModel([CallTools(Call("search_documents", {"query": "<EMAIL_1>"})), cite])
    async with running(tmp_path / "data", valkey_url, model=model) as world:
        ann = world.person()
        answer = await ann.upload(f"people of {SECRETS[0]}.md", PEOPLE.encode())
        assert answer.status_code == 201, answer.text
        conversation = await ann.begin()
        events = await ann.say(conversation, f"What do you know of {SECRETS[0]}?")
        shown = await ann.get(f"/conversations/{conversation}")
        logged = await _logged(valkey_url)
    for place in (*(tmp_path / "data").glob("web.db*"), logged, str(model.requests)):
        assert_no_leak(place, SECRETS)
    assert b"<EMAIL_1>" in (tmp_path / "data" / "web.db.documents").read_bytes()
    assert "<EMAIL_1>" in logged
    (cited,) = events[-1].data["citations"]
    assert shown["turns"][0]["citations"] == [cited]
    assert cited["title"] == f"people of {SECRETS[0]}.md"
    assert cited["text"] == PEOPLE.strip()
    assert text_of(events).startswith(f"You can write to {SECRETS[0]}, with {SECRETS[2]} [")
