"""Conversations of users with the assistant."""

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlmodel import Field, Relationship, SQLModel

from examples.todo_chatbot.models.columns import UTCDateTime, now

if TYPE_CHECKING:
    from examples.todo_chatbot.models.message import Message
    from examples.todo_chatbot.models.user import User


class Conversation(SQLModel, table=True):
    """A conversation. Its journal is that of the assistant's store, under the same number."""

    id: int | None = Field(default=None, primary_key=True)
    user_id: UUID = Field(foreign_key="user.id", index=True, ondelete="CASCADE")
    created_at: datetime = Field(default_factory=now, sa_type=UTCDateTime)
    updated_at: datetime = Field(default_factory=now, sa_type=UTCDateTime)

    user: "User" = Relationship(back_populates="conversations")
    messages: list["Message"] = Relationship(back_populates="conversation", cascade_delete=True)
