"""What pages ask of the orchestrator: an answer, or a problem that a page tells."""

from collections.abc import Mapping
from typing import Any

from examples.flask_demo.frontend.orchestrator_client import Unavailable, orchestrator

JsonObject = dict[str, Any]


class Problem(Exception):
    """A request of a page cannot be met; `status` is that of HTTP."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(message)
        self.status: int = status
        self.message: str = message


def asked(
    user: str, method: str, path: str, body: JsonObject | None = None, headers: Mapping[str, str] | None = None
) -> JsonObject:
    """Return what the orchestrator answers under /api/v1. Raises Problem."""
    try:
        answer = orchestrator().call(user, method, f"/api/v1{path}", json=body, headers=headers)
    except Unavailable as error:
        raise Problem(503) from error
    if answer.status >= 400:  # noqa: PLR2004  (HTTP)
        raise Problem(answer.status, str(answer.data.get("error", {}).get("message", "")))
    return answer.data
