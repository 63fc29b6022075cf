"""Chunks as passages of a search index, and passages that were found as a model reads them."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import pairwise
from typing import Final, cast

from assistant_kit.documents.chunking import Chunk
from assistant_kit.documents.document import Document, Location, shared
from assistant_kit.errors import InputError
from assistant_kit.protocols.search_index import Hit, Label, Passage

RESERVED: Final = "doc_"
"""Names of labels that begin so are ours."""

FIRST: Final = {"doc_first": True}
"""The label of the passage that stands for its document in a list."""

LONGEST_NAME: Final = 300
"""Characters of a title or a heading in a label; a heading may be a whole paragraph."""

_LETTERS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Digits and letters that are not mistaken for each other (Crockford's base 32)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPassage:
    """A passage that was found. `label` is what an answer cites it by: short, and always the same for this text.

    `text` is that of the document at `location`. `score` is better when it is higher, and cannot be compared with
    that of another search.
    """

    label: str
    source: str
    title: str
    text: str
    location: Location
    score: float = 0.0


def passages_of(
    document: Document, chunks: Sequence[Chunk], *, at: float, labels: Mapping[str, Label]
) -> list[Passage]:
    """Return what is kept of a document. A passage keeps its id as long as its text and headings stay the same.

    Raises InputError for labels that are reserved.
    """
    for name in labels:
        if name.startswith(RESERVED):
            raise InputError(f"label {name!r} of document {document.source!r} is reserved: begin it otherwise")
    title = document.title[:LONGEST_NAME]
    seen: Counter[str] = Counter()
    passages: list[Passage] = []
    for position, chunk in enumerate(chunks):
        lead = _lead(title, chunk)
        digest = _digest(document.source, lead, chunk.text)
        seen[digest] += 1
        own: dict[str, Label] = {**labels, **_located(chunk.location), "doc_title": title, "doc_position": position}
        own["doc_lead"] = len(lead)
        if position == 0:
            own |= {**FIRST, "doc_chunks": len(chunks)}
        name = f"{digest}-{seen[digest]}"
        passages.append(Passage(id=name, text=lead + chunk.text, source=document.source, at=at, labels=own))
    return passages


def replaced_passage(passage: Passage, replaced: Callable[[str], str]) -> Passage:
    """Return a passage with each of its texts replaced: title, headings, and its words."""
    lead = _number(passage.labels, "doc_lead")
    head, words = replaced(passage.text[:lead]), replaced(passage.text[lead:])
    labels = {**passage.labels, "doc_title": replaced(str(passage.labels["doc_title"])), "doc_lead": len(head)}
    headings = [replaced(name) for name in _location(passage.labels).headings]
    if headings:
        labels["doc_headings"] = json.dumps(headings, ensure_ascii=False)
    return replace(passage, text=head + words, labels=labels)


def _lead(title: str, chunk: Chunk) -> str:
    """Return what is searched beside the text: title and headings that do not stand in it."""
    names = dict.fromkeys((title, *(name[:LONGEST_NAME] for name in chunk.location.headings)))
    missing = [name for name in names if name and name not in chunk.text]
    return " > ".join(missing) + "\n\n" if missing else ""


def _digest(*texts: str) -> str:
    return sha256("\0".join(texts).encode()).hexdigest()[:24]


def _located(location: Location) -> dict[str, Label]:
    labels: dict[str, Label] = {
        "doc_start": location.start,
        "doc_end": location.end,
        "doc_first_line": location.first_line,
        "doc_last_line": location.last_line,
    }
    if location.headings:
        labels["doc_headings"] = json.dumps([name[:LONGEST_NAME] for name in location.headings], ensure_ascii=False)
    if location.page is not None and location.last_page is not None:
        labels |= {"doc_page": location.page, "doc_last_page": location.last_page}
    return labels


def _number(labels: Mapping[str, Label], name: str) -> int:
    return int(labels.get(name, 0))


def _page(labels: Mapping[str, Label], name: str) -> int | None:
    return int(labels[name]) if name in labels else None


def _location(labels: Mapping[str, Label]) -> Location:
    return Location(
        start=_number(labels, "doc_start"),
        end=_number(labels, "doc_end"),
        first_line=_number(labels, "doc_first_line"),
        last_line=_number(labels, "doc_last_line"),
        headings=tuple(json.loads(str(labels.get("doc_headings", "[]")))),
        page=_page(labels, "doc_page"),
        last_page=_page(labels, "doc_last_page"),
    )


def found_in(hits: Sequence[tuple[str, Hit]]) -> list[FoundPassage]:
    """Return what was found, the best first; neighbours in a document become one passage.

    Each hit comes with the owner of its document: two owners may have documents of one name.
    """
    groups: list[list[Hit]] = []
    by_document: dict[tuple[str, str], list[Hit]] = {}
    for owner, hit in hits:
        by_document.setdefault((owner, hit.passage.source), []).append(hit)
    for found in by_document.values():
        groups += _neighbours(sorted(found, key=_position))
    groups.sort(key=lambda group: (-max(hit.score for hit in group), group[0].passage.id))
    passages: list[FoundPassage] = []
    taken: set[str] = set()
    for group in groups:
        passages.append(_merged(group, taken))
        taken.add(passages[-1].label)
    return passages


def _position(hit: Hit) -> int:
    return _number(hit.passage.labels, "doc_position")


def _neighbours(hits: Sequence[Hit]) -> Iterator[list[Hit]]:
    group: list[Hit] = []
    for hit in hits:
        if group and not _follows(hit, group[-1]):
            yield group
            group = []
        group.append(hit)
    yield group


def _words(hit: Hit) -> str:
    return hit.passage.text[_number(hit.passage.labels, "doc_lead") :]


def _follows(hit: Hit, before: Hit) -> bool:
    """Tell whether a passage goes on where another ends.

    Their words decide, too: places may be old ones while a document is being brought up to date.
    """
    if _position(hit) != _position(before) + 1:
        return False
    shared = _number(before.passage.labels, "doc_end") - _number(hit.passage.labels, "doc_start")
    return shared <= 0 or _words(before)[-shared:] == _words(hit)[:shared]


def _merged(group: Sequence[Hit], taken: set[str]) -> FoundPassage:
    first = group[0].passage
    locations = [_location(hit.passage.labels) for hit in group]
    text = _words(group[0])
    for hit, (before, location) in zip(group[1:], pairwise(locations), strict=True):
        lines = max(0, location.first_line - before.last_line)
        between = "\n" * min(2, lines) or " "
        text += between + _words(hit) if location.start > before.end else _words(hit)[before.end - location.start :]
    return FoundPassage(
        label=_label(first.source, [hit.passage.id for hit in group], taken),
        source=first.source,
        title=str(first.labels.get("doc_title", first.source)),
        text=text,
        location=_spanning(locations),
        score=max(hit.score for hit in group),
    )


def _spanning(locations: Sequence[Location]) -> Location:
    first, last = locations[0], locations[-1]
    return Location(
        start=first.start,
        end=last.end,
        first_line=first.first_line,
        last_line=last.last_line,
        headings=shared([location.headings for location in locations]),
        page=first.page,
        last_page=last.last_page,
    )


def _label(source: str, ids: Sequence[str], taken: set[str]) -> str:
    """Return a label that is not among those of the same result."""
    length = 4
    while (label := f"D{_letters(source, 3)}-{_letters(' '.join(ids), length)}") in taken:
        length += 1
    return label


def _letters(text: str, length: int) -> str:
    return "".join(_LETTERS[byte % 32] for byte in sha256(text.encode()).digest()[:length])


def as_text(passages: Sequence[FoundPassage]) -> str:
    """Return passages as a model reads them: one a line, each a JSON object, so that no text can pose as another.

    What is cut off behind a line leaves the lines before it whole.
    """
    return "\n".join(json.dumps(_fields(passage), ensure_ascii=False) for passage in passages)


def _fields(passage: FoundPassage) -> dict[str, object]:
    place = passage.location
    fields: dict[str, object] = {"label": passage.label, "source": passage.source, "title": passage.title}
    if place.headings:
        fields["headings"] = place.headings
    if place.page is not None:
        fields["pages"] = [place.page, place.last_page]
    return {
        **fields,
        "lines": [place.first_line, place.last_line],
        "characters": [place.start, place.end],
        "text": passage.text,
    }


def from_text(text: str) -> list[FoundPassage]:
    """Return the passages that `as_text` wrote; lines that are none, or were cut off, are left out."""
    return [passage for line in text.split("\n") if (passage := _from_line(line)) is not None]


def _from_line(line: str) -> FoundPassage | None:
    try:
        fields: object = json.loads(line)
    except ValueError:
        return None
    if not isinstance(fields, dict):
        return None
    known = cast("dict[str, object]", fields)
    label, source, title, text = (known.get(name) for name in ("label", "source", "title", "text"))
    if not (isinstance(label, str) and isinstance(source, str) and isinstance(title, str) and isinstance(text, str)):
        return None
    pages, lines, characters = (_pair(known.get(name)) for name in ("pages", "lines", "characters"))
    if lines is None or characters is None:
        return None
    headings = known.get("headings")
    names = cast("list[object]", headings) if isinstance(headings, list) else []
    return FoundPassage(
        label=label,
        source=source,
        title=title,
        text=text,
        location=Location(
            start=characters[0],
            end=characters[1],
            first_line=lines[0],
            last_line=lines[1],
            headings=tuple(str(name) for name in names),
            page=None if pages is None else pages[0],
            last_page=None if pages is None else pages[1],
        ),
    )


def _pair(value: object) -> tuple[int, int] | None:
    match value:
        case [int(first), int(second)]:
            return first, second
        case _:
            return None
