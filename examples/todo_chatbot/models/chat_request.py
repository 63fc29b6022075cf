"""Messages to the assistant that came with an idempotency key."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Field, SQLModel

from examples.todo_chatbot.models.columns import UTCDateTime, now


class ChatRequest(SQLModel, table=True):
    """A message under a key, and its conversation, which stays noted when that is deleted: it is not begun anew."""

    __tablename__ = "chat_request"  # pyright: ignore[reportAssignmentType]  (as SQLModel means it)

    user_id: UUID = Field(foreign_key="user.id", primary_key=True, ondelete="CASCADE")
    request_key: str = Field(primary_key=True, max_length=200)
    digest: str = Field(max_length=64)
    conversation_id: int
    created_at: datetime = Field(default_factory=now, sa_type=UTCDateTime)
