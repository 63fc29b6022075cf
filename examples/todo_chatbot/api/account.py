"""The account of a user as a whole."""

from anyio import to_thread
from fastapi import APIRouter

from examples.todo_chatbot.api.access import Owner, Parts
from examples.todo_chatbot.api.errors import documented

router = APIRouter(prefix="/api/{user_id}", tags=["account"], responses=documented(401, 403, 422, 503))


@router.delete("", status_code=204, responses=documented(404))
async def delete_user(user: Owner, parts: Parts) -> None:
    """Erase all that is kept of a user. What fails half-way is finished by asking again."""
    await parts.assistant.erase_user(str(user))
    await to_thread.run_sync(parts.users.delete, user)
    await parts.assistant.erase_user(str(user))  # a message that came in between; from now on none can
    await parts.limits.erase(user)
