"""Lists of conversations and messages, and what becomes of them when they are deleted."""

import pytest
from dirty_equals import IsDatetime, IsInt

from assistant_kit import ConversationNotFound
from tests.examples.todo.service import Person, Running

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def talker(service: Running) -> Person:
    """Somebody with three conversations, of which the first one is long."""
    person = await service.person()
    first = (await person.chat("hello"))["conversation_id"]
    for _ in range(2):
        await person.chat("hello")
    for _ in range(2):
        await person.chat("thanks", first)
    return person


def _moment() -> IsDatetime:
    return IsDatetime(iso_string=True)


async def test_conversations_have_their_moments(talker: Person) -> None:
    listed = await talker.get("/conversations")
    assert listed == [{"id": IsInt, "created_at": _moment(), "updated_at": _moment()}] * 3
    assert listed[-1]["updated_at"] > listed[0]["updated_at"]  # the last message was said in the first one


async def test_conversations_come_in_pages(talker: Person) -> None:
    numbers = [one["id"] for one in await talker.get("/conversations")]
    assert [one["id"] for one in await talker.get("/conversations?limit=2")] == numbers[:2]
    assert [one["id"] for one in await talker.get(f"/conversations?limit=2&before={numbers[1]}")] == numbers[2:]
    assert await talker.get(f"/conversations?before={10**30}") == await talker.get("/conversations")


async def test_messages_come_in_pages_the_newest_first_page(talker: Person) -> None:
    number = (await talker.get("/conversations"))[-1]["id"]
    whole = await talker.get(f"/conversations/{number}/messages")
    assert whole[0] == {"id": IsInt, "role": "user", "content": "hello", "created_at": _moment()}
    assert [one["role"] for one in whole] == ["user", "assistant"] * 3
    assert await talker.get(f"/conversations/{number}/messages?limit=4") == whole[2:]
    assert await talker.get(f"/conversations/{number}/messages?limit=4&before={whole[2]['id']}") == whole[:2]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "before=0", "before=-1"])
async def test_a_page_that_cannot_be_is_invalid(talker: Person, query: str) -> None:
    answer = await talker.ask("GET", f"/conversations?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")


async def test_a_deleted_conversation_is_gone_with_all_that_was_said(service: Running, ann: Person) -> None:
    number, other = [(await ann.chat("hello"))["conversation_id"] for _ in range(2)]
    answer = await ann.ask("DELETE", f"/conversations/{number}")
    assert (answer.status_code, answer.content) == (204, b"")
    for method, path in (("GET", f"/{number}/messages"), ("DELETE", f"/{number}")):
        answer = await ann.ask(method, f"/conversations{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert [one["id"] for one in await ann.get("/conversations")] == [other]
    with pytest.raises(ConversationNotFound):
        await service.parts.assistant.conversation(str(number), user=ann.id).history()
