"""A turn that a relay runs, how it is to be run, and what is told of its beginning."""

from dataclasses import dataclass, field

import anyio

from assistant_kit.errors import ConfigurationError
from assistant_kit.integrations.streaming.narrator import Narrator
from assistant_kit.integrations.streaming.relayed_session import RelayedSession
from assistant_kit.protocols.event_log import Entry
from assistant_kit.settings import OnBusy


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySettings:
    """How turns are relayed; times are in seconds.

    `every` so often turns are looked for whose worker has died, and `parallel` of them are gone on with at once. How
    soon such a turn is found is the assistant's `LeaseSettings(ttl=…)` and this together. `on_busy` is that of
    `LeaseSettings`, for `start`; None takes the assistant's. When the relay is closed, turns get `closing` to be left
    in order, and their events to be written; events of a turn that is over wait up to `linger` for a log that is down.
    """

    every: float = 2.0
    parallel: int = 8
    on_busy: OnBusy | None = None
    closing: float = 5.0
    linger: float = 60.0

    def __post_init__(self) -> None:
        """Raise ConfigurationError when nothing would ever be done."""
        if not self.every > 0 or self.parallel < 1 or not self.closing >= 0 or not self.linger >= 0:
            raise ConfigurationError(
                "RelaySettings: every is a positive number of seconds, parallel at least 1, the others not negative"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A turn that is under way, or over already.

    `after` is the id to follow the conversation from: the next entry is the `message` of the turn; None when the log
    does not have it (it is down, or it has forgotten the turn): follow without one. `joined` says that a request of
    this id had begun the turn before. `recorded` are the entries of a turn that is over and in the log no more:
    `message`, the text, `complete`.
    """

    request_id: str
    after: int | None
    joined: bool = False
    recorded: tuple[Entry, ...] = ()


@dataclass(slots=True, eq=False)
class Turn:
    """A turn that runs here, or is about to. `request_id` is None for one that was begun before."""

    user: str
    conversation: str
    request_id: str | None
    narrator: Narrator = field(init=False)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    session: RelayedSession | None = None
    reached: anyio.Event = field(default_factory=anyio.Event)
    ready: anyio.Event = field(default_factory=anyio.Event)
    stopped: bool = False
    result: object = None
    error: Exception | None = None

    def reach(self, request_id: str) -> None:
        """Take it that a request is run now."""
        if self.request_id in (None, request_id):
            self.reached.set()

    async def still_held(self) -> None:
        """Raise LeaseLost unless this process holds the conversation."""
        assert self.session is not None  # noqa: S101  (who tells of a turn runs it)
        await self.session.still_held()

    def stop(self) -> None:
        """End it, because the user wants that."""
        self.stopped = True
        self.scope.cancel()
