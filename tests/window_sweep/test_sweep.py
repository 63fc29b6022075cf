"""The sweep in small, and that it can fail; `.ci/run` runs it in full."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import anyio
import pytest

from assistant_kit import context_window, conversation, session
from assistant_kit.context_window import Packed, Window
from assistant_kit.entries import Compacted, Measured
from assistant_kit.messages import Part, user_message
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.request_tokens import answer_tokens
from assistant_kit.run import room
from assistant_kit.run.turn import Past
from assistant_kit.run.view_cache import KeptView, ViewCache
from assistant_kit.turns import Turn
from assistant_kit.view import View, view_of
from tests.window_sweep.sweep import COUNTER, Tally, example, nameless, seeds

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Once is enough: nothing here depends on the event loop."""
    return "asyncio"


async def swept(examples: int, *, until_broken: bool = False) -> Tally:
    tally = Tally()
    with anyio.fail_after(120):
        for seed in seeds(7, examples):
            await example(seed, tally)
            if until_broken and tally.violations:
                break
    return tally


async def test_what_requests_show_fits_is_whole_and_begins_like_the_one_before() -> None:
    tally = await swept(60)
    assert tally.violations == []
    assert tally.compactions > 10


def test_only_the_names_of_turns_in_progress_are_left_out_when_requests_are_compared() -> None:
    def cleared(turn: str) -> str:
        return nameless([user_message(f'read_result("{turn}/1.0")')])

    of_the_past, in_progress = "0" * 28 + "12ab", "0000" + "1f" * 14
    assert cleared(in_progress) == cleared("ab" * 16) != cleared(of_the_past)


def _without_a_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """The window is believed to be twice as large as it is."""
    monkeypatch.setattr(Window, "budget", property(lambda self: 2 * self._settings.budget))


def _one_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The window is believed to have room for one token more than it has."""
    monkeypatch.setattr(Window, "budget", property(lambda self: self._settings.budget + 1))


def _counted_too_low(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer of a tool is counted one token too low when it is recorded."""

    def too_low(tool: str, content: Sequence[Part], counter: TokenCounter) -> int:
        return answer_tokens(tool, content, counter) - 1

    monkeypatch.setattr(conversation, "answer_tokens", too_low)


def _sliding(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left out is decided anew in each request, and not recorded."""

    async def make_room(run: Any, key: str, step: int, *extra: Any) -> None:
        del key, step
        space = run.about.window.room(run.overhead)
        turns = list(run.past.view.turns)
        while turns and sum(turn.tokens for turn in turns) + run.shown(*extra).tokens > space:
            turns.pop(0)
        run.past = replace(run.past, view=view_of(turns, COUNTER))

    monkeypatch.setattr("assistant_kit.run.loop.make_room", make_room)


def _fickle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tool that reads results again leaves when there is none to read, and comes back with the next one."""
    compacted = room.compacted

    def forgetting(past: Past, *about: Any, **more: Any) -> Compacted:
        return compacted(replace(past, view=replace(past.view, refers=False)), *about, **more)

    monkeypatch.setattr(room, "compacted", forgetting)


def _parted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that is cleared takes its call with it."""

    def pack(self: Window, overhead: Any, view: View, current: Turn) -> Packed:
        packed = packing(self, overhead, view, current)
        items = tuple(item for item in packed.items if item.kind != "tool_call")
        return replace(packed, items=items)

    packing = context_window.Window.pack
    monkeypatch.setattr(Window, "pack", pack)


def _backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns are shown the newest first."""

    def backwards(turns: Sequence[Turn], *more: Any, **named: Any) -> View:
        return view_of(turns[::-1], *more, **named)

    monkeypatch.setattr(session, "view_of", backwards)


def _stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker remembers is believed, whoever has written meanwhile."""

    def take(self: ViewCache, user: str, conversation: str, **_: Any) -> KeptView | None:
        return self._kept.pop((user, conversation), None)  # pyright: ignore[reportPrivateUsage]

    monkeypatch.setattr(ViewCache, "take", take)

    def stands(self: KeptView, fence: int) -> bool:
        del self, fence
        return True

    monkeypatch.setattr(KeptView, "stands", stands)


def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who goes on with a turn after a crash has read less of what was said before."""
    past = session.Session.past

    async def less(self: session.Session, before: int, *, recorded: Sequence[Measured] = (), **more: Any) -> Past:
        found = await past(self, before, recorded=recorded, **more)
        view = view_of(found.view.turns[1:], COUNTER, compacted=found.view.compacted, cut=found.view.cut)
        return replace(found, view=view) if recorded else found

    monkeypatch.setattr(session.Session, "past", less)


@pytest.mark.parametrize(
    "plant",
    [_without_a_ceiling, _one_too_many, _counted_too_low, _sliding, _fickle, _parted, _backwards, _stale, _forgetful],
)
async def test_a_planted_bug_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    assert (await swept(200, until_broken=True)).violations
