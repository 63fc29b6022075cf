"""Makes room by letting a model sum up the oldest turns, and in time its summaries."""

import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace

from assistant_kit.compaction_rules import SUMMARIES, keep_newest, summaries_tokens
from assistant_kit.compactors._digest import Digest, Sizes, Unusable
from assistant_kit.compactors._transcript import Portion, Portions, text_lines
from assistant_kit.entries import Summary
from assistant_kit.errors import ConfigurationError
from assistant_kit.protocols.compactor import Compaction, Crowded
from assistant_kit.protocols.model import Model
from assistant_kit.request_tokens import PART
from assistant_kit.settings import ModelSettings
from assistant_kit.turns import Turn

SUMMARIZED = "summarize the oldest turns"
NOT_SUMMARIZED = "drop the oldest turns, as there is no summary"
MAX_INPUT = 32_000
"""Tokens of a request for a summary, unless the window is smaller: more would lose too much in one summary."""

_SHARES = 4  # summaries that the room for them holds at least
_SMALLEST_ROOM = 96  # tokens, the line above it included: in a very small window it holds fewer
_SHORTEST = 16  # tokens of a text that can say anything

_log = logging.getLogger("assistant_kit.run")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    keep_turns: int | None
    max_summary_tokens: int
    fan_in: int
    max_input_tokens: int
    model: ModelSettings


class Summarize:
    """Lets a model sum up the turns that leave the window.

    Each compaction adds a summary of level 0. When `fan_in` of one level stand beside each other they are summed up
    into one of the next level. So the number of summaries grows with the logarithm of the conversation, each turn is
    summed up as often, and the other summaries stay the same to the byte.

    When there is no usable summary, the oldest turns are dropped, as `DropOldest` would, and a warning is logged.
    """

    in_background = True

    def __init__(
        self,
        model: Model | None = None,
        *,
        keep_turns: int | None = None,
        max_summary_tokens: int = 512,
        fan_in: int = 4,
        max_input_tokens: int = MAX_INPUT,
        settings: ModelSettings | None = None,
    ) -> None:
        """Ask `model`, which stays the caller's to close; None: the assistant's own. Sizes are in tokens.

        The newest `keep_turns` turns at most stay word for word (None: as many as fit). A summary has at most
        `max_summary_tokens`, and less in a small window: all together take a quarter of the room. A request for one
        has at most `max_input_tokens`, and no more than the window's limit. `settings` says how the model is asked;
        its `max_output_tokens` is `max_summary_tokens` if not set, and has to be larger for models whose reasoning
        counts. Raises ConfigurationError.
        """
        if fan_in <= 1 or max_summary_tokens < _SHORTEST or (keep_turns is not None and keep_turns < 0):
            raise ConfigurationError(
                f"Summarize: fan_in is at least 2, max_summary_tokens at least {_SHORTEST}, keep_turns not negative"
            )
        self._model = model
        self._settings = _Settings(
            keep_turns=keep_turns,
            max_summary_tokens=max_summary_tokens,
            fan_in=fan_in,
            max_input_tokens=max_input_tokens,
            model=settings or ModelSettings(),
        )

    async def compact(self, window: Crowded) -> Compaction | None:
        """Return what is shown; None when everything fits, earlier turns too. Raises what `earlier` raises."""
        work = _Work(self._settings, self._model or window.model, window)
        try:
            return await work.done()
        except Unusable as failure:
            _log.warning("the oldest turns are dropped without a summary: %s", failure.problem)
            return work.dropped()


class _Work:
    """One compaction."""

    def __init__(self, settings: _Settings, model: Model, window: Crowded) -> None:
        self._window = window
        self._fan_in = settings.fan_in
        self._keep_turns = settings.keep_turns
        self._share = window.target // SUMMARIES
        heading = summaries_tokens((Summary(text="", first=0, last=0),), window.counter) + PART
        each = max(self._share // _SHARES, min(self._share, _SMALLEST_ROOM))
        text = min(settings.max_summary_tokens, each - heading)
        self._one = heading + text
        self._too_small = text < _SHORTEST
        self._digest = Digest(
            model,
            window.counter,
            settings=settings.model,
            sizes=Sizes(summary=text, request=min(settings.max_input_tokens, window.limit)),
            deadline=window.deadline,
        )
        self._portions = Portions(self._digest.input_tokens, window.counter)
        self._summaries: list[Summary] = list(window.summaries)
        self._earlier = 0
        self._done = 0

    async def done(self) -> Compaction | None:
        """Return what is shown from now on. Raises Unusable."""
        window = self._window
        await self._take_earlier()
        keep = await self._keep()
        leaving, kept = window.turns[: len(window.turns) - keep], window.turns[len(window.turns) - keep :]
        for turn in leaving:
            await self._take(turn)
        await self._sum_up(self._portions.rest(before=kept[0].seq if kept else None))
        if not leaving and self._summaries == list(window.summaries):
            return None
        above = _tokens_of(kept) > window.target - self._one  # the newest turn alone can be
        await self._shrink(min(self._share, (window.limit if above else window.target) - _tokens_of(kept)))
        return self._made(Compaction(keep=keep, summaries=tuple(self._summaries), strategy=SUMMARIZED))

    def dropped(self) -> Compaction:
        """Return what is shown when there is no summary, or none of the rest of the turns."""
        gone = max(0, self._done - self._earlier)
        left = replace(self._window, summaries=tuple(self._summaries), turns=self._window.turns[gone:])
        return self._made(keep_newest(left, strategy=NOT_SUMMARIZED))

    def _made(self, compaction: Compaction) -> Compaction:
        return replace(compaction, model=self._digest.model, usage=self._digest.usage)

    async def _keep(self) -> int:
        """Return how many of the newest turns stay, with room for one more summary if others have to go.

        The newest stays even above the target, as long as it can be sent, as in `keep_newest`.
        """
        target, turns = self._window.target, self._window.turns
        tokens = self._tokens() + (self._one if self._portions.begun else 0)
        if tokens + _tokens_of(turns) <= target:
            return len(turns)
        await self._shrink(self._share)
        beside = min(self._share, self._tokens() + self._one)
        room, keep = target - beside, 0
        at_most = len(turns) if self._keep_turns is None else min(self._keep_turns, len(turns))
        while keep < at_most and (needed := turns[-keep - 1].tokens) <= room:
            room -= needed
            keep += 1
        return keep or int(at_most > 0 and turns[-1].tokens <= self._window.limit - beside)

    async def _take_earlier(self) -> None:
        pages = self._window.earlier()
        try:
            async for page in pages:
                for turn in page:
                    self._earlier += 1
                    await self._take(turn)
        finally:
            if isinstance(pages, AsyncGenerator):
                await pages.aclose()

    async def _take(self, turn: Turn) -> None:
        await self._sum_up(self._portions.add(turn))

    async def _sum_up(self, portion: Portion | None) -> None:
        """Add a summary of level 0, then sum up summaries of one level where enough stand beside each other."""
        if portion is None:
            return
        text = await self._text(portion.lines)
        self._add(Summary(text=text, first=portion.first, last=portion.last), len(self._summaries), 0, portion.shown)
        self._done += portion.turns
        try:
            while (start := _first_of_level(self._summaries, self._fan_in)) is not None:
                await self._merge(start, self._fan_in)
        except Unusable as failure:
            _log.warning("summaries are not summed up now: %s", failure.problem)  # the next compaction tries again

    async def _shrink(self, limit: int) -> None:
        """Sum up summaries until they fit."""
        while self._tokens() > limit:
            await self._merge(*_least(self._summaries, self._fan_in))

    async def _merge(self, start: int, count: int) -> None:
        group = self._summaries[start : start + count]
        text = await self._text(text_lines(summary.text for summary in group))
        level = max(summary.level for summary in group) + 1
        merged = Summary(text=text, first=group[0].first, last=group[-1].last, level=level)
        self._add(merged, start, count, summaries_tokens(group, self._window.counter))

    async def _text(self, lines: Sequence[str]) -> str:
        if self._too_small:
            raise Unusable(f"the room for summaries has only {self._share} tokens")
        return await self._digest.of(lines)

    def _add(self, summary: Summary, start: int, count: int, replaced: int) -> None:
        needed = summaries_tokens((summary,), self._window.counter)
        if needed >= replaced:
            raise Unusable(f"it has {needed} tokens, and what it is to replace has {replaced}")
        self._summaries[start : start + count] = [summary]

    def _tokens(self) -> int:
        return summaries_tokens(self._summaries, self._window.counter)


def _tokens_of(turns: Sequence[Turn]) -> int:
    return sum(turn.tokens for turn in turns)


def _first_of_level(summaries: Sequence[Summary], count: int) -> int | None:
    """Return where the first `count` neighbours of one level begin; None when there are none."""
    for start in range(len(summaries) - count + 1):
        if len({summary.level for summary in summaries[start : start + count]}) == 1:
            return start
    return None


def _least(summaries: Sequence[Summary], at_most: int) -> tuple[int, int]:
    """Return the place and the number of the summaries to sum up: the neighbours of the lowest level that share one.

    So each is summed up again as seldom as possible, and old ones, which were most often, stay the same the longest.
    Where no neighbours share a level it is the two oldest.
    """
    least, place = (0, min(2, len(summaries))), 0
    level: int | None = None
    while place < len(summaries):
        alike = place
        while alike < len(summaries) and summaries[alike].level == summaries[place].level:
            alike += 1
        if alike - place > 1 and (level is None or summaries[place].level < level):
            least, level = (place, min(alike - place, at_most)), summaries[place].level
        place = alike
    return least
