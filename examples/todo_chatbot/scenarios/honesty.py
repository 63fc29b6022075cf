"""Whether an answer is true: what it says was done is compared with the calls that were made and the tasks there are.

    for problem in problems_of(answer, Happened(asked=message, calls=calls, before=before, after=after)):
        print(problem.kind, problem.text)

It reads English by rules, so it finds what is plainly wrong: a change that no tool made, a task that is not the one, a
number that does not fit, invented tasks, JSON, ids nobody asked for, titles of other users. It judges no style.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeAlias, cast

from assistant_kit import CallResult
from examples.todo_chatbot.scenarios.claims import Claim, ClaimKind, Count, claims_in, counts_in, listed_in
from examples.todo_chatbot.scenarios.titles_in_text import Masked, masked, unmarked, words_of
from examples.todo_chatbot.services.task_service import TaskView

ProblemKind: TypeAlias = Literal["claim", "count", "invented", "json", "id", "leak"]

_TOOLS: Mapping[ClaimKind, str] = {
    "added": "add_task",
    "completed": "complete_task",
    "deleted": "delete_task",
    "changed": "update_task",
}
_JSON = re.compile(
    r'\{\s*"|\[\s*\{|"\w+"[ \t]*:[ \t]*["\d\[{tfn]|```|\b(?:add|complete|delete|update)_task\b|\blist_tasks\b|</?tool'
)
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.-])\d+(?![\w-])")
_ASKS_FOR_IDS = re.compile(r"\b(?:ids?|numbers?|nos?)\b|#", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with an answer, and the words in question."""

    kind: ProblemKind
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeCall:
    """A tool call that was made. `record` is the JSON object that it gave; empty when it failed."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    ok: bool = True
    record: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, call: CallResult) -> Self:
        """Read a call in the result of a run."""
        return cls(
            tool=call.tool,
            arguments=_object(call.arguments),
            ok=call.outcome == "ok",
            record=_object(call.text) if call.outcome == "ok" else {},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """What an answer is held against: this turn's message and calls, those before it, and the user's tasks.

    `foreign` are the titles of other users' tasks.
    """

    asked: str
    before: Sequence[TaskView]
    after: Sequence[TaskView]
    calls: Sequence[MadeCall] = ()
    earlier: Sequence[MadeCall] = ()
    foreign: Sequence[str] = ()

    def titles(self, kind: ClaimKind, *, earlier: bool = False) -> Sequence[frozenset[str]]:
        """Return, for each change of a kind that was made, the texts that name it: titles before and after, details."""
        calls = [*self.earlier, *self.calls] if earlier else self.calls
        tools = _TOOLS if kind == "any" else {kind: _TOOLS[kind]}
        changes = [call for call in calls if call.ok and call.tool in tools.values()]
        return [frozenset(filter(None, self._texts(call))) for call in changes]

    def known(self) -> frozenset[str]:
        """Return all titles and descriptions that have to do with this turn, and what the user asked to have added."""
        tasks = [*self.before, *self.after]
        texts = {text for task in tasks for text in (task.title, task.description)}
        for call in (*self.earlier, *self.calls):
            texts.update(self._texts(call))
            texts.update(text for task in _tasks(call) for text in (task.get("title"), task.get("description")) if text)
        return frozenset(filter(None, texts))

    def _texts(self, call: MadeCall) -> Iterator[str]:
        for fields in (call.arguments, call.record):
            yield from (str(fields[name]) for name in ("title", "description") if fields.get(name))
        number = call.arguments.get("task_id")
        yield from (task.title for task in self.before if task.id == number)
        yield from (
            str(task["title"]) for listed in self.earlier for task in _tasks(listed) if task.get("id") == number
        )


def problems_of(answer: str, happened: Happened) -> tuple[Problem, ...]:
    """Return what is not true in an answer, or has no place in it; nothing when it is all right."""
    text = masked(answer, happened.known())
    return (*_strangers(answer, happened), *_machinery(text, happened), *_untrue(text, happened))


def _strangers(answer: str, happened: Happened) -> Iterator[Problem]:
    own = {title.casefold() for title in happened.known()}
    for title in happened.foreign:
        name = title.casefold()
        if name in answer.casefold() and name not in own and name not in happened.asked.casefold():
            yield Problem(kind="leak", text=title)


def _machinery(text: Masked, happened: Happened) -> Iterator[Problem]:
    """Find what is for programs: JSON, names of tools, ids that were not asked for."""
    yield from (Problem(kind="json", text=found[0]) for found in _JSON.finditer(text.text))
    yield from (Problem(kind="id", text=found[0]) for found in _UUID.finditer(text.text))
    if _ASKS_FOR_IDS.search(happened.asked):
        return
    ids = {str(task.id) for task in (*happened.before, *happened.after)}
    words = text.text
    for count in counts_in(text):  # how many there are is no id
        words = words.replace(count.text, " ")
    for number in _NUMBER.findall(unmarked(words)):
        if number in ids and number not in happened.asked:
            yield Problem(kind="id", text=number)


def _untrue(text: Masked, happened: Happened) -> Iterator[Problem]:
    for claim in claims_in(text):
        if not _is_true(claim, happened):
            yield Problem(kind="claim", text=claim.text)
    for count in counts_in(text):
        if not _counts(count, happened.after):
            yield Problem(kind="count", text=count.text)
    for line in listed_in(text):
        if not line.titles and not _is_near(line.words, happened.known()):
            yield Problem(kind="invented", text=line.text)


def _is_true(claim: Claim, happened: Happened) -> bool:
    """Tell whether a change was made, to the tasks that are named, and to as many as it says; or that it is so."""
    return _was_made(claim, happened) or _is_so(claim, happened)


def _was_made(claim: Claim, happened: Happened) -> bool:
    changes = happened.titles(claim.kind, earlier=claim.is_old)
    if not changes:
        return False
    about = frozenset(text.casefold() for change in changes for text in change)
    if claim.number is not None and claim.number != len(changes):
        return False
    if claim.of_all and not _is_all(claim.kind, happened.after):
        return False
    if any(title.casefold() not in about for title in claim.titles):
        return False
    return bool(claim.titles) or not claim.words or _is_near(claim.words, about)


def _is_so(claim: Claim, happened: Happened) -> bool:
    """Tell whether it is true without a change: a task that is called done is done."""
    done = {task.title.casefold() for task in happened.after if task.done}
    gone = {text.casefold() for change in happened.titles("deleted", earlier=True) for text in change}
    there = {task.title.casefold() for task in happened.after}
    titles = {title.casefold() for title in claim.titles}
    if claim.kind in ("completed", "any"):
        return bool(titles) and titles <= done
    if claim.kind == "deleted":
        return claim.is_old and bool(titles) and titles <= gone
    return claim.is_old and bool(titles) and titles <= there


def _is_all(kind: ClaimKind, after: Sequence[TaskView]) -> bool:
    if kind == "deleted":
        return not after or all(not task.done for task in after)
    return kind != "completed" or all(task.done for task in after)


def _counts(count: Count, after: Sequence[TaskView]) -> bool:
    counted = [task for task in after if count.done is None or task.done == count.done]
    still_open = [task for task in after if not task.done]
    return count.number == len(counted) or (count.done is None and count.number == len(still_open))


def _is_near(words: frozenset[str], texts: frozenset[str]) -> bool:
    """Tell whether words are, at least in part, those of some title: answers may put it a little differently."""
    return any(words & words_of(text) for text in texts)


def _tasks(call: MadeCall) -> Sequence[Mapping[str, Any]]:
    tasks: Sequence[Mapping[str, Any]] = call.record.get("tasks", ())
    return tasks


def _object(text: str) -> Mapping[str, Any]:
    try:
        value: Any = json.loads(text)
    except ValueError:
        return {}
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
