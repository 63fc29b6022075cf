"""What there is to do."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Text
from sqlmodel import Field, SQLModel

from examples.todo_chatbot.models.columns import UTCDateTime, now


class Task(SQLModel, table=True):
    """One thing to do."""

    id: int | None = Field(default=None, primary_key=True)
    user_id: UUID = Field(foreign_key="user.id", index=True, ondelete="CASCADE")
    title: str = Field(max_length=200)
    description: str = Field(default="", max_length=2000)
    done: bool = Field(default=False)
    created_at: datetime = Field(default_factory=now, sa_type=UTCDateTime)
    updated_at: datetime = Field(default_factory=now, sa_type=UTCDateTime)


class TaskRequest(SQLModel, table=True):
    """A change that was made under an idempotency key: `digest` stands for what was asked, `result` is the answer."""

    __tablename__ = "task_request"  # pyright: ignore[reportAssignmentType]  (as SQLModel means it)

    user_id: UUID = Field(foreign_key="user.id", primary_key=True, ondelete="CASCADE")
    request_key: str = Field(primary_key=True, max_length=200)
    digest: str = Field(max_length=64)
    result: str = Field(sa_type=Text)
    created_at: datetime = Field(default_factory=now, sa_type=UTCDateTime, index=True)
