"""What a user has used, and all that is kept of them: to take along, or to erase."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from examples.flask_demo.orchestrator.access import Parts, Reader, Writer
from examples.flask_demo.orchestrator.errors import documented

router = APIRouter(prefix="/api/v1", tags=["account"], responses=documented(401, 429, 503))


@router.get("/usage")
async def usage(user: Reader, parts: Parts) -> dict[str, Any]:
    """Tell what the user has used of the model today, and of what a minute allows."""
    standings = {one.name: one for one in await parts.guards.quotas.standing(user=user)}
    minutes = await parts.limits.standing(user)
    cost = standings.get("cost")
    return {
        "requests": standings["model requests"].used,
        "tokens": standings["tokens"].used,
        "cost_usd": 0.0 if cost is None else cost.used / 1e9,
        "limits": {
            one.name.replace(" ", "_"): {
                "limit": one.limit,
                "used": one.used,
                "left": one.left,
                "resets_in": round(one.resets_in),
                "unit": one.unit,
            }
            for one in (*standings.values(), *minutes.values())
        },
    }


@router.get("/export", response_class=StreamingResponse)
async def export(user: Reader, parts: Parts) -> StreamingResponse:
    """Return all that is kept of the user, as JSON lines."""
    return StreamingResponse(
        (line.encode() async for line in parts.assistant.export_user(user)),
        media_type="application/x-ndjson",
        headers={"Content-Disposition": 'attachment; filename="export.jsonl"', "Cache-Control": "no-store"},
    )


@router.delete("/user", status_code=204)
async def erase(user: Writer, parts: Parts) -> None:
    """Erase all that is kept of the user. May be repeated when it fails half-way."""
    await parts.erase(user)
