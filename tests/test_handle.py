"""A conversation in the hands of an application."""

import pytest

from assistant_kit import Assistant
from assistant_kit.errors import ConversationNotFound
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import ScriptedModel
from tests.run.masked_talk import BOB, Talk

pytestmark = pytest.mark.anyio


async def test_a_conversation_tells_of_itself_what_the_list_of_conversations_does() -> None:
    store = MemoryStore()
    assistant = Assistant(ScriptedModel(["a", "b"]), store=store)
    chat = assistant.conversation("c", user="u")
    with pytest.raises(ConversationNotFound):
        await chat.info()
    await store.for_user("u").release(await store.for_user("u").claim("c", owner="w", ttl=1.0))
    assert (await chat.info()).records == 0

    await chat.run("x")
    await chat.rename("A trip")
    await assistant.conversation("d", user="u").run("y")

    _, listed = await assistant.conversations(user="u")
    assert await chat.info() == listed
    assert (listed.title, listed.state, listed.records > 0) == ("A trip", "idle", True)
    with pytest.raises(ConversationNotFound):
        await assistant.conversation("c", user="somebody else").info()


async def test_the_title_is_restored_for_its_reader() -> None:
    talk = Talk("hello")
    await talk.chat.run("hello")
    assert (await talk.chat.info()).title == ""
    await talk.chat.rename(f"About {BOB}")

    assert (await talk.chat.info()).title == f"About {BOB}"
    (listed,) = await talk.assistant.conversations(user="ann")
    assert await talk.chat.info() == listed
    assert (await talk.store.for_user("ann").info("c")).title == "About <EMAIL_1>"


def test_it_tells_so_without_await() -> None:
    assistant = Assistant(ScriptedModel(["a"]), store=MemoryStore())
    chat = assistant.conversation("c", user="u")
    with assistant.sync as sync:
        sync.call(lambda: chat.run("x", request_id="r"))
        assert sync.call(chat.info).conversation == "c"
        (turn,) = sync.call(chat.history)
    assert turn.request_id == "r"
    assert [step.text for step in turn.steps] == ["a"]
