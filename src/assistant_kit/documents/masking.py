"""Documents without private values: masked before they are cut, embedded and written, and restored when they are read.

A document is masked as a whole: a value that began in one passage and ended in another would be found in neither.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Final

import anyio.lowlevel
import anyio.to_thread

from assistant_kit.documents.chunking import Chunk
from assistant_kit.documents.document import Block, Document, Lines
from assistant_kit.documents.limits import Watch
from assistant_kit.documents.passages import LONGEST_NAME, replaced_passage
from assistant_kit.documents.sentences import Span
from assistant_kit.errors import StoreBusy
from assistant_kit.json_masking import at_once
from assistant_kit.protocols.masker import Origin, UserMasker
from assistant_kit.protocols.search_index import Hit, Passage

_PIECE: Final = 4_000
"""Characters that are masked at once: some 10 ms, in which the event loop does nothing else."""

_NAMES: Final = 200
"""Pseudonyms that are asked for, or titles and headings that are masked, in one call."""

_ORDINARY: Final = 1_000
"""Characters of a title or a heading; a longer one is masked in pieces."""

_PSEUDONYM: Final = re.compile(r"<[A-Z][A-Z0-9_]*_[1-9][0-9]*>")


class Places:
    """Where the characters of a masked text stand in the clear text. `pseudonyms` are those of the masked one."""

    def __init__(self, clear: str, pseudonyms: Sequence[Span], values: Sequence[str]) -> None:
        """Take the value that each pseudonym stands for."""
        self.pseudonyms: Sequence[Span] = pseudonyms
        self._lines = Lines(clear)
        self._ends = [end for _, end in pseudonyms]
        self._longer = [0]  # by how much the clear text is longer, up to the end of each pseudonym
        for (start, end), value in zip(pseudonyms, values, strict=True):
            self._longer.append(self._longer[-1] + len(value) - (end - start))
        self._clear_ends = [end + longer for end, longer in zip(self._ends, self._longer[1:], strict=True)]

    def clear(self, at: int) -> int:
        """Return where a character of the masked text stands that is not inside of a pseudonym."""
        return at + self._longer[bisect_right(self._ends, at)]

    def masked(self, at: int) -> int:
        """Return where a character of the clear text stands: one inside of a value, at the end of its pseudonym."""
        number = bisect_right(self._clear_ends, at)
        place = at - self._longer[number]
        if number < len(self._ends) and place > self.pseudonyms[number][0]:
            return self._ends[number]
        return place

    def located(self, chunk: Chunk) -> Chunk:
        """Return a chunk of the masked text with its place in the clear one."""
        start, end = self.clear(chunk.location.start), self.clear(chunk.location.end)
        lines = {"first_line": self._lines.at(start), "last_line": self._lines.at(end - 1)}
        return replace(chunk, location=replace(chunk.location, start=start, end=end, **lines))


async def masked_document(document: Document, user: UserMasker, watch: Watch) -> tuple[Document, Places]:
    """Return a document with pseudonyms in its text, title and headings, and where they stand in its clear text.

    It is masked in pieces, and the event loop goes on between them. Raises DocumentUnreadable when it takes too long,
    StoreError.
    """
    text = await _masked_text(document.text, user, watch)
    pseudonyms, names = await anyio.to_thread.run_sync(_asked, document, text)
    values = await _values([text[start:end] for start, end in pseudonyms], user, watch)
    short = dict(zip(names, await _short_names(names, user, watch), strict=True))
    return await anyio.to_thread.run_sync(_masked, document, text, pseudonyms, values, short)


def _asked(document: Document, text: str) -> tuple[list[Span], list[str]]:
    """Return where the pseudonyms of a masked text stand, and the title and the headings of the document."""
    pseudonyms = [found.span() for found in _PSEUDONYM.finditer(text)]
    return pseudonyms, list(dict.fromkeys(chain((document.title,), *(block.headings for block in document.blocks))))


def _masked(
    document: Document, text: str, pseudonyms: Sequence[Span], values: Sequence[str], names: Mapping[str, str]
) -> tuple[Document, Places]:
    if "".join(_restored(text, pseudonyms, values)) != document.text:
        raise StoreBusy(
            f"what document {document.source!r} was masked with does not give its text again: the values of its user "
            "have been erased meanwhile, or the masker does not keep them; add it again"
        )
    places = Places(document.text, pseudonyms, values)
    blocks = tuple(_masked_blocks(document.blocks, places, names))
    return replace(document, title=names[document.title], text=text, blocks=blocks), places


def _restored(text: str, pseudonyms: Sequence[Span], values: Sequence[str]) -> Iterator[str]:
    at = 0
    for (start, end), value in zip(pseudonyms, values, strict=True):
        yield text[at:start]
        yield value
        at = end
    yield text[at:]


def _masked_blocks(blocks: Sequence[Block], places: Places, names: Mapping[str, str]) -> Iterator[Block]:
    """Yield the blocks of the masked text, without those that are the rest of a value."""
    for block in blocks:
        start, end = places.masked(block.start), places.masked(block.end)
        if start < end:
            headings = tuple(names[name] for name in block.headings)
            yield replace(block, start=start, end=end, headings=headings)


async def _masked_text(text: str, user: UserMasker, watch: Watch, *, most: int | None = None) -> str:
    """Mask a text, or as much of its beginning as gives `most` characters."""
    stream = user.mask_stream(origin="outside")
    done: list[str] = []
    size = 0
    for begin in range(0, len(text), _PIECE):
        watch.check()
        await anyio.lowlevel.checkpoint()
        done.append(await stream.feed(text[begin : begin + _PIECE]))
        size += len(done[-1])
        if most is not None and size > most:
            return "".join(done)
    return "".join([*done, await stream.finish()])


async def _values(pseudonyms: Sequence[str], user: UserMasker, watch: Watch) -> list[str]:
    """Return the value of each pseudonym."""
    distinct = list(dict.fromkeys(pseudonyms))
    values: dict[str, str] = {}
    for begin in range(0, len(distinct), _NAMES):
        watch.check()
        batch = distinct[begin : begin + _NAMES]
        values |= zip(batch, await user.restore(batch), strict=True)
    return [values[name] for name in pseudonyms]


async def _short_names(names: Sequence[str], user: UserMasker, watch: Watch) -> list[str]:
    """Return titles and headings with pseudonyms, as short as they are kept. They are cut behind, or a value might be.

    Raises DocumentUnreadable, StoreError.
    """
    masked: dict[str, str] = {}
    ordinary = [name for name in names if len(name) <= _ORDINARY]
    for begin in range(0, len(ordinary), _NAMES):
        watch.check()
        batch = ordinary[begin : begin + _NAMES]
        masked |= zip(batch, await user.mask(batch), strict=True)
    for name in names:
        if name not in masked:
            masked[name] = await _masked_text(name, user, watch, most=LONGEST_NAME)
    return [_short(masked[name]) for name in names]


def _short(name: str) -> str:
    """Cut a name, but no pseudonym in it."""
    cut = next((found.start() for found in _PSEUDONYM.finditer(name) if found.end() > LONGEST_NAME), LONGEST_NAME)
    return name[: min(cut, LONGEST_NAME)]


async def masked_query(query: str, user: UserMasker, origin: Origin) -> str:
    """Return what is searched for as it stands in the index. Raises StoreError."""
    (masked,) = await user.mask([query], origin=origin)
    return masked


async def restored(passages: Sequence[Passage], user: UserMasker) -> list[Passage]:
    """Return passages as the document has them. Raises StoreError."""
    return await at_once(user.restore, lambda change: [replaced_passage(passage, change) for passage in passages])


async def restored_hits(hits: Sequence[Hit], user: UserMasker) -> list[Hit]:
    """Return what was found as the document has it. Raises StoreError."""
    passages = await restored([hit.passage for hit in hits], user)
    return [replace(hit, passage=passage) for hit, passage in zip(hits, passages, strict=True)]
