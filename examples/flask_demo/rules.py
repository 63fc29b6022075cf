"""What the rule-based model understands, for the time without a language model: time, calendar, notes, files.

It is no language model. It reads plain English sentences, calls tools, quotes passages with their labels, and lets
deleting a note wait for approval, as a language model would.
"""

import json
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Final, cast

import anyio

from assistant_kit import Rule, RuleModel
from assistant_kit.events import Delta
from assistant_kit.messages import Item, Text, UserMessage
from assistant_kit.models.rule_model import Answer, Ask, Match, Result, Steps
from assistant_kit.protocols.model import Emit, Model, ModelRequest, ModelResponse

PACE: Final = 0.02
"""Seconds between two words, so that an answer is seen to stream."""
_MOST_COUNTED: Final = 500

HELP: Final = """I know your calendar, your notes and the files you upload. You can say, for example:

- What time is it in Tokyo?
- Take a note called Shopping: milk and bread
- Show my notes
- Delete the note Shopping
- What do my files say about the notice period?

Without a language model I understand plain sentences like these and not much more."""
_NOT_UNDERSTOOD: Final = f"I did not understand that. {HELP}"
_FILLER: Final = (
    "(please|kindly|just)",
    "(hi|hello|hey) [there]",
    "(ok|okay|well|so|now|and)",
    "(thanks|thank you) [a lot|very much]",
    "(can|could|would|will) you",
    "(can|could|may) I",
    "I (want|need|would like) [you] to",
    "I'd like [you] to",
    "for me",
)
_NOT_ABOUT: Final = re.compile(
    r"a|about|all|am|an|and|any|are|as|at|be|by|can|do|does|documents?|files?|for|from|handbook|has|have|how|i|in|is|its?|me"
    r"|my|of|on|or|pdf|says?|tell|that|the|their|there|these|they|this|to|was|were|what|when|where|which|who|why|will|with"
)
_SENTENCE: Final = re.compile(r"[^.!?]+(?:[.!?]+|\Z)")


def web_model(pace: float = PACE) -> Model:
    """Return the model of the web assistant; `pace` is in seconds for each word."""
    rules = RuleModel(RULES, fallback=_NOT_UNDERSTOOD, filler=_FILLER, name="web-rules")
    return _Paced(rules, pace)


@dataclass(frozen=True, slots=True)
class _Paced:
    """Hands messages on to the rules without notes on attached files, and the answer on word by word."""

    model: Model
    pace: float

    @property
    def name(self) -> str:
        """The name in journals, events and errors."""
        return self.model.name

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        """Answer as the rules do. Raises ModelError."""
        told: list[Delta] = []
        response = await self.model.respond(
            replace(request, items=tuple(_without_note(item) for item in request.items)), told.append
        )
        for delta in told:
            await anyio.sleep(self.pace)
            emit(delta)
        return response

    async def aclose(self) -> None:
        """Close the rules."""
        await self.model.aclose()


def _without_note(item: Item) -> Item:
    """Leave what the user wrote: the first part of a message."""
    if isinstance(item, UserMessage) and len(item.content) > 1 and isinstance(item.content[0], Text):
        return UserMessage(content=item.content[:1])
    return item


def _passages(result: Result) -> Iterator[Mapping[str, Any]]:
    """Yield the passages of a search, the best first."""
    for line in result.text.split("\n"):
        try:
            passage = json.loads(line)
        except ValueError:
            continue
        if isinstance(passage, dict) and "label" in passage:
            yield passage


def _search(match: Match) -> Steps:
    """Look in the user's files, and in the handbook when these tell nothing."""
    query = match.text("query")
    for tool in ("search_documents", "search_handbook"):
        quoted = _quoted(query, (yield Ask(tool, {"query": query})))
        if quoted:
            return quoted
    return "Neither your files nor the handbook tell me anything about that."


def _quoted(query: str, result: Result) -> str:
    """Quote the sentences that have most of the words of a question, each with the label of its passage."""
    wanted = _words(query)
    found = [
        (len(wanted & _words(f"{passage['title']} {sentence}")), -number, sentence, passage)
        for number, passage in enumerate(_passages(result))
        for sentence in _sentences(passage["text"])
    ]
    best = sorted(found, key=lambda one: one[:2], reverse=True)[:2]
    told = [(sentence, passage) for score, _, sentence, passage in best if score and 3 * score >= len(wanted)]
    if not told:
        return ""
    quotes = [f"> {sentence} [{passage['label']}]" for sentence, passage in told]
    return f"This is what {told[0][1]['title']} says:\n\n" + "\n>\n".join(quotes)


def _sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text, each in one line; headings are none."""
    for paragraph in text.split("\n\n"):
        if not paragraph.startswith("#"):
            yield from (" ".join(found.split()) for found in _SENTENCE.findall(paragraph) if found.strip())


def _words(text: str) -> frozenset[str]:
    """Return the words that tell what a text is about, without the ends that English puts to them."""
    found = re.findall(r"[a-z0-9]+", text.lower())
    return frozenset(re.sub(r"(?:ing|ed|es|s)\Z", "", word) for word in found if not _NOT_ABOUT.fullmatch(word))


def _counted(match: Match, _result: Result) -> Answer:
    last = min(int(match.text("count")), _MOST_COUNTED)
    return " ".join(map(str, range(1, last + 1)))


def _show_notes(_match: Match) -> Steps:
    listed = yield Ask("list_notes")
    if not listed.ok:
        return f"Your notes cannot be read: {listed.text}"
    titles = [note["title"] for note in _rows(listed)]
    return "\n".join(["Your notes:", *(f"- {title}" for title in titles)]) if titles else "You have no notes."


def _read_note(match: Match) -> Steps:
    found, problem = yield from _meant(match)
    if found is None:
        return problem
    read = yield Ask("read_note", {"title": found["title"]})
    return f"**{found['title']}**\n\n{read.record.get('text', read.text)}" if read.ok else read.text


def _append_to_note(match: Match) -> Steps:
    found, problem = yield from _meant(match)
    if found is None:
        return problem
    done = yield Ask("append_to_note", {"title": found["title"], "text": match.text("text")})
    return f"I have added that to {found['title']}." if done.ok else f"That did not work: {done.text}"


def _delete_note(match: Match) -> Steps:
    found, problem = yield from _meant(match)
    if found is None:
        return problem
    done = yield Ask("delete_note", {"title": found["title"]})
    if done.outcome == "denied":
        return f"As you like: {found['title']} stays."
    return f"I have deleted {found['title']}." if done.ok else f"That did not work: {done.text}"


def _meant(match: Match) -> Generator[Ask, Result, tuple[Mapping[str, Any] | None, str]]:
    """Find the note that a title means: the first that has it, or part of it; else say why there is none."""
    title = match.text("title").lower()
    listed = yield Ask("list_notes")
    if not listed.ok:
        return None, f"Your notes cannot be read: {listed.text}"
    notes = _rows(listed)
    exact = [note for note in notes if note["title"].lower() == title]
    found = exact or [note for note in notes if title in note["title"].lower()]
    return (found[0], "") if found else (None, f"You have no note called {match.text('title')}.")


def _rows(result: Result) -> Sequence[Mapping[str, Any]]:
    data: object = result.data
    return cast("Sequence[Mapping[str, Any]]", data) if isinstance(data, list) else ()


def _show_calendar(match: Match) -> Steps:
    today = yield Ask("current_time")
    if not today.ok:
        return f"Your calendar cannot be read: {today.text}"
    first = _day(today) + timedelta(days=match.text("when").lower() == "tomorrow")
    last = first + timedelta(days=0 if match.text("when").lower() in ("today", "tomorrow") else 7)
    listed = yield Ask("list_events", {"first": first.isoformat(), "last": last.isoformat()})
    if not listed.ok:
        return f"Your calendar cannot be read: {listed.text}"
    lines = [f"- {event['day']} {event['at']}: {event['title']}".replace(" :", ":") for event in _rows(listed)]
    return "\n".join(["In your calendar:", *lines]) if lines else "There is nothing in your calendar."


def _add_event(match: Match) -> Steps:
    when = match.text("day").lower()
    day = when
    if when in ("today", "tomorrow"):
        today = yield Ask("current_time")
        if not today.ok:
            return f"That did not work: {today.text}"
        day = (_day(today) + timedelta(days=when == "tomorrow")).isoformat()
    at = {"at": match.text("at")} if match.text("at") else {}
    added = yield Ask("add_event", {"title": match.text("title"), "day": day, **at})
    return f"{match.text('title')} is in your calendar on {day}." if added.ok else f"That did not work: {added.text}"


def _day(now: Result) -> date:
    """Return the date that the tool has told: "Monday, 2026-11-30 10:15 (UTC, UTC+0000)"."""
    found = re.search(r"\d{4}-\d\d-\d\d", now.text)
    return date.fromisoformat(found[0] if found else "1970-01-01")


_DAY = r"(?P<day>\d{4}-\d\d-\d\d|today|tomorrow)"

RULES: Final[Sequence[Rule]] = (
    Rule(["(hello|hi|hey|good morning|good evening) [there]"], answer=f"Hello. {HELP}"),
    Rule(["help", "what can you do", "(thanks|thank you) [a lot|very much]"], answer=HELP),
    Rule("count to {count:int}", answer=_counted),
    Rule(
        [
            "what time is it in {place}",
            "[what is|what's] the [current] time in {place}",
            "(tell|give) me the time in {place}",
        ],
        tool="current_time",
        arguments={"place": "{place}"},
        answer="In {place} it is {result}.",
        failure="I cannot tell: {result}",
    ),
    Rule(
        ["what time is it [now]", "[what is|what's] the [current] (time|date)", "what (day|date) is it [today]"],
        tool="current_time",
        arguments={"place": "UTC"},
        answer="It is {result}.",
        failure="I cannot tell: {result}",
    ),
    Rule(
        re.compile(
            r"how many days (?:are there )?(?:from|between) (?P<first>[\d-]{10}) (?:to|until|and) (?P<last>[\d-]{10})",
            re.IGNORECASE,
        ),
        tool="days_between",
        answer="{result.days} days, of which {result.working_days} are working days.",
    ),
    Rule(
        [
            "(what is|what's) (on|in) my calendar [for] [{when:word}]",
            "show [me] my (calendar|appointments|events) [for] [{when:word}]",
        ],
        steps=_show_calendar,
    ),
    Rule(
        re.compile(
            rf"(?:add|put|enter) (?P<title>.+?) (?:on|for) {_DAY}(?: at (?P<at>\d\d?:\d\d))?"
            r"(?: (?:to|in|into) my calendar)?",
            re.IGNORECASE,
        ),
        steps=_add_event,
    ),
    Rule(
        re.compile(
            r"(?:make|take|create|write|add) (?:me )?an? (?:new )?note (?:called |named |about |titled )?"
            r"[\"“]?(?P<title>[^:\"”]{1,80}?)[\"”]?(?:: ?| saying | that says )(?P<text>.+)",
            re.IGNORECASE | re.DOTALL,
        ),
        tool="create_note",
        answer="I have made the note {title}.",
    ),
    Rule(["(show|list|see) [me] [all] my notes", "what notes do I have", "what are my notes"], steps=_show_notes),
    Rule(
        [
            "(read|show|open) [me] [the|my] note [called] {title}",
            "(what is|what's) (in|on) [the|my] note [called] {title}",
            "what does [the|my] note [called] {title} say",
        ],
        steps=_read_note,
    ),
    Rule("(add|append) {text} to [the|my] note [called] {title}", steps=_append_to_note),
    Rule("(delete|remove|erase) [the|my] note [called] {title}", steps=_delete_note),
    Rule(
        [
            "search [in] [my] (files|documents|file|document) (for|about) {query}",
            "(find|look up|look for|search [for]) {query} in [my|the] (files|documents|file|document|text|pdf)",
        ],
        steps=_search,
    ),
    Rule(
        re.compile(
            r"(?P<query>(?:who|what|when|where|which|why|how|is|are|does|do|did|was|were|has|have|tell)\b.{3,})",
            re.IGNORECASE,
        ),
        steps=_search,
    ),
)
