"""What an answer says: that something was done, how many tasks there are, which ones."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from examples.todo_chatbot.scenarios.titles_in_text import Masked, unmarked, words_of

ClaimKind: TypeAlias = Literal["added", "deleted", "completed", "changed", "any"]

_VERBS: tuple[tuple[ClaimKind, str], ...] = (
    ("completed", r"(?:marked|set|checked|ticked|crossed)\b[^.!?\n]{0,80}?\b(?:done|completed?|finished|off)"),
    ("added", r"added|created|noted down|jotted down|put|restored"),
    ("deleted", r"deleted|removed|dropped|erased|discarded|cleared|(?:got|gotten) rid of|gone"),
    ("changed", r"renamed|changed|updated|edited|corrected|noted|moved|set|(?:now|is) called"),
    ("completed", r"completed|finished|closed|checked off|ticked off"),
    ("any", r"done"),
)
_CLAIM = re.compile("|".join(rf"\b(?P<{kind}{n}>{verb})\b" for n, (kind, verb) in enumerate(_VERBS)), re.IGNORECASE)
_SENTENCE = re.compile(r"[^\n.!?;]+(?:[.!?;](?=\S)[^\n.!?;]*)*[.!?;]*")
_TURN = re.compile(
    r",? (?:but|however|so|while|and (?:you|your|there|it|now|the rest)\b)|\bleaving\b|\bremain", re.IGNORECASE
)
_UNREAL = re.compile(
    r"\b(?:not|never|nothing|none|cannot|unable|failed|if|would|could|shall|should|may|want|wish|once|when|until|before"
    r"|unless|to (?:be|get|have|mark|set)|need|needs|please|can|will|must|say|nobody|neither|or|how|what|which|as if)\b"
    r"|n['\u2019]t\b|\bno\b(?!,| problem\b| worries\b)",
    re.IGNORECASE,
)
_OLD = re.compile(r"\b(?:already|earlier|previously|before|just now|last)\b", re.IGNORECASE)
_KIND_OF_TASK = re.compile(
    r"\b(?:your|the|my|any|these|those|only|have|are|of|other|still|\d+|one|two|three|four|five)\s*$", re.IGNORECASE
)
_PASSIVE = re.compile(r"\b(?:is|are|was|were|been)(?: now| already| successfully)?\s*\Z", re.IGNORECASE)
_NOUN = re.compile(r"\s*(?:tasks?|items?|todos?|ones?|list)\b", re.IGNORECASE)
_MARKED_DONE = re.compile(
    r"[(\[{*_-]+\s*(?:done|completed?|finished|open|pending)\s*[)\]}*_]*"
    r"|\bstatus:? ?\w+|:\s*(?:done|completed|finished)\s*$",
    re.IGNORECASE | re.MULTILINE,
)
_SMALL = words_of(
    "a an and the to your my our his her it its that this them these those of on in from for off as with by into"
    " up down task tasks todo todos item items list title titled description note details number reminder shopping"
    " one ones id ids i ve s have has been is was are were be now new called named again successfully you me all both"
    " everything done complete completed finished open still too also there back instead"
)
_NUMBERS = {"one": 1, "two": 2, "both": 2, "three": 3, "four": 4, "five": 5, "six": 6, "no": 0, "zero": 0}
_MANY = rf"(?P<many>\d+|{'|'.join(_NUMBERS)})"
_NUMBER_OF = re.compile(
    rf"\s*(?:all |the )?{_MANY}\b(?!\s*of\b)"
    r"(?=\s*(?:of them\b|(?:new )?(?:tasks|items|todos)\b|(?:are|were|have)\b|[.!,]|$))",
    re.IGNORECASE,
)
_ALL = re.compile(r"\s*(?:all|everything|every)\b(?! except)", re.IGNORECASE)
_COUNT = re.compile(
    r"\b(?:you(?: currently| now| still)? have|you['\u2019]ve got"
    r"|there (?:is|are)(?: currently| now| still)?|i (?:found|see))"
    rf"\s+{_MANY}\s+"
    r"(?P<kind>open|pending|unfinished|remaining|incomplete|done|completed|finished)?\s*(?:tasks?|items?|todos?)\b"
    r"(?! [-#\d\"'\u201c\ue000]"
    r"| (?:like|called|named|with|that|which|about|titled|due|for|matching|to (?:complete|delete|rename)))",
    re.IGNORECASE,
)
_EMPTY = re.compile(r"\b(?:list|it) is (?:now |currently )?empty\b|\bnothing (?:is )?on your list\b", re.IGNORECASE)
_DONE_KINDS = ("done", "completed", "finished")
_HEADING = re.compile(
    r"\b(?:you (?:currently |still |now )?have|your|here (?:are|is))\b[^\n.]*\b(?:tasks?|list|todos?)\b[^\n.]*:\s*$",
    re.IGNORECASE,
)
_BULLET = re.compile(r"\s*(?:[-*\u2022]|\d+[.)])\s+(?P<text>.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A change that an answer says was made.

    `titles` are the tasks that it names and `words` what else it says of them; `number` is how many it speaks of,
    `of_all` that it speaks of all there are, and `is_old` that it speaks of an earlier time.
    """

    kind: ClaimKind
    text: str
    titles: tuple[str, ...] = ()
    words: frozenset[str] = frozenset()
    number: int | None = None
    of_all: bool = False
    is_old: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many tasks an answer says there are; `done` is None when it speaks of all."""

    number: int
    done: bool | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a list of tasks."""

    text: str
    titles: tuple[str, ...]
    words: frozenset[str]


def claims_in(answer: Masked) -> Iterator[Claim]:
    """Find the changes that an answer says were made: not those it asks about, denies or promises."""
    for sentence in _SENTENCE.findall(_MARKED_DONE.sub(" ", answer.text)):
        if not sentence.rstrip().endswith("?"):
            for part in _TURN.split(sentence):
                yield from _claims_in_part(part, answer)


def counts_in(answer: Masked) -> Iterator[Count]:
    """Find the numbers of tasks that an answer gives."""
    for found in _COUNT.finditer(answer.text):
        kind = (found["kind"] or "").lower()
        done = None if not kind else kind in _DONE_KINDS
        yield Count(number=_number(found["many"]), done=done, text=answer.shown(found[0]))
    for found in _EMPTY.finditer(answer.text):
        yield Count(number=0, done=None, text=answer.shown(found[0]))


def listed_in(answer: Masked) -> Iterator[Line]:
    """Find the lines of lists that an answer says are the user's tasks."""
    within = False
    for line in answer.text.splitlines():
        bullet = _BULLET.fullmatch(line)
        if bullet and within:
            text = bullet["text"]
            yield Line(text=answer.shown(text), titles=answer.titles_in(text), words=_content(text))
        elif line.strip():
            within = _HEADING.search(line) is not None


def _claims_in_part(part: str, answer: Masked) -> Iterator[Claim]:
    found = [claim for claim in _CLAIM.finditer(part) if not _is_adjective(part, claim)]
    for number, claim in enumerate(found):
        lead = part[found[number - 1].end() if number else 0 : claim.start()]
        rest = part[claim.end() : found[number + 1].start() if number + 1 < len(found) else len(part)]
        if not _UNREAL.search(unmarked(lead)) and not re.match(r"\s*(?:nothing|no)\b", rest, re.IGNORECASE):
            yield _claim(claim, lead, rest, answer)


def _claim(claim: re.Match[str], lead: str, rest: str, answer: Masked) -> Claim:
    said = claim[0] + rest
    titles, words = answer.titles_in(said), _content(said[_verb_length(claim) :])
    if _PASSIVE.search(lead) or not (titles or words):
        titles, words = answer.titles_in(lead) or titles, _content(lead) or words
    many = _NUMBER_OF.match(rest) or _NUMBER_OF.match(lead)
    return Claim(
        kind=_kind_of(claim),
        text=answer.shown(lead + said),
        titles=titles,
        words=frozenset() if titles else words,
        number=_number(many["many"]) if many else None,
        of_all=bool(_ALL.match(rest) or _ALL.match(lead)) and many is None,
        is_old=_OLD.search(lead + said) is not None,
    )


def _kind_of(claim: re.Match[str]) -> ClaimKind:
    return next(kind for n, (kind, _) in enumerate(_VERBS) if claim[f"{kind}{n}"] is not None)


def _verb_length(claim: re.Match[str]) -> int:
    return len(claim[0].split(maxsplit=1)[0])


def _is_adjective(part: str, claim: re.Match[str]) -> bool:
    """Tell whether it says of what kind tasks are, as in "your completed tasks"."""
    return bool(_NOUN.match(part, claim.end()) and _KIND_OF_TASK.search(part, 0, claim.start()))


def _content(text: str) -> frozenset[str]:
    return frozenset(word for word in words_of(unmarked(text)) if word not in _SMALL and not word.isdigit())


def _number(text: str) -> int:
    return int(text) if text.isdigit() else _NUMBERS[text.lower()]
