"""What a verification says."""

from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

from assistant_kit.audit_chain import GENESIS
from assistant_kit.errors import InputError

MAX_FINDINGS = 1000
"""Findings that a report lists."""

ChainProblem: TypeAlias = Literal[
    "no_chain",
    "missing_link",
    "misplaced_link",
    "changed_link",
    "changed_payload",
    "missing_payload",
    "unreadable_payload",
    "impossible_step",
    "cut_chain",
    "rewritten_chain",
]
JournalProblem: TypeAlias = Literal[
    "missing_conversation",
    "unlisted_conversation",
    "unexpected_conversation",
    "changed_title",
    "missing_record",
    "changed_record",
    "other_record",
    "unexpected_record",
]
Problem: TypeAlias = ChainProblem | JournalProblem

_WORDS: dict[Problem, str] = {
    "no_chain": "there are conversations and no audit chain: audit was off, or the whole chain was removed",
    "missing_link": "links are missing here",
    "misplaced_link": "a link stands here whose number does not follow the one before it",
    "changed_link": "this link does not follow from the one before it: one of the two was changed or put in",
    "changed_payload": "the payload or its salt is not what this link was made of",
    "missing_payload": "the payload is gone, though the user was not erased",
    "unreadable_payload": "the payload says nothing that this version of assistant_kit knows",
    "impossible_step": "what this link tells cannot have followed what the links before it tell",
    "cut_chain": "the chain ends before this anchor: its end was cut off",
    "rewritten_chain": "the chain has another link where the anchor was taken: it was rewritten here or before",
    "missing_conversation": "the conversation is gone, and the chain tells of no deletion",
    "unlisted_conversation": "the conversation is there and is not listed",
    "unexpected_conversation": "the chain tells of no such conversation",
    "changed_title": "the title is not the one that was given",
    "missing_record": "the record is gone",
    "changed_record": "the record is not what was written",
    "other_record": "another record stands here: records were put in, taken out, or exchanged",
    "unexpected_record": "records stand here of which the chain does not tell",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it should be, and where: at link `n` of the chain, or at record `seq` of a conversation.

    `detail` adds what is known: the fields that differ, or the number that was found instead.
    """

    problem: Problem
    n: int | None = None
    conversation: str | None = None
    seq: int | None = None
    detail: str = ""

    def __str__(self) -> str:
        places = [
            "" if self.n is None else f"link {self.n}",
            "" if self.conversation is None else f"conversation {self.conversation!r}",
            "" if self.seq is None else f"record {self.seq}",
        ]
        place = ", ".join(filter(None, places)) or "the user"
        return f"{place}: {_WORDS[self.problem]}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The end of a chain at some time, to be written down where nobody who can reach the store can change it.

    Its text, `str(anchor)`, is the number of the link and its hash: `12:9f86d0…`.
    """

    n: int
    link: bytes

    def __str__(self) -> str:
        return f"{self.n}:{self.link.hex()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the anchor of a text. Raises InputError."""
        number, separator, link = text.strip().partition(":")
        try:
            anchor = cls(n=int(number), link=bytes.fromhex(link))
        except ValueError as error:
            raise InputError(f"{text[:80]!r} is no anchor: a number, a colon and 64 hexadecimal digits") from error
        if not separator or anchor.n < 0 or len(anchor.link) != len(GENESIS):
            raise InputError(f"{text[:80]!r} is no anchor: a number, a colon and 64 hexadecimal digits")
        return anchor


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What a verification found. `ok` when nothing is wrong.

    `head` is the end of the chain to which the journals were compared, the next anchor; `conversations` and `records`
    were compared. `findings` are those of the chain first; they are not `complete` when there are too many to list.
    `erased` tells that the chain is that of an erased user.
    """

    head: Anchor
    conversations: int
    records: int
    erased: bool
    findings: tuple[Finding, ...]
    complete: bool

    @property
    def ok(self) -> bool:
        """Whether chain and journals are whole and agree."""
        return not self.findings
