"""Conversations and their messages are a user's own."""

from datetime import UTC
from uuid import UUID, uuid4

import pytest

from examples.todo_chatbot.database import Database
from examples.todo_chatbot.models import Message, Role
from examples.todo_chatbot.services.conversation_service import ConversationService
from examples.todo_chatbot.services.errors import NotFound
from examples.todo_chatbot.services.message_service import MessageService

NOWHERE = (0, -1, 2**31 - 1, 2**31, 2**70)


@pytest.fixture
def conversations(database: Database) -> ConversationService:
    return ConversationService(database)


@pytest.fixture
def messages(database: Database) -> MessageService:
    return MessageService(database)


def say(database: Database, user: UUID, conversation: int, *texts: str) -> None:
    with database.writing() as session:
        for number, text in enumerate(texts):
            role = (Role.USER, Role.ASSISTANT)[number % 2]
            session.add(Message(user_id=user, conversation_id=conversation, role=role, content=text))
            session.flush()  # in this order


def test_conversations_are_listed_page_by_page_the_newest_first(conversations: ConversationService, ada: UUID) -> None:
    begun = [conversations.create(ada) for _ in range(5)]
    assert all(one.created_at.tzinfo == UTC for one in begun)
    assert conversations.list(ada) == tuple(reversed(begun))
    assert conversations.list(ada, limit=2) == (begun[4], begun[3])
    assert conversations.list(ada, limit=2, before=begun[3].id) == (begun[2], begun[1])
    assert conversations.list(ada, before=begun[0].id) == ()
    assert len(conversations.list(ada, before=2**70)) == 5


def test_the_conversation_of_another_user_is_none_at_all(
    conversations: ConversationService, ada: UUID, eve: UUID
) -> None:
    hers = conversations.create(ada)
    for number in (hers.id, *NOWHERE):
        for look in (conversations.get, conversations.delete):
            with pytest.raises(NotFound) as caught:
                look(eve, number)
            assert caught.value.args == (f"there is no conversation {number}",)
    assert conversations.list(eve) == ()
    assert conversations.get(ada, hers.id) == hers


def test_nobody_begins_a_conversation_for_a_user_who_is_gone(conversations: ConversationService) -> None:
    with pytest.raises(NotFound):
        conversations.create(uuid4())


def test_messages_are_read_page_by_page_from_the_end(
    database: Database, conversations: ConversationService, messages: MessageService, ada: UUID
) -> None:
    number = conversations.create(ada).id
    say(database, ada, number, "hello", "Hello.", "add milk", "Added: milk.")
    kept = messages.list(ada, number)
    assert [(one.role, one.content) for one in kept] == [
        (Role.USER, "hello"),
        (Role.ASSISTANT, "Hello."),
        (Role.USER, "add milk"),
        (Role.ASSISTANT, "Added: milk."),
    ]
    assert messages.list(ada, number, limit=1) == kept[3:]
    assert messages.list(ada, number, limit=2, before=kept[3].id) == kept[1:3]
    assert messages.list(ada, number, before=2**70) == kept
    assert messages.list(ada, number, before=-(2**70)) == ()


def test_the_messages_of_another_user_are_not_read(
    database: Database, conversations: ConversationService, messages: MessageService, ada: UUID, eve: UUID
) -> None:
    number = conversations.create(ada).id
    say(database, ada, number, "secret")
    for other in (number, *NOWHERE):
        assert messages.list(eve, other) == ()


def test_a_deleted_conversation_takes_its_messages_and_its_number_with_it(
    database: Database, conversations: ConversationService, messages: MessageService, ada: UUID
) -> None:
    kept, gone = conversations.create(ada).id, conversations.create(ada).id
    for number in (kept, gone):
        say(database, ada, number, "hello")
    conversations.delete(ada, gone)
    with pytest.raises(NotFound):
        conversations.get(ada, gone)
    assert messages.list(ada, gone) == ()
    assert len(messages.list(ada, kept)) == 1
    assert conversations.create(ada).id > gone
