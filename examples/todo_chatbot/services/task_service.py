"""The one place where tasks are read and changed. A task of another user is the same as one that does not exist."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel
from sqlmodel import Session, col, delete, select

from examples.todo_chatbot.database import Database
from examples.todo_chatbot.models import Task, TaskRequest
from examples.todo_chatbot.models.columns import is_id, now
from examples.todo_chatbot.services.errors import Conflict, Invalid, NotFound
from examples.todo_chatbot.services.texts import checked

TITLE_LIMIT = 200  # characters
DESCRIPTION_LIMIT = 2_000
KEY_LIMIT = 200
KEPT = timedelta(days=2)  # how long a repeated key is known: longer than anybody repeats a call

Status: TypeAlias = Literal["all", "open", "done"]


class TaskView(BaseModel):
    """A task as it is shown. Times are ISO 8601 in UTC."""

    id: int
    title: str
    description: str
    done: bool
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class _Change:
    """A change as it was asked for: what stands for it under its key."""

    what: str
    arguments: dict[str, Any]

    @property
    def digest(self) -> str:
        return sha256(json.dumps([self.what, self.arguments], sort_keys=True).encode()).hexdigest()


class TaskService:
    """Each method is one transaction and may run in any thread.

    With a `request_key` a change is made once for a user and key: the same call again gives the first answer and
    changes nothing; another call under the key raises Conflict.
    """

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    def add(self, user: UUID, title: str, description: str = "", *, request_key: str | None = None) -> TaskView:
        """Add a task. Raises Invalid, Conflict."""
        title, description = _title(title), _description(description)

        def make(session: Session) -> TaskView:
            task = Task(user_id=user, title=title, description=description)
            session.add(task)
            session.flush()
            return _view(task)

        return self._once(user, request_key, _Change("add", {"title": title, "description": description}), make)

    def list(self, user: UUID, status: Status = "all") -> tuple[TaskView, ...]:
        """Return a user's tasks, the oldest first."""
        query = select(Task).where(Task.user_id == user).order_by(col(Task.id))
        if status != "all":
            query = query.where(col(Task.done) == (status == "done"))
        with self._database.reading() as session:
            return tuple(_view(task) for task in session.exec(query))

    def get(self, user: UUID, task_id: int) -> TaskView:
        """Return a task. Raises NotFound."""
        with self._database.reading() as session:
            return _view(_task(session, user, task_id))

    def complete(self, user: UUID, task_id: int, *, done: bool = True, request_key: str | None = None) -> TaskView:
        """Mark a task as done, or as open again. Raises NotFound, Conflict."""
        return self._changed(user, task_id, {"done": done}, request_key)

    def update(
        self,
        user: UUID,
        task_id: int,
        *,
        title: str | None = None,
        description: str | None = None,
        done: bool | None = None,
        request_key: str | None = None,
    ) -> TaskView:
        """Change what is given and leave the rest. Raises NotFound, Invalid, Conflict."""
        changes: dict[str, Any] = {} if title is None else {"title": _title(title)}
        if description is not None:
            changes["description"] = _description(description)
        if done is not None:
            changes["done"] = done
        if not changes:
            raise Invalid("nothing to change: give a new title or a new description")
        return self._changed(user, task_id, changes, request_key)

    def delete(self, user: UUID, task_id: int, *, request_key: str | None = None) -> TaskView:
        """Delete a task and return what it was. Raises NotFound, Conflict."""

        def make(session: Session) -> TaskView:
            task = _task(session, user, task_id, change=True)
            session.delete(task)
            return _view(task)

        return self._once(user, request_key, _Change("delete", {"id": task_id}), make)

    def _changed(self, user: UUID, task_id: int, changes: dict[str, Any], request_key: str | None) -> TaskView:
        def make(session: Session) -> TaskView:
            task = _task(session, user, task_id, change=True)
            task.sqlmodel_update({**changes, "updated_at": now()})
            session.add(task)
            return _view(task)

        return self._once(user, request_key, _Change("change", {"id": task_id, **changes}), make)

    def _once(
        self, user: UUID, request_key: str | None, change: _Change, make: Callable[[Session], TaskView]
    ) -> TaskView:
        """Make a change in one transaction with the note that it was made."""
        if request_key is None:
            with self._database.writing() as session:
                return make(session)
        key = checked(request_key, "idempotency key", KEY_LIMIT)
        with self._database.writing() as session:
            self._database.lock(session, f"task_request/{user}/{key}")
            known = session.get(TaskRequest, (user, key))
            if known is not None:
                if known.digest != change.digest:
                    raise Conflict("this idempotency key belongs to another change: give a new one")
                return TaskView.model_validate_json(known.result)
            session.exec(
                delete(TaskRequest).where(col(TaskRequest.user_id) == user, col(TaskRequest.created_at) < now() - KEPT)
            )
            view = make(session)
            session.add(TaskRequest(user_id=user, request_key=key, digest=change.digest, result=view.model_dump_json()))
            return view


def _task(session: Session, user: UUID, task_id: int, *, change: bool = False) -> Task:
    query = select(Task).where(Task.id == task_id, Task.user_id == user)
    task = session.exec(query.with_for_update() if change else query).first() if is_id(task_id) else None
    if task is None:
        raise NotFound(f"there is no task {task_id}")
    return task


def _view(task: Task) -> TaskView:
    assert task.id is not None  # noqa: S101  (it is stored)
    return TaskView(
        id=task.id,
        title=task.title,
        description=task.description,
        done=task.done,
        created_at=task.created_at.isoformat(timespec="seconds"),
        updated_at=task.updated_at.isoformat(timespec="seconds"),
    )


def _title(text: str) -> str:
    title = " ".join(text.split())
    if not title:
        raise Invalid("a task needs a title")
    return checked(title, "title", TITLE_LIMIT)


def _description(text: str) -> str:
    return checked(text.replace("\r\n", "\n").strip(), "description", DESCRIPTION_LIMIT)
