"""How much somebody may do, counted by all instances together in Redis."""

import logging
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from assistant_kit import Quota, Quotas, Standing, StoreError, guarded
from assistant_kit.protocols.policy import Call
from assistant_kit.protocols.shared_state import Changed, SharedState
from assistant_kit.protocols.user_data import Keeper
from examples.flask_demo.orchestrator.errors import Unauthorized
from examples.flask_demo.orchestrator.settings import LimitSettings

Kind: TypeAlias = Literal["requests", "messages", "uploads", "tool_calls"]

_TOKEN_LIFE: Final = 120.0  # seconds: longer than a token counts
_log = logging.getLogger("web.orchestrator")


class Limits:
    """Counts what users do. `state` is shared by all instances."""

    def __init__(self, limits: LimitSettings, state: SharedState) -> None:
        """Take the limits, and the place where is counted."""
        of: dict[Kind, int] = {
            "requests": limits.requests,
            "messages": limits.messages,
            "uploads": limits.uploads,
            "tool_calls": limits.tool_calls,
        }
        self._state = state
        self._quotas = {
            kind: Quotas(
                Quota(kind, limit=limit, unit="requests", window="minute"), state=state, kinds=("other",), lease=5.0
            )
            for kind, limit in of.items()
        }

    async def count(self, kind: Kind, user: str) -> None:
        """Count something that a user does. Raises QuotaExceeded, with the seconds to wait, and StoreError."""
        await guarded(_done, self._quotas[kind], name=kind, call=Call(name=kind, user=user))

    async def count_reading(self, user: str) -> None:
        """Count a request that reads: without Redis conversations can still be read. Raises QuotaExceeded."""
        try:
            await self.count("requests", user)
        except StoreError as error:
            _log.warning("requests are not counted: %s", type(error).__name__)

    async def use_token(self, jti: str, request: str) -> None:
        """Let a token be used for one request that changes something, and for the same one again.

        Such requests may be repeated without harm. Raises Unauthorized for another one, StoreError.
        """

        def use(before: bytes | None, _now: float) -> Changed[bool]:
            mine = request.encode()
            return Changed(value=before or mine, result=before in (None, mine), keep=_TOKEN_LIFE)

        if not await self._state.update("", f"token/{jti}", use):
            raise Unauthorized("this token was used for another request: get a new one for each")

    async def standing(self, user: str) -> dict[str, Standing]:
        """Return what a user has left. Raises StoreError."""
        return {kind: (await quotas.standing(user=user))[0] for kind, quotas in self._quotas.items()}

    @property
    def keepers(self) -> Sequence[Keeper]:
        """What keeps the counts of users."""
        return tuple(self._quotas.values())


async def _done() -> None:
    """Do nothing: what is asked for is counted, whatever comes of it."""
