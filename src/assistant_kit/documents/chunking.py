"""A document in pieces of about one size: cut where its structure allows, so that a change stays in its place.

Where several cuts are as good, a hash of what follows decides. So the cuts behind an insertion soon fall where they
fell before, and most pieces of a changed document are the same as before.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias
from zlib import crc32

from assistant_kit.documents.document import Block, Document, Lines, Location, shared
from assistant_kit.documents.limits import Watch
from assistant_kit.documents.sentences import Span, lines, outside_of, sentences, visible_cut, words
from assistant_kit.protocols.token_counter import TokenCounter

_Splitters: TypeAlias = Sequence[tuple[Callable[[str, int, int], Iterator[Span]], int]]
"""Ways to cut, the best first, and how good such a cut is."""

_LEAST: Final = 8


class EstimatedTokens:
    """Estimates tokens from bytes, 3.5 to a token: always the same, without a vocabulary.

    English has somewhat fewer tokens. It is for the size of pieces, which need not be exact, and no upper bound.
    """

    name = "estimated"

    def count(self, text: str) -> int:
        """Return about how many tokens a text has."""
        size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        return (size * 2 + 6) // 7


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkSettings:
    """How documents are cut. Sizes are in tokens.

    A chunk has `max_tokens` at most, and begins with up to `overlap` of the sentences before it, when they stand under
    the same heading. A section of less than `min_tokens` goes together with the next one. A document of more than
    `max_chunks` is refused.
    """

    max_tokens: int = 300
    overlap: int = 40
    min_tokens: int = 50
    max_chunks: int = 100_000

    def __post_init__(self) -> None:
        if not (self.max_tokens >= _LEAST and 0 <= self.overlap <= self.max_tokens // 2 and self.max_chunks >= 1):
            raise ValueError(f"{self!r}: a chunk has {_LEAST} tokens or more, and an overlap of half of it at most")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of a document: `text` is that of the document between `location.start` and `location.end`.

    `headings` of its location are those above its first words that are not headings themselves.
    """

    text: str
    location: Location


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """What is not cut any further. `strength` says how good a cut before it is, `block` where it comes from."""

    start: int
    end: int
    tokens: int
    strength: int
    block: Block


_HEADING: Final = 5
_BLOCK: Final = 4
_SENTENCE: Final = 3
_CHARACTER: Final = 0
_PROSE: Final[_Splitters] = ((sentences, _SENTENCE), (lines, 2), (words, 1))
_ROWS: Final[_Splitters] = ((lines, 2), (words, 1))
_HASHED: Final = 48
"""Characters behind a cut that decide between equal cuts."""


def chunks_of(
    document: Document, watch: Watch, *, counter: TokenCounter, settings: ChunkSettings, kept: Sequence[Span] = ()
) -> tuple[Chunk, ...]:
    """Cut a document. The same document and settings give the same chunks, which together have all its words.

    `kept` are words, or parts of them, that are not cut, in their order: one that is longer than a chunk is a chunk.
    Raises DocumentUnreadable when there are too many, or when it takes too long.
    """
    cutter = _Cutter(document, watch, counter, settings, kept)
    numbers = Lines(document.text)
    chunks: list[Chunk] = []
    for section in cutter.sections():
        for pieces, start in cutter.cut(section):
            watch.check()
            if not document.text[start : pieces[-1].end].isspace():
                chunks.append(_chunk(document.text, pieces, start, numbers))
            if len(chunks) > settings.max_chunks:
                raise watch.unreadable(f"it has more than {settings.max_chunks} chunks")
    return tuple(chunks)


def _chunk(text: str, pieces: Sequence[_Piece], start: int, numbers: Lines) -> Chunk:
    whole = text[start : pieces[-1].end]
    start += len(whole) - len(whole.lstrip())
    whole = whole.strip()
    end = start + len(whole)
    return Chunk(
        text=whole,
        location=Location(
            start=start,
            end=end,
            first_line=numbers.at(start),
            last_line=numbers.at(end - 1),
            headings=_path(pieces),
            page=pieces[0].block.page,
            last_page=pieces[-1].block.page,
        ),
    )


def _path(pieces: Sequence[_Piece]) -> tuple[str, ...]:
    """Return the headings that all pieces stand under; of headings alone, those of the last one."""
    return shared({piece.block.headings for piece in pieces if piece.block.kind != "heading"}) or (
        pieces[-1].block.headings if pieces[-1].block.kind == "heading" else ()
    )


class _Cutter:
    def __init__(
        self, document: Document, watch: Watch, counter: TokenCounter, settings: ChunkSettings, kept: Sequence[Span]
    ) -> None:
        self._text = document.text
        self._blocks = document.blocks
        self._watch = watch
        self._count = counter.count
        self._settings = settings
        self._kept = kept
        self._room = settings.max_tokens - settings.overlap

    def sections(self) -> Iterator[list[_Piece]]:
        """Yield what stands under one heading; a very short section with the one behind it."""
        section: list[_Piece] = []
        tokens = 0
        for block in self._blocks:
            self._watch.check()
            if block.kind == "heading" and tokens >= self._settings.min_tokens:
                yield section
                section, tokens = [], 0
            pieces = self._pieces(block)
            section += pieces
            tokens += sum(piece.tokens for piece in pieces)
        yield section

    def cut(self, section: Sequence[_Piece]) -> Iterator[tuple[Sequence[_Piece], int]]:
        """Yield chunks of a section: their pieces, and the character at which they begin, with the overlap."""
        begin = 0
        while begin < len(section):
            end = self._end(section, begin)
            yield section[begin:end], self._overlap(section, begin)
            begin = end

    def _end(self, section: Sequence[_Piece], begin: int) -> int:
        """Return the piece before which a chunk that begins with piece `begin` ends."""
        tokens = 0
        full = begin
        good: list[int] = []
        while full < len(section) and (full == begin or tokens + section[full].tokens <= self._room):
            tokens += section[full].tokens
            full += 1
            if tokens * 2 >= self._room:
                good.append(full)
        if full == len(section) or not good:
            return full
        return max(good, key=lambda at: (section[at].strength, self._lot(section[at])))

    def _lot(self, piece: _Piece) -> int:
        return crc32(self._text[piece.start : piece.start + _HASHED].encode())

    def _overlap(self, section: Sequence[_Piece], begin: int) -> int:
        """Return where a chunk begins: with the last sentences of the piece before it, when both are prose."""
        start = section[begin].start
        kinds = {piece.block.kind for piece in section[max(0, begin - 1) : begin + 1]}
        if begin == 0 or section[begin].strength < _SENTENCE or kinds & {"code", "table", "heading"}:
            return start
        before = section[begin - 1]
        for first, _ in reversed(list(sentences(self._text, before.start, before.end))):
            if self._count(self._text[first : section[begin].start]) > self._settings.overlap:
                break
            start = first
        return start

    def _pieces(self, block: Block) -> list[_Piece]:
        tokens = self._count(self._text[block.start : block.end])
        strength = _HEADING if block.kind == "heading" else _BLOCK
        if tokens <= self._room:
            return [_Piece(start=block.start, end=block.end, tokens=tokens, strength=strength, block=block)]
        return [
            _Piece(
                start=start,
                end=end,
                tokens=self._count(self._text[start:end]),
                strength=strength if start == block.start else unit,
                block=block,
            )
            for start, end, unit in self._split(
                block.start, block.end, _ROWS if block.kind in ("code", "table") else _PROSE
            )
        ]

    def _split(self, start: int, end: int, splitters: _Splitters) -> Iterator[tuple[int, int, int]]:
        """Yield spans that fit, with the strength of the cuts before them."""
        split, strength = splitters[0]
        for first, last in split(self._text, start, end):
            self._watch.check()
            if self._count(self._text[first:last]) <= self._room:
                yield first, last, strength
                continue
            finer = self._split(first, last, splitters[1:]) if len(splitters) > 1 else self._characters(first, last)
            for begin, stop, weaker in finer:
                yield begin, stop, strength if begin == first else weaker

    def _characters(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Yield pieces of a word that is too long, such as encoded data, or a sentence of a script without spaces."""
        while start < end:
            self._watch.check()
            last = min(end, start + self._room * 4)
            while last - start > 1 and self._count(self._text[start:last]) > self._room:
                last = start + (last - start) // 2
            if last < end:
                last = outside_of(self._kept, start, visible_cut(self._text, start, last))
            yield start, last, _CHARACTER
            start = last
