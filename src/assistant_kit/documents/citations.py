"""From an answer to its sources: which passages it cites, and which labels it made up."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from assistant_kit.documents.document import Location
from assistant_kit.documents.passages import FoundPassage, from_text
from assistant_kit.documents.search_tool import SEARCH_DOCUMENTS

_BRACKETS: Final = re.compile(r"[\[【][^\[\]【】]{1,400}[\]】]")
_LABEL: Final = re.compile(r"(?<![\w-])D[0-9A-Z]{3}-[0-9A-Z]{4,12}(?![\w-])", re.IGNORECASE)


class Call(Protocol):
    """A tool call and its result."""

    @property
    def tool(self) -> str:
        """The name of the tool."""
        ...

    @property
    def text(self) -> str:
        """The text of the result."""
        ...


class Answer(Protocol):
    """What was said and called in a turn: a `Result`, or a turn of a conversation's history."""

    @property
    def text(self) -> str:
        """The text of the answer."""
        ...

    @property
    def tool_calls(self) -> Sequence[Call]:
        """The calls of the turn."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A place in an answer that cites a passage: the characters of the answer from `start` to before `end`.

    `text` is that of the passage, which stands in the document at `location`.
    """

    label: str
    source: str
    title: str
    location: Location
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownLabel:
    """A label in an answer that belongs to no passage: the model made it up, or it comes from somewhere else."""

    label: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Citations:
    """What an answer cites, in the order of the answer, and the labels in it that belong to no passage."""

    known: tuple[Citation, ...] = ()
    unknown: tuple[UnknownLabel, ...] = ()


def citations(answer: Answer, *, earlier: Sequence[Answer] = (), tool: str = SEARCH_DOCUMENTS) -> Citations:
    """Return what an answer cites: passages that `tool` gave in its turn, or in `earlier` turns, the oldest first.

    Only results of that tool count: what another tool, or a document, says cannot pose as a passage.
    """
    passages = [
        passage
        for turn in (*earlier, answer)
        for call in turn.tool_calls
        if call.tool == tool
        for passage in from_text(call.text)
    ]
    return citations_of(answer.text, passages)


def citations_of(text: str, passages: Sequence[FoundPassage]) -> Citations:
    """Return what a text cites. Of passages with one label, the last one counts."""
    by_label = {passage.label: passage for passage in passages}
    known: list[Citation] = []
    unknown: list[UnknownLabel] = []
    for label, start, end in _labels(text):
        passage = by_label.get(label)
        if passage is None:
            unknown.append(UnknownLabel(label=label, start=start, end=end))
            continue
        known.append(
            Citation(
                label=label,
                source=passage.source,
                title=passage.title,
                location=passage.location,
                text=passage.text,
                start=start,
                end=end,
            )
        )
    return Citations(known=tuple(known), unknown=tuple(unknown))


def _labels(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the labels that stand in brackets: outside of them, the name of a product may look the same."""
    for brackets in _BRACKETS.finditer(text):
        for found in _LABEL.finditer(text, brackets.start(), brackets.end()):
            yield found[0].upper(), *found.span()
