"""The tasks of a user."""

from typing import Annotated

from fastapi import APIRouter, Header
from pydantic import BaseModel, ConfigDict, Field

from examples.todo_chatbot.api.access import Key, Owner, Parts, Storable
from examples.todo_chatbot.api.errors import documented
from examples.todo_chatbot.services.task_service import DESCRIPTION_LIMIT, TITLE_LIMIT, Status, TaskView

router = APIRouter(prefix="/api/{user_id}/tasks", tags=["tasks"], responses=documented(401, 403, 422, 503))
_WITH_BODY = documented(400, 404, 409, 413)

Title = Annotated[Storable, Field(min_length=1, max_length=TITLE_LIMIT)]
Description = Annotated[Storable, Field(max_length=DESCRIPTION_LIMIT)]
RequestKey = Annotated[Key | None, Header(alias="Idempotency-Key")]


class _In(BaseModel):
    """A body in which nothing is passed over: a misspelt field is an error."""

    model_config = ConfigDict(extra="forbid")


class NewTask(_In):
    """A task to be added."""

    title: Title
    description: Description = ""


class WholeTask(_In):
    """A task as it is to be."""

    title: Title
    description: Description = ""
    done: bool = False


class TaskChange(_In):
    """What is to be changed; what is left out stays."""

    title: Title | None = None
    description: Description | None = None
    done: bool | None = None


class Completion(_In):
    """Whether a task is done."""

    done: bool = True


@router.get("")
def list_tasks(user: Owner, parts: Parts, status: Status = "all") -> list[TaskView]:
    """List tasks, the oldest first."""
    return list(parts.tasks.list(user, status))


@router.post("", status_code=201, responses=_WITH_BODY)
def add_task(user: Owner, parts: Parts, new: NewTask, key: RequestKey = None) -> TaskView:
    """Add a task; once under one key."""
    return parts.tasks.add(user, new.title, new.description, request_key=None if key is None else f"api/{key}")


@router.get("/{task_id}", responses=documented(404))
def get_task(user: Owner, parts: Parts, task_id: int) -> TaskView:
    """Return a task."""
    return parts.tasks.get(user, task_id)


@router.put("/{task_id}", responses=_WITH_BODY)
def replace_task(user: Owner, parts: Parts, task_id: int, task: WholeTask) -> TaskView:
    """Replace what a task says."""
    return parts.tasks.update(user, task_id, title=task.title, description=task.description, done=task.done)


@router.patch("/{task_id}", responses=_WITH_BODY)
def change_task(user: Owner, parts: Parts, task_id: int, change: TaskChange) -> TaskView:
    """Change a part of a task."""
    return parts.tasks.update(user, task_id, title=change.title, description=change.description, done=change.done)


@router.patch("/{task_id}/complete", responses=_WITH_BODY)
def complete_task(user: Owner, parts: Parts, task_id: int, completion: Completion | None = None) -> TaskView:
    """Mark a task as done, or as open again."""
    return parts.tasks.complete(user, task_id, done=completion is None or completion.done)


@router.delete("/{task_id}", status_code=204, responses=documented(404))
def delete_task(user: Owner, parts: Parts, task_id: int) -> None:
    """Delete a task."""
    parts.tasks.delete(user, task_id)
