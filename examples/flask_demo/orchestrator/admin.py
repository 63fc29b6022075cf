"""What whoever runs the service may ask: no user's data, and not for the network of users."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import anyio
from anyio import to_thread
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from assistant_kit.observers.prometheus import CONTENT_TYPE
from examples.flask_demo.orchestrator.service import Service
from examples.flask_demo.service_tokens import PUBLISHED

_PATIENCE: Final = 3.0  # seconds for one dependency


def make_admin(service: Service) -> FastAPI:
    """Return the application for operators: /health, /ready, /metrics, and the keys of tokens for tool servers."""
    app = FastAPI(
        title="Orchestrator, for operators",
        openapi_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    asked: Mapping[str, Callable[[], Awaitable[object]]] = {
        "database": lambda: to_thread.run_sync(service.users.ping, abandon_on_cancel=True),
        "redis": service.ping_redis,
    }

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Tell that the process lives."""
        return {"status": "ok"}

    @app.get("/ready", response_model=None)
    async def ready() -> Response:
        """Tell whether requests can be answered, and what is missing."""
        found: dict[str, str] = {"process": "stopping" if service.streams.stopped else "ok"}
        async with anyio.create_task_group() as group:
            for name, ask in asked.items():
                group.start_soon(_ask, name, ask, found)
        well = all(state == "ok" for state in found.values())
        body = {"status": "ok" if well else "unavailable", "dependencies": found}
        return JSONResponse(body, 200 if well else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Return what is counted in this process."""
        text = service.guards.metrics.render() + service.metrics.render()
        return Response(text, media_type=CONTENT_TYPE)

    @app.get(PUBLISHED)
    async def keys() -> dict[str, Any]:
        """Publish the keys by which tool servers check our tokens."""
        return service.keys.published()

    return app


async def _ask(name: str, ask: Callable[[], Awaitable[object]], found: dict[str, str]) -> None:
    """Note how a dependency is; whatever goes wrong with it is told as its state."""
    found[name] = "unavailable"
    with anyio.move_on_after(_PATIENCE):
        try:
            await ask()
        except Exception:  # noqa: BLE001  (any failure of it means that it is not there)
            return
        found[name] = "ok"
