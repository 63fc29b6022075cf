"""What was said in some turns, without what tools brought in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from assistant_kit.messages import AssistantMessage, text_of
from assistant_kit.retrieval import normalised
from assistant_kit.turns import Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A text, and who said it."""

    who: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What was said, the oldest first; `users_words` is what the user said of it."""

    said: tuple[Said, ...]
    users_words: str


def heard_in(turns: Sequence[Turn], *, most: int) -> Heard:
    """Return the newest of what was said: at most `most` characters of it, and only of the very last a part.

    What the assistant said is there so that "yes" can be understood. From the first result of a tool on it may repeat
    what the tool said, and is left out. What was recalled for a turn is not the user's: only the recorded input is.
    """
    kept: list[Said] = []
    left = most
    for said in reversed([said for said in _said(turns) if said.text]):
        if len(said.text) > left and kept:
            break
        kept.insert(0, Said(who=said.who, text=said.text[:left]))
        left -= len(said.text)
    return Heard(said=tuple(kept), users_words="\n".join(said.text for said in kept if said.who == "user"))


def quotes(heard: Heard, quote: str) -> bool:
    """Tell whether the user said these words; case, width and spaces do not matter."""
    words = normalised(quote)
    return bool(words) and words in normalised(heard.users_words)


def _said(turns: Sequence[Turn]) -> Iterator[Said]:
    tainted = False
    for turn in turns:
        if turn.started is not None:
            yield Said(who="user", text=text_of(turn.started.input.content).strip())
        for block in turn.blocks:
            texts = [item.text.strip() for item in block.items if isinstance(item, AssistantMessage)]
            if not tainted:
                yield from (Said(who="assistant", text=text) for text in texts)
            tainted = tainted or bool(block.results)
