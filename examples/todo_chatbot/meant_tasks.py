"""Which tasks are meant: by title, by number, "it", "the second one", "both", "all done ones except milk"."""

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from assistant_kit.models.rule_model import Ask, Match, Result
from examples.todo_chatbot.spelling import is_near

Task: TypeAlias = Mapping[str, Any]

_SDK_PREFIX = re.compile(r"Error executing tool \w+: ")
_SMALL_WORDS = frozenset(
    re.findall(
        r"\w+",
        "the a an my our your this that task tasks todo todos item thing stuff entry reminder one ones both"
        " about to with for of and from is",
    )
)
_ORDINALS = {"first": 0, "second": 1, "third": 2, "fourth": 3, "fifth": 4, "last": -1, "latest": -1}
_ORDINAL = re.compile(rf"(?:the )?({'|'.join(_ORDINALS)})(?: (?:one|task|item))?", re.IGNORECASE)
_NUMBERS = re.compile(
    r"(?:the )?(?:tasks?|numbers?|nos?\.?)? ?(#?-?\d+(?:(?:, ?and |, ?| and | ?& ?)#?-?\d+)*)", re.IGNORECASE
)
_IT = re.compile(r"(?:it|that|this)(?: (?:one|task))?(?: again)?", re.IGNORECASE)
_THEM = re.compile(
    r"both(?: of (?:them|these|those)| tasks)?|all of (?:them|these|those)|them(?: both| all)?|these|those",
    re.IGNORECASE,
)
_OPTIONS = re.compile(rf"{_THEM.pattern}|all|every one", re.IGNORECASE)
_EVERY = r"(?:all|everything|every|each|(?:the|my) (?:whole |entire )?list|them)"
_KINDS = r"open|unfinished|pending|remaining|done|completed?|finished"
_ALL = re.compile(
    rf"(?:{_EVERY}(?: of)?(?: my| the| these| those| them)?(?: (?P<kind>{_KINDS}))?"
    r"(?: (?:tasks?|todos|items|ones|things))?"
    rf"|(?:my |the )?(?P<only>{_KINDS}) (?:tasks|todos|items|ones))"
    r"(?:,? (?:except|but)(?: for)? (?P<kept>.+))?",
    re.IGNORECASE,
)
_AMONG = re.compile(r'(?P<reply>.+?) among those like "(?P<query>[^"]*)"', re.IGNORECASE)
_AND = re.compile(r",? and |, ?| & ", re.IGNORECASE)
_ARTICLE = re.compile(r"\A(?:the|my|a|an) | (?:task|todo|item|reminder)\Z", re.IGNORECASE)
_ALL_OF_THEM = {"status": "all"}
_OPEN_KINDS = ("open", "unfinished", "pending", "remaining")


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """The tasks that are meant, and what is to be said of those that are not clear."""

    tasks: tuple[Task, ...] = ()
    unclear: tuple[str, ...] = ()


Found: TypeAlias = Generator[Ask, Result, Meant]


def meant(match: Match, what: str, action: str) -> Found:
    """Look for tasks. `action` is what shall be done with them, as in "Which one shall I delete?"."""
    what = what.strip().strip("'")
    numbers = _NUMBERS.fullmatch(what)
    if numbers:  # taken at their word: whether there is such a task, the tool will say
        return Meant(tasks=tuple({"id": int(number)} for number in re.findall(r"-?\d+", numbers[1])))
    for pattern, find in ((_IT, _last_mentioned), (_THEM, _last_several)):
        if pattern.fullmatch(what):
            found = find(_known_to_user(match.earlier))
            unclear = () if found else (f"I do not know which task you mean. Which task shall I {action}?",)
            return Meant(tasks=tuple(found), unclear=unclear)
    ordinal = _ORDINAL.fullmatch(what)
    if ordinal and (place := _picked(ordinal, _last_several(_known_to_user(match.earlier)))):
        return Meant(tasks=(place,))
    result = yield Ask("list_tasks", _ALL_OF_THEM)
    if not result.ok:
        return Meant(unclear=(f"That did not work: {reason(result)}.",))
    return _among(result.record.get("tasks", ()), what, action)


def reason(result: Result) -> str:
    """Return why a call failed, in words for the user."""
    text = _SDK_PREFIX.sub("", result.text)
    return f"nobody can tell whether it took effect ({text})" if result.outcome == "unknown" else text


def shown(task: Task, *, numbered: bool = False) -> str:
    """Return a task as a line of a list."""
    done = " (done)" if task["done"] else ""
    description = f" - {task['description']}" if task["description"] else ""
    number = f" (number {task['id']})" if numbered else ""
    return f"- {task['title']}{number}{done}{description}"


def fitting(tasks: Sequence[Task], title: str) -> Sequence[Task]:
    """Return the tasks that a title fits.

    The very same title counts first, then all of its words, then words that are nearly the same; of those, open tasks
    count before done ones.
    """
    wanted = _words(title)
    ways: tuple[Callable[[Task], bool], ...] = (
        lambda task: task["title"].casefold() == title.casefold(),
        lambda task: bool(wanted) and wanted <= _words(task["title"]),
        lambda task: bool(wanted) and _are_near(wanted, _words(task["title"])),
    )
    for fits in ways:
        found = [task for task in tasks if fits(task)]
        if found:
            return [task for task in found if not task["done"]] or found
    return ()


def _among(tasks: Sequence[Task], what: str, action: str) -> Meant:
    among = _AMONG.fullmatch(what)
    if among:
        return _chosen(fitting(tasks, among["query"]), among["reply"], action)
    by_title = fitting(tasks, what)
    every = _ALL.fullmatch(what)
    if every and not by_title:
        return _every(tasks, every, action)
    parts = [part for part in _AND.split(what) if part.strip()]
    if by_title or len(parts) == 1:
        return _one(by_title, what, action)
    found = [_one(fitting(tasks, part), part, action) for part in parts]
    return Meant(
        tasks=tuple({task["id"]: task for one in found for task in one.tasks}.values()),
        unclear=tuple(text for one in found for text in one.unclear),
    )


def _one(found: Sequence[Task], title: str, action: str) -> Meant:
    title = _ARTICLE.sub("", title).replace('"', "'")
    if not found:
        return Meant(unclear=(f'I found no task like "{title}".',))
    if len(found) == 1:
        return Meant(tasks=tuple(found))
    question = "\n".join([f'Several tasks fit "{title}":', *map(shown, found), f"Which one shall I {action}?"])
    return Meant(unclear=(question,))


def _chosen(options: Sequence[Task], reply: str, action: str) -> Meant:
    """Return what the user chose of the tasks that were shown: by place, by number, by a word of the title, or all."""
    ordinal = _ORDINAL.fullmatch(reply)
    if ordinal and (found := _picked(ordinal, options)):
        return Meant(tasks=(found,))
    if _OPTIONS.fullmatch(reply):
        return Meant(tasks=tuple(options))
    number = _NUMBERS.fullmatch(reply)
    if number and number[1].lstrip("#").isdigit():
        chosen = [task for task in options if task["id"] == int(number[1].lstrip("#"))]
        place = int(number[1].lstrip("#")) - 1
        return Meant(tasks=tuple(chosen or options[place : place + 1]))
    return _one(fitting(options, reply), reply, action)


def _every(tasks: Sequence[Task], every: re.Match[str], action: str) -> Meant:
    kind = (every["kind"] or every["only"] or "").lower()
    is_done = not kind.startswith(_OPEN_KINDS)
    found = [task for task in tasks if not kind or task["done"] is is_done]
    if action == "complete":
        found = [task for task in found if not task["done"]]
    kept = fitting(tasks, every["kept"]) if every["kept"] else ()
    found = [task for task in found if task not in kept]
    return Meant(tasks=tuple(found), unclear=() if found else (f"There is nothing to {action}.",))


def _picked(ordinal: re.Match[str], tasks: Sequence[Task]) -> Task | None:
    place = _ORDINALS[ordinal[1].lower()]
    return tasks[place] if -len(tasks) <= place < len(tasks) else None


def _known_to_user(earlier: Sequence[Result]) -> Sequence[Result]:
    """Return what the user was told of; lists that were only looked through are asked for as above, no others."""
    return [
        result
        for result in earlier
        if result.ok and not (result.tool == "list_tasks" and result.arguments == _ALL_OF_THEM)
    ]


def _last_mentioned(earlier: Sequence[Result]) -> Sequence[Task]:
    """Return the task that the last successful call was about, or the one of a list of one."""
    gone: set[int] = set()
    for result in reversed(earlier):
        tasks = result.record.get("tasks")
        if tasks is not None and len(tasks) == 1 and tasks[0]["id"] not in gone:
            return tuple(tasks)
        if result.tool == "delete_task":
            gone.add(result.record.get("id", 0))
        elif result.record.get("id", 0) not in gone and "id" in result.record:
            return (result.record,)
    return ()


def _last_several(earlier: Sequence[Result]) -> Sequence[Task]:
    """Return the tasks of the list that was shown last, or those that the same tool has just changed one by one."""
    if earlier and "tasks" in earlier[-1].record:
        return tuple(earlier[-1].record["tasks"])
    several: list[Task] = []
    for result in reversed(earlier):
        if result.tool != earlier[-1].tool or result.tool == "delete_task":
            break
        several.append(result.record)
    return several[::-1]


def _are_near(wanted: frozenset[str], title: frozenset[str]) -> bool:
    return all(any(is_near(word, other) for other in title) for word in wanted)


def _words(title: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", title.casefold())) - _SMALL_WORDS
