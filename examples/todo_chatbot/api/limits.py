"""How often somebody may ask, counted by all processes together."""

from hashlib import sha256
from uuid import UUID

from assistant_kit import Quota, Quotas, guarded
from assistant_kit.protocols.policy import Call
from assistant_kit.protocols.shared_state import SharedState
from examples.todo_chatbot.settings import LimitSettings


class Limits:
    """Counts requests. Each method raises QuotaExceeded, with the seconds after which to come again, and StoreError."""

    def __init__(self, limits: LimitSettings, state: SharedState) -> None:
        """Take the limits, and the place where is counted."""
        messages = Quota("messages", limit=limits.requests_per_minute, unit="requests", window="minute")
        self._messages = Quotas(messages, state=state, kinds=("other",))
        log_ins = Quota("log-ins", limit=limits.log_ins_per_minute, unit="requests", window="minute")
        self._log_ins = Quotas(log_ins, state=state, kinds=("other",))

    async def message(self, user: UUID) -> None:
        """Count a message to the assistant."""
        await guarded(_counted, self._messages, name="message", call=Call(name="message", user=str(user)))

    async def log_in(self, email: str) -> None:
        """Count an attempt to log in with an e-mail address, known or not."""
        address = sha256(email.strip().lower().encode()).hexdigest()
        await guarded(_counted, self._log_ins, name="log-in", call=Call(name="log-in", user=f"log-in/{address}"))

    async def erase(self, user: UUID) -> None:
        """Forget what a user has sent. Attempts to log in, which are counted by a hash, are forgotten within a day."""
        await self._messages.erase_user(str(user))


async def _counted() -> None:
    """Do nothing: what is asked for is counted, whatever comes of it."""
