"""What goes wrong in a drill, and what puts it right again."""

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

from playwright.sync_api import Locator, expect

from tests.examples.web.system import System, last_asked
from tests.examples.web.whole.visit import Visit
from tests.openai_server import Answer, Call, Cut, Hang, OpenAIServer, Paced, Reply, Request, Status

WORDS = " ".join(f"word{number}" for number in range(1, 41))
USUAL = Paced(0.05, Answer(WORDS, pieces=40))
"""Two seconds."""
SLOW = Paced(0.2, Answer(WORDS, pieces=40))
"""Eight seconds, so that something can happen in mid-answer."""


class Provider:
    """A model whose next replies are told; then it answers as usual."""

    def __init__(self) -> None:
        """Begin with the usual answer."""
        self._next: list[Reply] = []
        self._lock = Lock()
        self.always: Reply | None = None

    def reply(self, request: Request) -> Reply:
        """Return what comes now."""
        del request
        with self._lock:
            if self.always is not None:
                return self.always
            return self._next.pop(0) if self._next else USUAL

    def then(self, *replies: Reply, always: Reply | None = None) -> None:
        """Say what the next replies are; or what all are."""
        with self._lock:
            self._next = list(replies)
            self.always = always


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a drill takes place."""

    system: System
    provider: Provider
    server: OpenAIServer
    visit: Visit


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong. `happen` is called when the message was sent, `mend` when its effect was seen.

    `wanted` are the ends of the turn that are right; `says` is a part of what the page has to say meanwhile.
    """

    name: str
    prepare: Callable[[Place], None]
    happen: Callable[[Place, Locator], None]
    mend: Callable[[Place], None]
    wanted: Sequence[str] = ("completed",)
    says: str = ""


def nothing(*_: object) -> None:
    """Do nothing."""


def _replies(*replies: Reply, always: Reply | None = None) -> Callable[[Place], None]:
    return lambda place: place.provider.then(*replies, always=always)


def _well_again(place: Place) -> None:
    place.provider.then()


def _stop(place: Place, turn: Locator) -> None:
    place.visit.page.wait_for_timeout(1_500)
    expect(turn).to_have_attribute("data-status", "running")
    place.visit.page.get_by_role("button", name="Stop").click()


def _begun(turn: Locator) -> None:
    expect(turn.locator(".answer")).to_contain_text("word3")


def _ended(place: Place, name: str) -> None:
    child = place.system.children[name]
    patience_ends = time.monotonic() + 30
    while not child.has_ended and time.monotonic() < patience_ends:
        time.sleep(0.02)


def _kill(name: str) -> Callable[[Place], None]:
    def kill(place: Place) -> None:
        place.system.children[name].signal(signal.SIGKILL)
        _ended(place, name)

    return kill


def _in_mid_answer(break_it: Callable[[Place], None], *, away: float = 2.0) -> Callable[[Place, Locator], None]:
    """Break something while an answer comes, and mend it after so many seconds."""

    def happen(place: Place, turn: Locator) -> None:
        _begun(turn)
        break_it(place)
        place.visit.page.wait_for_timeout(away * 1_000)
        _start_again(place)

    return happen


def _start_again(place: Place) -> None:
    place.system.children.mend(nothing)
    for child in place.system.children:
        child.wait()


def _restart_postgres(place: Place) -> None:
    place.system.children["postgres"].signal(signal.SIGINT)
    _ended(place, "postgres")


def _stop_redis(place: Place) -> None:
    place.system.children["redis"].signal(signal.SIGTERM)
    _ended(place, "redis")


def _kill_whoever_answers(place: Place) -> None:
    _kill(last_asked(place.system))(place)


def _without_calendar(place: Place) -> None:
    _kill("calendar")(place)
    place.provider.then(_ASK_FOR_THE_TIME)


_CUT = Cut(12, Answer(WORDS, pieces=40))
_ASK_FOR_THE_TIME = Answer(tool_calls=(Call("current_time", {"place": "Oslo"}),))

FAULTS: Sequence[Fault] = (
    Fault(name="nothing", prepare=_replies(), happen=nothing, mend=nothing),
    Fault(
        name="provider: 429 once",
        prepare=_replies(Status(429, headers={"retry-after": "1"})),
        happen=nothing,
        mend=_well_again,
        says="tried again",
    ),
    Fault(
        name="provider: 500 for ever",
        prepare=_replies(always=Status(500)),
        happen=nothing,
        mend=_well_again,
        wanted=("failed",),
        says="could not be finished",
    ),
    Fault(
        name="provider: silence, and Stop",
        prepare=_replies(always=Hang(60.0)),
        happen=_stop,
        mend=_well_again,
        wanted=("cancelled",),
        says="Stopped",
    ),
    Fault(
        name="provider: cut in mid-answer",
        prepare=_replies(_CUT),
        happen=nothing,
        mend=_well_again,
        says="tried again",
    ),
    Fault(
        name="provider: cut each time",
        prepare=_replies(always=_CUT),
        happen=nothing,
        mend=_well_again,
        wanted=("failed",),
        says="could not be finished",
    ),
    Fault(
        name="tool server: down",
        prepare=_without_calendar,
        happen=nothing,
        mend=_start_again,
        says="current_time: failed",
    ),
    Fault(
        name="Redis: down for two seconds",
        prepare=_replies(SLOW),
        happen=_in_mid_answer(_stop_redis),
        mend=_start_again,
        says="cannot be reached",
    ),
    Fault(
        name="Postgres: restarted",
        prepare=_replies(SLOW),
        happen=_in_mid_answer(_restart_postgres, away=0.5),
        mend=_start_again,
    ),
    Fault(
        name="orchestrator: kill -9",
        prepare=_replies(SLOW),
        happen=_in_mid_answer(_kill_whoever_answers, away=0.0),
        mend=_start_again,
    ),
)
